"""Short trajectories where a clip moves most, followed through dense flow: what an explanation draws."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy import ndarray

from trokens.recognize.descriptor import SEGMENTS
from trokens.recognize.sight import STRIDE, Step

LENGTH = 8   # steps of a trail
AT_ONCE = 12  # trails that start together
APART = 0.05  # frame lengths between their starts


def follow(steps: Sequence[Step], own: ndarray, size: tuple[int, int]) -> dict[str, ndarray]:
    """Follow the points that move most from every ``LENGTH``-th step on, for so many steps.

    Args:
        steps: T of them.
        own: What moves against the camera, in frame lengths, (T, h, w, 2).
        size: The file's frame (height, width) in pixels.

    Returns:
        ``trail_frame``, ``trail_xy``, ``trail_own`` and ``trail_segment`` of `Description`. The last trails stand still
        where a clip ends before they do.
    """
    parts = [_follow(steps[t:t + LENGTH], own[t:t + LENGTH], size) for t in range(0, len(steps), LENGTH)]
    segment = np.arange(max(len(steps), 1)) * SEGMENTS // max(len(steps), 1)
    segments = [np.broadcast_to(segment[np.minimum(np.arange(t, t + LENGTH), len(steps) - 1)], (len(part[0]), LENGTH))
                for t, part in zip(range(0, len(steps), LENGTH), parts, strict=True)]
    empty = (np.zeros((0, LENGTH + 1), np.int64), np.zeros((0, LENGTH + 1, 2), np.float32),
             np.zeros((0, LENGTH, 2), np.float32))
    frame, xy, moved = (np.concatenate(some) for some in zip(empty, *parts, strict=True))
    return {"trail_frame": frame, "trail_xy": xy, "trail_own": moved,
            "trail_segment": np.concatenate([np.zeros((0, LENGTH), np.int64), *segments])}


def _follow(steps: Sequence[Step], own: ndarray, size: tuple[int, int]) -> tuple[ndarray, ndarray, ndarray]:
    at = _starts(np.linalg.norm(own, axis=-1).sum(0), steps[0].size)                          # (P, 2) grid places
    places, moved = [at], []
    for step, field in zip(steps, own, strict=True):
        moved.append(_read(field, at))
        at = at + _read(step.flow, at) / STRIDE
        places.append(at)
    while len(moved) < LENGTH:
        places.append(at)
        moved.append(np.zeros_like(at))
    frames = [steps[0].start, *(step.end for step in steps)]
    frames += [frames[-1]] * (LENGTH + 1 - len(frames))
    scale = np.array(size[::-1]) / steps[0].size[::-1]
    xy = (np.stack(places, 1) * STRIDE + 0.5) * scale - 0.5
    return np.tile(np.array(frames, np.int64), (len(at), 1)), xy.astype(np.float32), np.stack(moved, 1)


def _starts(strength: ndarray, size: tuple[int, int]) -> ndarray:
    """The strongest places of a grid (h, w) that lie apart, (P, 2) float32 as (x, y)."""
    strength, found = strength.copy(), []
    reach = APART * max(size) / STRIDE
    y, x = np.mgrid[:strength.shape[0], :strength.shape[1]]
    while len(found) < AT_ONCE and strength.max() > 0:
        row, column = np.unravel_index(strength.argmax(), strength.shape)
        found.append((column, row))
        strength[np.hypot(x - column, y - row) < reach] = 0
    return np.array(found, np.float32).reshape(-1, 2)


def _read(field: ndarray, at: ndarray) -> ndarray:
    """Values of a field (h, w, 2) at places (P, 2), bilinear, its border's beyond it: (P, 2) float32."""
    if not len(at):
        return np.zeros((0, 2), np.float32)
    x, y = np.ascontiguousarray(at[:, None].transpose(2, 0, 1))
    return cv2.remap(field.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
