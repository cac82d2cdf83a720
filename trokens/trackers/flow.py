"""Tracking on a CPU by dense optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from trokens.points.dense_flow import DenseFlow
from trokens.runtime.machine import available_memory
from trokens.trackers import TRACKERS
from trokens.trackers.chained import ChainedTracker, Steps

KEPT_FIELDS = 2**30    # bytes of a clip's flow that are kept for the way back in time; beyond, it is computed again


@TRACKERS.register("flow")
class FlowTracker(ChainedTracker):
    """DIS optical flow (Kroeger et al., ECCV 2016; medium preset), chained; see `ChainedTracker`."""

    name = "flow"

    def steps(self, gray: Sequence[np.ndarray]) -> tuple[Steps, Steps]:
        flow, room = DenseFlow(), min(KEPT_FIELDS, available_memory() // 4)

        @lru_cache(max(1, room // (8 * gray[0].size)))
        def fields(t: int) -> tuple[np.ndarray, np.ndarray]:
            """The flow from frame t to the next, and from there back: two fields (H, W, 2) float16."""
            here, there = gray[t], gray[t + 1]
            return flow(here, there).astype(np.float16), flow(there, here).astype(np.float16)

        def forward(t: int, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            ahead, back = fields(t)
            return _step(ahead, back, xy)

        def backward(t: int, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            back, ahead = fields(len(gray) - 2 - t)
            return _step(ahead, back, xy)

        return forward, backward


def _step(ahead: np.ndarray, back: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step of each point (n, 2) in a field, and how far off the field back leads: its forward-backward error."""
    step = _bilinear(ahead, xy)
    return step, np.linalg.norm(step + _bilinear(back, xy + step), axis=1)


def _bilinear(field: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Read a field (H, W, C) at positions (n, 2) -> (n, C), at the border's value beyond it."""
    height, width = field.shape[:2]
    x, y = xy.clip(0, (width - 1, height - 1)).T
    x0, y0 = x.astype(np.int64), y.astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    top = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    return top * (1 - fy) + (field[y1, x0] * (1 - fx) + field[y1, x1] * fx) * fy
