"""Trackers follow points through a video. One file of this package adds one.

A tracker is a class whose constructor takes its options as keyword arguments, with

    track(frames, query_points, cluster=None) -> TrackResult
    metadata: dict[str, str]

The arguments are tensors as `track` describes them, and in the frame of its query a point has exactly the position
asked for, and is visible. ``metadata`` says what made the tracks; it is written into point files: ``tracker``, the
registered name, and what else matters, such as ``visibility_rule`` and ``weights``. An option ``device`` belongs to
trackers that can use a GPU. A tracker that works at a size of its own is a `ReducingTracker`: extraction then holds of
each frame only what it needs, so that clips may be large and long.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from inspect import signature
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trokens.registry import Registry
from trokens.runtime.distributed import pick_device

TRACKERS = Registry("tracker", package=__name__)

_TAKES: dict[type, tuple[Any, str]] = {  # what an option takes whose default is of this type
    bool: (bool, "true or false"), int: (Integral, "a whole number"), float: (Real, "a number"),
    str: ((str, os.PathLike), "text")}


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


def default_tracker(device: torch.device | str | None = None) -> str:
    """Name of the tracker that "auto" is: cotracker3_offline on a CUDA GPU, else flow.

    Args:
        device: Where it will compute; None is the GPU where there is one.
    """
    on_gpu = torch.cuda.is_available() if device is None else torch.device(device).type == "cuda"
    return "cotracker3_offline" if on_gpu else "flow"


def build_tracker(name: str, /, device: torch.device | str | None = None, **options: Any) -> Any:
    """Build a tracker.

    Args:
        name: As registered in ``TRACKERS``, or "auto", see `default_tracker`.
        device: Where to compute; None is the GPU where there is one. Trackers for the CPU leave it alone.
        options: Of the tracker's constructor.

    Raises:
        ValueError: The tracker or an option is unknown, then the message names the known ones; or an option's value
            is not of its default's type, or out of range.
        FileNotFoundError: The tracker's code or weights are not to be had.
    """
    if device is not None:
        try:
            device = torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"device is {device!r}; it must be one of torch's, such as 'cpu' or 'cuda:1'.") from error
    name = default_tracker(device) if name == "auto" else name
    tracker = TRACKERS.get(name)
    known = signature(tracker).parameters
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"Tracker '{name}' has no option '{option}'. Known: {', '.join(known) or 'none'}.")
        default = known[option].default
        kind, meant = _TAKES.get(type(default), (object, ""))
        if not isinstance(value, kind) or (isinstance(value, bool) and type(default) in (int, float)):
            raise ValueError(f"Option {option} of tracker '{name}' is {value!r}; it takes {meant}, by default "
                             f"{default!r}.")
    if "device" in known:
        options["device"] = device or pick_device(num_gpus=1)
    return tracker(**options)


def track(frames: Tensor | np.ndarray, query_points: Tensor | np.ndarray, tracker: str = "flow", *,
          cluster: Tensor | np.ndarray | None = None, **options: Any) -> tuple[Tensor, Tensor]:
    """Follow points through a video, forward and backward from the frames they are asked for in.

    It builds the tracker for this one clip; for many clips build it once: ``build_tracker("flow").track(...)``.

    Args:
        frames: RGB, (T, H, W, 3) uint8.
        query_points: (N, 3) as (t, x, y): a frame's number, and a position in its pixels, x right, y down; whole
            numbers are centers of pixels.
        tracker: "flow", "lucas_kanade" (fast), "cotracker3_offline", "cotracker3_online", or "auto".
        cluster: Semantic cluster of each point, (N,); None means that all points are one.
        options: Of the tracker, see `build_tracker`; for example ``max_side=256`` or ``device="cpu"``.

    Returns:
        Tracks (T, N, 2) float32 in pixels of the frames, hidden points with a guess, and visibility (T, N) bool. In
        its query frame a point has exactly the position asked for, and is visible.

    Raises:
        ValueError: A name or an option is unknown, shapes do not fit, or a query point asks for a frame that does
            not exist.
    """
    frames, query_points = _tensor(frames), _tensor(query_points, torch.float32)
    cluster = None if cluster is None else _tensor(cluster, torch.long)
    return build_tracker(tracker, **options).track(frames, query_points, cluster)[:2]


def _tensor(values: Any, dtype: torch.dtype | None = None) -> Tensor:
    if isinstance(values, np.ndarray):
        values = np.require(values, requirements=("C", "W"))  # torch takes no others; copied only where needed
    return torch.as_tensor(values, dtype=dtype, device="cpu")


def check_queries(frames: Tensor, query_points: Tensor, cluster: Tensor | None) -> None:
    """Check the input of a tracker.

    Raises:
        ValueError: Shapes or the frames' type do not fit, a query's frame does not exist or is no whole number, or a
            coordinate is not finite.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames) or frames.dtype != torch.uint8:
        raise ValueError(f"frames is {tuple(frames.shape)} {frames.dtype}; expected (T, H, W, 3) uint8 with at least "
                         "one frame.")
    check_points(len(frames), query_points, cluster)


def check_points(num_frames: int, query_points: Tensor, cluster: Tensor | None) -> None:
    """Check the points that a tracker is to follow through so many frames; see `check_queries`."""
    if query_points.ndim != 2 or query_points.shape[1] != 3 or not query_points.isfinite().all():
        raise ValueError(f"query_points is {tuple(query_points.shape)}; expected (N, 3) finite numbers as (t, x, y).")
    if cluster is not None and cluster.shape != query_points.shape[:1]:
        raise ValueError(f"cluster is {tuple(cluster.shape)}; expected one number for each of {len(query_points)} "
                         "query points.")
    t = query_points[:, 0]
    wrong = t[(t < 0) | (t > num_frames - 1) | (t != t.floor())]
    if len(wrong):
        raise ValueError(f"A query point asks for frame {wrong[0].item():g}; {num_frames} frames are numbered "
                         f"0 to {num_frames - 1}.")


class ReducingTracker(ABC):
    """A tracker that works at a size of its own, and needs of each frame only what :meth:`reduce` makes of it."""

    @abstractmethod
    def reduce(self, frame: np.ndarray) -> np.ndarray:
        """Make of a frame (H, W, 3) uint8 what tracking needs of it, at most of a size that H and W do not change."""

    @abstractmethod
    def track_reduced(self, frames: Sequence[np.ndarray], size: tuple[int, int], query_points: Tensor,
                      cluster: Tensor | None = None) -> TrackResult:
        """Follow points through reduced frames.

        Args:
            frames: What :meth:`reduce` made of the T frames; one is read at a time, in either direction.
            size: The frames' own (height, width), in whose pixels the query points and the result are.
            query_points, cluster: As for :meth:`track`.
        """

    def track(self, frames: Tensor, query_points: Tensor, cluster: Tensor | None = None) -> TrackResult:
        """Follow the points; see the package's docstring. The same input gives the same bits."""
        check_queries(frames, query_points, cluster)
        reduced = [self.reduce(frame) for frame in frames.cpu().numpy()]
        return self.track_reduced(reduced, tuple(frames.shape[1:3]), query_points, cluster)
