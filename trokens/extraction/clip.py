"""What extraction holds of a clip: its query points, and of each frame what a stage needs, at the size it works at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trokens.trackers import ReducingTracker, TrackResult


class HeldClip(NamedTuple):
    """A clip of which the frames were read, see `Extractor.read`.

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
