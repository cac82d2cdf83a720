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
from trokens.video.damage import damaged_video
from trokens.video.info import POLICIES, VideoInfo, video_error, warn_once
from trokens.video.survey import survey_file

BACKENDS = ("pyav", "decord")


def probe(path: str | os.PathLike, backend: str = "pyav") -> VideoInfo:
    """Count and time the frames of a video; remembered for as long as the file stays the same.

    Whether it is whole is for `check_whole` to say. Most damage behind the first frame shows only when its frames are
    read.

    Raises:
        VideoError: The file is empty, holds no video, or nothing in it decodes.
        FileNotFoundError: There is no such file.
    """
    return _one_of(backend, timeline).probe_file(*_version(path))


def find_damage(path: str | os.PathLike) -> str | None:
    """Decode all frames of a video and return the signs of damage in words, or None; remembered as `probe` does.

    Raises:
        VideoError, FileNotFoundError: As `probe`.
    """
    return probe(path).damage or survey_file(*_version(path))


def check_sound(path: str | os.PathLike, damaged: str = "refuse") -> str | None:
    """Refuse a damaged video, or with ``damaged="warn"`` name it in a warning.

    With "refuse", what decoders do tell of damage is left to the reading of its frames.

    Returns:
        The signs of damage in words, or None.

    Raises:
        DamagedVideo: It is damaged.
        VideoError, FileNotFoundError: As `probe`.
    """
    if damaged not in POLICIES:
        raise ValueError(f"damaged is '{damaged}'; it is one of {', '.join(POLICIES)}.")
    info = probe(path)
    damage = find_damage(path) if damaged == "warn" or info.silent else info.damage
    if damage and damaged == "refuse":
        raise damaged_video(path, damage)
    if damage:
        warn_once(f"'{os.fspath(path)}' is damaged, {damage}; what the decoder makes of it is taken.")
    return damage


def read_video(path: str | os.PathLike, indices: Iterable[int] | None = None, backend: str = "pyav", *,
               threads: int = 1, damaged: str = "refuse") -> Tensor:
    """Decode frames of a video.

    Args:
        path: The video file.
        indices: Numbers of the wanted frames, in any order, repeats allowed; None for all.
        backend: "pyav" or "decord", which knows of damage only what packets tell.
        threads: Decoder threads, 0 for as many as there are cores; the frames are the same with any number.
        damaged: "refuse" a video where damage is met on the way to the frames; or "warn", and take what the decoder
            makes up: always the same, as all frames are then decoded once to look for damage, and, where there is
            some, again from the first on for each call.

    Returns:
        RGB frames in the given order, upright, (len(indices), H, W, 3) uint8.

    Raises:
        IndexError: An index is negative or not below the number of frames.
        VideoError: The file cannot be read, or it is damaged.
        FileNotFoundError: There is no such file.
    """
    info = probe(path, backend)
    if indices is None:  # all frames are decoded anyway
        check_sound(path, damaged)
    indices = _checked(path, info, range(info.num_frames) if indices is None else indices)
    read = _one_of(backend, frames).read_frames
    return read(os.path.abspath(path), info, indices, threads, _takes_damage(path, info, damaged))


def stream_video(path: str | os.PathLike, indices: Iterable[int], *, threads: int = 1,
                 damaged: str = "refuse") -> Iterator[np.ndarray]:
    """Decode frames of a video one after the other, for memory that would not hold them all.

    Args:
        path: The video file.
        indices: Numbers of the wanted frames, ascending, repeats allowed.
        threads, damaged: As for :func:`read_video`, which gives the same frames.

    Yields:
        RGB frames, upright, (H, W, 3) uint8, contiguous; for a repeated number the same array again.

    Raises:
        IndexError, VideoError, FileNotFoundError: As :func:`read_video`.
    """
    info = probe(path)
    indices = _checked(path, info, indices)
    assert indices == sorted(indices), "stream_video gives frames in their order"
    count = Counter(indices)
    for index, frame in frames.each_frame(os.path.abspath(path), info, list(count), threads,
                                          _takes_damage(path, info, damaged)):
        yield from repeat(np.ascontiguousarray(frame), count[index])


def _takes_damage(path: str | os.PathLike, info: VideoInfo, damaged: str) -> bool:
    """Refuse damage that is known without a look at all frames, or name all; whether frames come from a damaged file.
    """
    if damaged != "refuse":
        return check_sound(path, damaged) is not None
    if info.damage:
        raise damaged_video(path, info.damage)
    return False


def _version(path: str | os.PathLike) -> tuple[str, int, int]:
    """A file as it is now: its path, time of change and size."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise video_error(path, "it is not a regular file")
    return os.path.abspath(path), status.st_mtime_ns, status.st_size


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
