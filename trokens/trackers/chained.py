"""Tracking by steps: frame to frame in both directions of time, each step corrected by the point's own patch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from trokens.trackers import ReducingTracker, TrackResult, check_points
from trokens.trackers.held import Backward
from trokens.trackers.patches import SIDE, align, blurred, patches

MAX_ERROR = (1, 0.05)  # forward-backward error: pixels, and fraction of the step
STILL_SAME = 0.6       # correlation with the reference above which a visible point stays visible
FOUND_AGAIN = 0.9      # and above which a hidden one becomes visible
UPDATE = 0.1           # share of the current patch in the running reference
CARRIERS = 9           # visible points whose median motion carries a hidden one
MOTION_WEIGHT = 16.0   # pixels of distance that one pixel of difference in motion counts, in choosing them
MAX_SHIFT = (1.5, 3.0)  # pixels by which matching may correct a visible, or a hidden point

Steps = Callable[[int, np.ndarray], tuple[np.ndarray, np.ndarray]]


class ChainedTracker(ReducingTracker):
    """A tracker that chains steps between neighboring frames, forward and backward from the query frame.

    Each step is corrected by two Gauss-Newton iterations (Lucas and Kanade, 1981) that align the point's patch with
    its running reference. A point stays visible as long as the step forward and back returns to it, it is in the
    frame, and its patch correlates with the reference. A hidden point is carried by visible neighbors of its cluster
    that moved like it, and becomes visible again where its patch is found.

    Args:
        max_side: Longer frames are reduced to this many pixels for tracking.

    Raises:
        ValueError: ``max_side`` is not positive.
    """

    name: str  # as registered

    def __init__(self, max_side: int = 512):
        if max_side < 1:
            raise ValueError(f"max_side is {max_side}; the longer side of tracked frames has at least 1 pixel.")
        self.max_side = max_side
        self.metadata = {"tracker": self.name, "visibility_rule": f"forward-backward error < {MAX_ERROR[0]} px + "
                         f"{MAX_ERROR[1]:.0%} of the step, in frame, patch correlation > {STILL_SAME} (> {FOUND_AGAIN} "
                         "to be seen again)"}

    @abstractmethod
    def steps(self, gray: Sequence[np.ndarray]) -> tuple[Steps, Steps]:
        """Prepare steps between frames (H, W) uint8, in their order and in the reverse one.

        Returns:
            Two functions (t, xy (n, 2)) -> (step (n, 2), forward-backward error (n,)) from frame t to the next of
            that order; the second one counts t from the last frame.
        """

    def reduce(self, frame: np.ndarray) -> np.ndarray:
        """Make a frame gray, and no longer than ``max_side``: (h, w) uint8."""
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        height, width = gray.shape
        ratio = self.max_side / max(height, width)
        if ratio >= 1:
            return gray
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)

    def track_reduced(self, frames: Sequence[np.ndarray], size: tuple[int, int], query_points: Tensor,
                      cluster: Tensor | None = None) -> TrackResult:
        """Follow points through gray frames; see `ReducingTracker`."""
        check_points(len(frames), query_points, cluster)
        scale = np.array(frames[0].shape[::-1]) / size[::-1]
        query = query_points.numpy()
        first, start = query[:, 0].astype(np.int64), (query[:, 1:] + 0.5) * scale - 0.5
        group = np.zeros(len(query), np.int64) if cluster is None else cluster.numpy()
        ahead, back = self.steps(frames)
        forward = _follow(frames, ahead, start, first, group)
        backward = _follow(Backward(frames), back, start, len(frames) - 1 - first, group)
        after = np.arange(len(frames))[:, None] >= first                                      # (T, N)
        xy, visible, match = (np.where(after.reshape(after.shape + (1,) * (a.ndim - 2)), a, b[::-1])
                              for a, b in zip(forward, backward, strict=True))
        xy = ((xy + 0.5) / scale - 0.5).astype(np.float32)
        xy[first, np.arange(len(query))] = query[:, 1:]
        return TrackResult(torch.from_numpy(xy), torch.from_numpy(visible), torch.from_numpy(match))


def _follow(gray: Sequence[np.ndarray], steps: Steps, start: np.ndarray, first: np.ndarray,
            group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow points in one direction of time, from their first frames on.

    Args:
        gray: T frames (H, W) uint8.
        steps: Of the same order of the frames, see `ChainedTracker.steps`.
        start: (N, 2) positions in frames ``first`` (N,).
        group: Cluster of each point, (N,).

    Returns:
        Positions (T, N, 2) float64, visibility (T, N) bool, correlation with the reference (T, N) float32. Before
        its first frame a point stands still, hidden.
    """
    last = np.array(gray[0].shape[::-1]) - 1.0
    xy = np.repeat(start[None], len(gray), axis=0)                                            # (T, N, 2)
    visible = np.arange(len(gray))[:, None] == first                                          # (T, N)
    match = visible.astype(np.float32)
    motion = np.zeros_like(start)
    reference = np.zeros((len(start), SIDE, SIDE), np.float32)
    for t in range(len(gray) - 1):
        new, active = np.flatnonzero(first == t), np.flatnonzero(first <= t)
        if not len(active):
            continue
        reference[new] = patches(blurred(gray[t]), start[new])
        before, was_visible = xy[t, active], visible[t, active]
        step, error = steps(t, before)
        returns = error < MAX_ERROR[0] + MAX_ERROR[1] * np.linalg.norm(step, axis=1)
        stays = was_visible & returns
        step = _carry(step, before, motion[active], group[active], stays)

        moved, limit = before + step, np.where(was_visible, *MAX_SHIFT)
        aligned, corr, patch = align(blurred(gray[t + 1]), moved, reference[active], limit)
        found = ~was_visible & returns & (corr > FOUND_AGAIN)
        inside = ((aligned >= 0) & (aligned <= last)).all(1)
        sees = (stays & (corr > STILL_SAME) | found) & inside
        carried = before + _carry(aligned - before, before, motion[active], group[active], sees)
        moved = np.where(sees[:, None], aligned, carried)

        xy[t + 1, active], visible[t + 1, active], match[t + 1, active] = moved, sees, corr.clip(0) * inside
        motion[active] = moved - before
        reference[active[sees]] += UPDATE * (patch[sees] - reference[active[sees]])
    return xy, visible, match


def _carry(step: np.ndarray, xy: np.ndarray, motion: np.ndarray, group: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """Give the points (n,) that do not stay visible the median step of those nearest in place, motion and cluster."""
    hidden, seen = np.flatnonzero(~stays), np.flatnonzero(stays)
    if not len(hidden) or not len(seen):
        return step
    distance = (np.square(xy[hidden, None] - xy[seen]).sum(-1)
                + MOTION_WEIGHT ** 2 * np.square(motion[hidden, None] - step[seen]).sum(-1))  # (hidden, seen)
    other = group[hidden, None] != group[seen]
    distance[other & ~other.all(1, keepdims=True)] = np.inf  # where nobody of its cluster is seen, all may carry it
    nearest = distance.argsort(axis=1, kind="stable")[:, :CARRIERS]
    carriers = step[seen][nearest]                                                            # (hidden, CARRIERS, 2)
    allowed = np.isfinite(np.take_along_axis(distance, nearest, axis=1))
    carriers[~allowed] = np.inf
    carriers.sort(axis=1)
    count = allowed.sum(1)  # the median of the first ``count``
    rows = np.arange(len(hidden))
    step = step.copy()
    step[hidden] = (carriers[rows, (count - 1) // 2] + carriers[rows, count // 2]) / 2
    return step
