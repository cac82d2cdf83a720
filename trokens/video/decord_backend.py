"""Frames by decord, which counts and times them itself; whatever else is known of a file, PyAV tells."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trokens.video import timeline
from trokens.video.containers import no_video_cause
from trokens.video.info import NOTHING_DECODES, START, VideoInfo, video_error

if TYPE_CHECKING:
    import decord

OTHER_COUNT = 0.05  # share of the frames by which decord's count may differ: it counts packets that give none, too


@contextmanager
def _opened(path: str, threads: int) -> Iterator[decord.VideoReader]:
    try:
        import decord
    except ImportError as error:
        raise ImportError("Video backend 'decord' is not installed: run `pip install decord` or use 'pyav'.") from error
    try:
        # Its own choice of threads, 0, fails on VP9.
        yield decord.VideoReader(path, num_threads=threads or os.cpu_count())
    except (decord.DECORDError, RuntimeError) as error:
        cause = "decord: " + " ".join(str(error).split()).rstrip(".")[:300]
        raise video_error(path, no_video_cause(path) or cause) from error


@lru_cache(maxsize=8192)
def probe_file(path: str, mtime: int, file_size: int) -> VideoInfo:
    """Count and time the frames of the file, as it is at this time of change and size."""
    known = timeline.probe_file(path, mtime, file_size)
    if known.orientation.flips:
        raise video_error(path, f"it is to be shown {known.orientation}, which decord does not do; set the backend "
                          "(DATA.DECODING_BACKEND) to pyav")
    with _opened(path, threads=1) as reader:
        num_frames, fps = len(reader), float(reader.get_avg_fps())
        if not num_frames:
            raise video_error(path, NOTHING_DECODES)
        size = tuple(reader[0].shape[:2])
        if size != known.size or abs(num_frames - known.num_frames) > max(2, OTHER_COUNT * known.num_frames):
            raise video_error(path, f"decord finds {num_frames} frames of {size[1]} x {size[0]} pixels where PyAV, by "
                              f"which points are extracted, finds {known.num_frames} of {known.size[1]} x "
                              f"{known.size[0]}; set the backend (DATA.DECODING_BACKEND) to pyav")
        times = np.asarray(reader.get_frame_timestamp(range(num_frames)), np.float64)[:, 0]
    times = times - times[0] if (np.diff(times) > 0).all() else np.arange(num_frames) / fps
    times.setflags(write=False)
    return replace(known, num_frames=num_frames, fps=fps, times=times, size=size, stamps=None, keys=START,
                   counted=True, skips=False)


def read_frames(path: str | os.PathLike, info: VideoInfo, indices: Sequence[int], threads: int) -> Tensor:
    """Decode these frames, (len(indices), H, W, 3) uint8. Decord does not tell of damage."""
    if not indices:
        return torch.empty((0, *info.size, 3), dtype=torch.uint8)
    with _opened(os.path.abspath(path), threads) as reader:
        return torch.from_numpy(reader.get_batch(indices).asnumpy())
