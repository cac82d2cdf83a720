"""Tracking on a CPU by dense optical flow."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from trokens.distributed import check_memory
from trokens.points.trackers import TRACKERS
from trokens.points.trackers.chained import ChainedTracker, Steps

SMALLEST_SIDE = 64     # pixels; DIS flow reads outside smaller frames, and outside much thinner ones


@TRACKERS.register("flow")
class FlowTracker(ChainedTracker):
    """DIS optical flow (Kroeger et al., ECCV 2016; medium preset), chained; see `ChainedTracker`.

    Raises:
        MemoryError: In tracking, where memory does not hold the flow between all frames: 8 bytes a pixel.
    """

    name = "flow"

    def steps(self, gray: list[np.ndarray]) -> tuple[Steps, Steps]:
        there, back = _flow_fields(gray)
        return _reader(there, back), _reader(back[::-1], there[::-1])


def _reader(there: list[np.ndarray], back: list[np.ndarray]) -> Steps:
    """Read steps from the fields between each frame and the next, and the other way round."""

    def steps(t: int, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step = _bilinear(there[t], xy)
        return step, np.linalg.norm(step + _bilinear(back[t], xy + step), axis=1)

    return steps


def _flow_fields(gray: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Flow between neighboring frames, forward and backward: T-1 fields (H, W, 2) float16 each."""
    height, width = gray[0].shape
    check_memory(2 * (len(gray) - 1) * height * width * 4, f"Optical flow between {len(gray)} frames takes",
                 "track fewer frames at once, or smaller ones (max_side)")
    short = max(SMALLEST_SIDE, (max(height, width) + 1) // 2)
    padded = [cv2.copyMakeBorder(frame, 0, max(0, short - height), 0, max(0, short - width), cv2.BORDER_REPLICATE)
              for frame in gray]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pairs = list(pairwise(padded))
    return tuple([dis.calc(*pair, None)[:height, :width].astype(np.float16) for pair in order]
                 for order in (pairs, [(b, a) for a, b in pairs]))


def _bilinear(field: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Read a field (H, W, C) at positions (n, 2) -> (n, C), at the border's value beyond it."""
    height, width = field.shape[:2]
    x, y = xy.clip(0, (width - 1, height - 1)).T
    x0, y0 = x.astype(np.int64), y.astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    top = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    return top * (1 - fy) + (field[y1, x0] * (1 - fx) + field[y1, x1] * fx) * fy
