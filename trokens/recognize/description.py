"""What is kept of a clip, or of a window of a long video: numbers that are compared, and trajectories to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy import ndarray

from trokens.recognize.descriptor import SEGMENTS, motion_rows, own_motion, region
from trokens.recognize.moving_points import MovingPoints
from trokens.recognize.sight import FPS, STRIDE, Step
from trokens.recognize.trails import follow
from trokens.video import VideoInfo

PAUSE = 1.0  # seconds; between frames that are farther apart, nobody recorded


@dataclass(frozen=True)
class Description:
    """What is kept of a clip.

    Attributes:
        motion: Rows of the descriptor, (SEGMENTS, K) float32.
        amount: How much the clip moves: frame lengths a second, mean over the points, () float64.
        frame: Frame of the file in the middle of each segment, (SEGMENTS,) int64.
        time: The same in seconds since the file's first frame, (SEGMENTS,) float64.
        span: Start and end in seconds, (2,) float64.
        size: The file's frame (height, width), (2,) int64.
        region: Middle (x, y) and deviation (x, y) of what moves, in frame lengths, (4,) float32.
        trail_frame: Frame of each position of the trajectories, (P, L) int64.
        trail_xy: Position in pixels of the file's frames, (P, L, 2) float32.
        trail_own: What moves against the camera from each to the next, in frame lengths, (P, L - 1, 2) float32.
        trail_segment: Segment of each of these steps, (P, L - 1) int64.
        looks: Features of each cell in some pictures, (F, C) float16; None where looks were not read.
        looks_frame: Frame of each picture, (F,) int64.
        looks_time: The same in seconds, (F,) float64.
        tokens: Of a trained model, what it compares, (L, D) float32; None without one.
    """

    motion: ndarray
    amount: ndarray
    frame: ndarray
    time: ndarray
    span: ndarray
    size: ndarray
    region: ndarray
    trail_frame: ndarray
    trail_xy: ndarray
    trail_own: ndarray
    trail_segment: ndarray
    looks: ndarray | None = None
    looks_frame: ndarray | None = None
    looks_time: ndarray | None = None
    tokens: ndarray | None = None

    def arrays(self) -> dict[str, ndarray]:
        """All that there is, by name."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: np.array(value, order="C") for name, value in values if value is not None}


def describe_motion(steps: Sequence[Step], info: VideoInfo, span: tuple[float, float]) -> Description:
    """Describe the steps of a clip, or of a part of it; none are allowed.

    Args:
        steps: What `see` gave.
        info: Of the file.
        span: Start and end of the part in seconds.
    """
    flow = np.stack([step.flow for step in steps]) if steps else np.zeros((0, 1, 1, 2), np.float16)
    size = steps[0].size if steps else (1, 1)
    points = MovingPoints.from_flow(torch.from_numpy(flow), size, STRIDE)
    gaps = (float(info.times[step.end] - info.times[step.start]) for step in steps)
    seconds = sum(gap if gap < PAUSE else 1 / FPS for gap in gaps)
    own = own_motion(points)                                                                  # (T, N, 2)
    at = [min(int((s + 0.5) * len(steps) / SEGMENTS), len(steps) - 1) for s in range(SEGMENTS)]
    start = int(np.searchsorted(info.times, span[0]))
    frame = np.array([steps[i].start for i in at] if steps else [start] * SEGMENTS, np.int64)
    return Description(
        motion=motion_rows(points, seconds, own).numpy(),
        amount=np.float64(own.norm(dim=-1).mean(1).sum() / max(seconds, 1e-3)),
        frame=frame, time=info.times[frame], span=np.array(span), size=np.array(info.size),
        region=torch.cat(region(points.xy, own)).numpy(),
        **follow(steps, own.unflatten(1, flow.shape[1:3]).numpy(), info.size))
