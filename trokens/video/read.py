"""The questions to a video: which frames there are, and any of them as RGB, at once or one after the other."""

from __future__ import annotations

import operator
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from types import ModuleType

import numpy as np
from torch import Tensor

from trokens.video import decord_backend, frames, timeline
from trokens.video.info import VideoInfo, video_error

BACKENDS = ("pyav", "decord")


def probe(path: str | os.PathLike, backend: str = "pyav") -> VideoInfo:
    """Count and time the frames of a video; remembered for as long as the file stays the same.

    Damage behind the first frame of a file that looks whole shows only when its frames are read.

    Raises:
        VideoError: The file is empty, holds no video, or nothing in it decodes.
        FileNotFoundError: There is no such file.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise video_error(path, "it is not a regular file")
    return _one_of(backend, timeline).probe_file(os.path.abspath(path), status.st_mtime_ns, status.st_size)


def read_video(path: str | os.PathLike, indices: Iterable[int] | None = None, backend: str = "pyav", *,
               threads: int = 1) -> Tensor:
    """Decode frames of a video.

    Args:
        path: The video file.
        indices: Numbers of the wanted frames, in any order, repeats allowed; None for all.
        backend: "pyav" or "decord".
        threads: Decoder threads, 0 for as many as there are cores. Sound files give the same frames with any
            number; what a decoder makes up for damaged ones may differ.

    Returns:
        RGB frames in the given order, rotated for display, (len(indices), H, W, 3) uint8.

    Raises:
        IndexError: An index is negative or not below the number of frames.
        VideoError: The file cannot be read, or a wanted frame is damaged.
        FileNotFoundError: There is no such file.
    """
    info = probe(path, backend)
    indices = _checked(path, info, range(info.num_frames) if indices is None else indices)
    return _one_of(backend, frames).read_frames(os.path.abspath(path), info, indices, threads)


def stream_video(path: str | os.PathLike, indices: Iterable[int], *, threads: int = 1) -> Iterator[np.ndarray]:
    """Decode frames of a video one after the other, for memory that would not hold them all.

    Args:
        path: The video file.
        indices: Numbers of the wanted frames, ascending, repeats allowed.
        threads: As for :func:`read_video`, which gives the same frames.

    Yields:
        RGB frames, rotated for display, (H, W, 3) uint8, contiguous; for a repeated number the same array again.

    Raises:
        IndexError, VideoError, FileNotFoundError: As :func:`read_video`.
    """
    info = probe(path)
    indices = _checked(path, info, indices)
    assert indices == sorted(indices), "stream_video gives frames in their order"
    count = Counter(indices)
    for index, frame in frames.each_frame(os.path.abspath(path), info, list(count), threads):
        yield from repeat(np.ascontiguousarray(frame), count[index])


def _checked(path: str | os.PathLike, info: VideoInfo, indices: Iterable[int]) -> list[int]:
    indices = [operator.index(i) for i in indices]
    for index in indices:
        if not 0 <= index < info.num_frames:
            raise IndexError(f"Frame {index} of '{os.fspath(path)}' is out of range; it has {info.num_frames} frames, "
                             f"numbered 0 to {info.num_frames - 1}.")
    return indices


def _one_of(backend: str, pyav: ModuleType) -> ModuleType:
    """The module that does it: ``pyav``, or decord's."""
    if backend not in BACKENDS:
        raise ValueError(f"Unknown video backend '{backend}'. Known: {', '.join(BACKENDS)}.")
    return decord_backend if backend == "decord" else pyav
