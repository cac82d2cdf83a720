"""What extraction holds of a clip: its query points, and of each frame what a stage needs, at the size it works at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trokens.runtime.machine import available_memory
from trokens.trackers import ReducingTracker, TrackResult
from trokens.trackers.held import IN_MEMORY, HeldFrames
from trokens.video.transforms import resize

IMAGE_SIZE = 224  # side to which frames are resized for the backbone


class Clip(NamedTuple):
    """A clip of which the frames were taken, see `take_clip`.

    Attributes:
        size: The frames' own (height, width) in pixels.
        rows: Which frames are clustered, (F,) long, ascending.
        squares: Those, as the backbone sees them, (F, 224, 224, 3) uint8.
        frames: What the tracker makes of each of the L frames.
    """

    size: tuple[int, int]
    rows: Tensor
    squares: Tensor
    frames: Sequence[np.ndarray]


class Queries(NamedTuple):
    """Where tracking starts.

    Attributes:
        points: (N, 3) float32 as (frame, x, y) in pixels.
        cluster: Cluster of each, (N,) long.
        labels: Label of every patch of the clustered frames, (F, P, Q) long; None for a grid.
        frames: Which frames those are, (F,) long; None for a grid.
    """

    points: Tensor
    cluster: Tensor
    labels: Tensor | None = None
    frames: Tensor | None = None


@contextmanager
def take_clip(frames: Iterable[np.ndarray], num_frames: int, size: tuple[int, int], rows: Tensor,
              tracker: ReducingTracker, folder: str | os.PathLike) -> Iterator[Clip]:
    """Take of each frame what is needed of it, so that memory holds one of full size at a time; let go in the end.

    Args:
        frames: L frames (H, W, 3) uint8; the same array again is a repeated frame.
        num_frames: L.
        size: Their height and width, H and W.
        rows: Which of them are clustered, (F,) long, ascending.
        tracker: Who will follow points through them.
        folder: For a temporary file of what memory has no share for, see `HeldFrames`.

    Raises:
        OSError: The disk does not take that file.
    """
    with closing(HeldFrames(folder, num_frames, min(IN_MEMORY, available_memory() // 4))) as held:
        yield Clip(size, rows, _take(frames, held, set(rows.tolist()), tracker), held)


def _take(frames: Iterable[np.ndarray], held: HeldFrames, rows: set[int], tracker: ReducingTracker) -> Tensor:
    """Give all frames, reduced, to ``held``; return those of the rows as the backbone sees them."""
    squares, newest, reduced = [torch.empty(0, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)], None, None
    for row, frame in enumerate(frames):
        if row in rows:
            squares.append(resize(torch.from_numpy(frame)[None], IMAGE_SIZE))
        if frame is not newest:
            newest, reduced = frame, tracker.reduce(frame)
        held.append(reduced)
    return torch.cat(squares)


class WholeFrames(ReducingTracker):
    """A tracker that works at the frames' own size, and has them all at once.

    Args:
        tracker: Its ``track`` is called.
    """

    def __init__(self, tracker: Any):
        self.tracker = tracker

    def reduce(self, frame: np.ndarray) -> np.ndarray:
        """Leave the frame as it is."""
        return frame

    def track_reduced(self, frames: Sequence[np.ndarray], size: tuple[int, int], query_points: Tensor,
                      cluster: Tensor | None = None) -> TrackResult:
        """Follow points through the frames; see `ReducingTracker`."""
        whole = np.empty((len(frames), *size, 3), np.uint8)
        for t, frame in enumerate(frames):
            whole[t] = frame
        return self.tracker.track(torch.from_numpy(whole), query_points, cluster)
