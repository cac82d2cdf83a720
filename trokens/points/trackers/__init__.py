"""Trackers follow points through a video. One file and one registration add one.

A tracker is a class whose constructor takes its options as keyword arguments, with the method

    track(frames, query_points, cluster=None) -> TrackResult

Args:
    frames: RGB, (T, H, W, 3) uint8.
    query_points: (N, 3) float as (t, x, y): the frame's number and the position in its pixels, x right, y down;
        whole numbers are centers of pixels.
    cluster: Semantic cluster of each point, (N,) long; None means that all points are one.

In the frame of its query a point has exactly the position asked for, and is visible.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from trokens.registry import Registry

TRACKERS = Registry("tracker")


class TrackResult(NamedTuple):
    """What a tracker returns.

    Attributes:
        tracks: Positions in pixels of the given frames, (T, N, 2) float32; hidden points have a guess.
        visibility: (T, N) bool.
        confidence: The tracker's own trust in each position, (T, N) float32 in [0, 1].
    """

    tracks: Tensor
    visibility: Tensor
    confidence: Tensor


def check_queries(frames: Tensor, query_points: Tensor) -> None:
    """Check the input of a tracker.

    Raises:
        ValueError: Shapes do not fit, a query's frame does not exist or is no whole number, or a coordinate is not
            finite.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames is {tuple(frames.shape)}; expected (T, H, W, 3) with at least one frame.")
    if query_points.ndim != 2 or query_points.shape[1] != 3 or not query_points.isfinite().all():
        raise ValueError(f"query_points is {tuple(query_points.shape)}; expected (N, 3) finite numbers as (t, x, y).")
    t = query_points[:, 0]
    wrong = t[(t < 0) | (t > len(frames) - 1) | (t != t.floor())]
    if len(wrong):
        raise ValueError(f"A query point asks for frame {wrong[0].item():g}; {len(frames)} frames are numbered "
                         f"0 to {len(frames) - 1}.")


from trokens.points.trackers import flow  # noqa: E402, F401  (registers itself in TRACKERS)


def build_tracker(name, device=None, **options):
    tracker = TRACKERS.get("flow" if name == "auto" else name)(**options)
    if not hasattr(tracker, "metadata"):
        tracker.metadata = {"tracker": name}
    return tracker


def default_tracker():
    return "flow"
