"""The questions to a video: which frames there are, and any of them as RGB, at once or one after the other."""

from __future__ import annotations

import operator
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from trokens.video import decord_backend
from trokens.video.frames import each_frame
from trokens.video.info import POLICIES, VideoInfo, damaged_video, video_error, warn_once
from trokens.video.timeline import damage_in_frames, probe_file

BACKENDS = ("pyav", "decord")


def probe(path: str | os.PathLike, backend: str = "pyav") -> VideoInfo:
    """Count and time the frames of a video; remembered for as long as the file stays the same.

    Whether it is whole is for `check_whole` to say. Most damage behind the first frame shows only when its frames are
    read.

    Raises:
        VideoError: The file is empty, holds no video, or nothing in it decodes.
        FileNotFoundError: There is no such file.
    """
    if backend not in BACKENDS:
        raise ValueError(f"Unknown video backend '{backend}'. Known: {', '.join(BACKENDS)}.")
    return (decord_backend.probe_file if backend == "decord" else probe_file)(*_version(path))


def _version(path: str | os.PathLike) -> tuple[str, int, int]:
    """A file as it is now: its path, time of change and size."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise video_error(path, "it is not a regular file")
    return os.path.abspath(path), status.st_mtime_ns, status.st_size


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
    is_damaged = _takes_damage(path, info, damaged)
    if backend == "decord":
        return decord_backend.read_frames(path, info, indices, threads)
    out = np.empty((len(indices), *info.size, 3), np.uint8)
    rows: dict[int, list[int]] = {}
    for row, index in enumerate(indices):
        rows.setdefault(index, []).append(row)
    for index, frame in each_frame(os.path.abspath(path), info, sorted(rows), threads, is_damaged):
        for row in rows[index]:
            out[row] = frame
    return torch.from_numpy(out)


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
    for index, frame in each_frame(os.path.abspath(path), info, list(count), threads,
                                   _takes_damage(path, info, damaged)):
        yield from repeat(np.ascontiguousarray(frame), count[index])


def find_damage(path: str | os.PathLike) -> str | None:
    """Decode all frames of a video and return the signs of damage in words, or None; remembered as `probe` does.

    Raises:
        VideoError, FileNotFoundError: As `probe`.
    """
    return probe(path).damage or damage_in_frames(*_version(path))


def check_sound(path: str | os.PathLike, damaged: str = "refuse") -> str | None:
    """Refuse a damaged video, or with ``damaged="warn"`` name it in a warning.

    With "refuse", the frames are decoded here only where their decoder would pass over damage in silence.

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


def _takes_damage(path: str | os.PathLike, info: VideoInfo, damaged: str) -> bool:
    """Whether frames are taken from a damaged file; it is refused where "refuse" finds damage that is known already."""
    if damaged != "refuse":
        return check_sound(path, damaged) is not None
    if info.damage:
        raise damaged_video(path, info.damage)
    return False


def _checked(path: str | os.PathLike, info: VideoInfo, indices: Iterable[int]) -> list[int]:
    indices = [operator.index(i) for i in indices]
    for index in indices:
        if not 0 <= index < info.num_frames:
            raise IndexError(f"Frame {index} of '{os.fspath(path)}' is out of range; it has {info.num_frames} frames, "
                             f"numbered 0 to {info.num_frames - 1}.")
    return indices
