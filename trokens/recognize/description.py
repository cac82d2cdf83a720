"""What is kept of a clip, or of a part of a long video: numbers that are compared, and trajectories to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from numpy import ndarray

from trokens.recognize.descriptor import SEGMENTS, MovingPoints, motion_rows, own_motion, region
from trokens.recognize.optical_flow import FPS, STRIDE, Flow
from trokens.video import VideoInfo

PAUSE = 1.0   # seconds; between frames that are farther apart, nobody recorded
LENGTH = 8    # steps of a trajectory
AT_ONCE = 12  # trajectories that start together
APART = 0.05  # frame lengths between their starts


@dataclass(frozen=True)
class Description:
    """What is kept of a clip, by its names in files.

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
        trail_own: Motion against the camera from each position to the next, in frame lengths, (P, L - 1, 2) float32.
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


def describe_motion(flows: Sequence[Flow], info: VideoInfo, span: tuple[float, float]) -> Description:
    """Describe how a clip, or a part of it, moves.

    Args:
        flows: Its T steps; none are allowed.
        info: Of the file.
        span: Start and end of the part in seconds.
    """
    field = np.stack([flow.field for flow in flows]) if flows else np.zeros((0, 1, 1, 2), np.float16)
    points = MovingPoints.from_flow(torch.from_numpy(field), flows[0].size if flows else (1, 1), STRIDE)
    gaps = (float(info.times[flow.end] - info.times[flow.start]) for flow in flows)
    seconds = sum(gap if gap < PAUSE else 1 / FPS for gap in gaps)
    own = own_motion(points)                                                                  # (T, N, 2)
    middle = [min(int((s + 0.5) * len(flows) / SEGMENTS), len(flows) - 1) for s in range(SEGMENTS)]
    first = int(np.searchsorted(info.times, span[0]))
    frame = np.array([flows[i].start for i in middle] if flows else [first] * SEGMENTS, np.int64)
    return Description(
        motion=motion_rows(points, seconds, own).numpy(),
        amount=np.float64(own.norm(dim=-1).mean(1).sum() / max(seconds, 1e-3)),
        frame=frame, time=info.times[frame], span=np.array(span), size=np.array(info.size),
        region=torch.cat(region(points.xy, own)).numpy(),
        **trajectories(flows, own.unflatten(1, field.shape[1:3]).numpy(), info.size))


def trajectories(flows: Sequence[Flow], own: ndarray, size: tuple[int, int]) -> dict[str, ndarray]:
    """Follow the points that move most from every ``LENGTH``-th step on, for so many steps.

    Args:
        flows: T of them.
        own: Motion against the camera, in frame lengths, (T, h, w, 2).
        size: The file's frame (height, width) in pixels.

    Returns:
        ``trail_frame``, ``trail_xy``, ``trail_own`` and ``trail_segment`` of `Description`. The last trajectories stand
        still where a clip ends before they do.
    """
    frames, positions, moves, segments = ([np.zeros(shape, kind)] for shape, kind in (
        ((0, LENGTH + 1), np.int64), ((0, LENGTH + 1, 2), np.float32), ((0, LENGTH, 2), np.float32),
        ((0, LENGTH), np.int64)))
    for t in range(0, len(flows), LENGTH):
        frame, xy, moved = _follow(flows[t:t + LENGTH], own[t:t + LENGTH], size)
        steps = np.minimum(np.arange(t, t + LENGTH), len(flows) - 1)
        frames.append(np.tile(frame, (len(xy), 1)))
        positions.append(xy)
        moves.append(moved)
        segments.append(np.tile(steps * SEGMENTS // len(flows), (len(xy), 1)))
    return {"trail_frame": np.concatenate(frames), "trail_xy": np.concatenate(positions),
            "trail_own": np.concatenate(moves), "trail_segment": np.concatenate(segments)}


def _follow(flows: Sequence[Flow], own: ndarray, size: tuple[int, int]) -> tuple[ndarray, ndarray, ndarray]:
    """Frames (LENGTH + 1,), positions (P, LENGTH + 1, 2) and own motion (P, LENGTH, 2) of trajectories."""
    at = _starts(np.linalg.norm(own, axis=-1).sum(0), flows[0].size)                          # (P, 2), on the grid
    positions, moved = [at], []
    for flow, field in zip(flows, own, strict=True):
        moved.append(_read(field, at))
        at = at + _read(flow.field, at) / STRIDE
        positions.append(at)
    lacking = LENGTH - len(flows)
    positions += [at] * lacking
    moved += [np.zeros_like(at)] * lacking
    frames = [flows[0].start, *(flow.end for flow in flows), *[flows[-1].end] * lacking]
    scale = np.array(size[::-1]) / flows[0].size[::-1]
    xy = (np.stack(positions, 1) * STRIDE + 0.5) * scale - 0.5
    return np.array(frames, np.int64), xy.astype(np.float32), np.stack(moved, 1)


def _starts(strength: ndarray, size: tuple[int, int]) -> ndarray:
    """The strongest positions on a grid (h, w) that lie apart, (P, 2) float32 as (x, y)."""
    strength, found = strength.copy(), []
    reach = APART * max(size) / STRIDE
    y, x = np.mgrid[:strength.shape[0], :strength.shape[1]]
    while len(found) < AT_ONCE and strength.max() > 0:
        row, column = np.unravel_index(strength.argmax(), strength.shape)
        found.append((column, row))
        strength[np.hypot(x - column, y - row) < reach] = 0
    return np.array(found, np.float32).reshape(-1, 2)


def _read(field: ndarray, at: ndarray) -> ndarray:
    """Values of a field (h, w, 2) at positions (P, 2), bilinear, its border's beyond it: (P, 2) float32."""
    if not len(at):
        return np.zeros((0, 2), np.float32)
    x, y = np.ascontiguousarray(at[:, None].transpose(2, 0, 1))
    return cv2.remap(field.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
