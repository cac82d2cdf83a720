"""Tracking on a CPU by sparse optical flow: the fast choice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from trokens.trackers import TRACKERS
from trokens.trackers.chained import ChainedTracker, Steps
from trokens.trackers.held import Backward

WINDOW = (15, 15)  # pixels
LEVELS = 3         # halvings of the frame


@TRACKERS.register("lucas_kanade")
class LucasKanadeTracker(ChainedTracker):
    """Pyramidal Lucas-Kanade (Bouguet, 2000) at the points alone, chained; see `ChainedTracker`."""

    name = "lucas_kanade"

    def steps(self, gray: Sequence[np.ndarray]) -> tuple[Steps, Steps]:
        return partial(_step, gray), partial(_step, Backward(gray))


def _step(gray: Sequence[np.ndarray], t: int, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow points from frame t to the next, and back; where that fails one stays, with an infinite error."""
    here, there, before = gray[t], gray[t + 1], xy.astype(np.float32)
    after, found, _ = cv2.calcOpticalFlowPyrLK(here, there, before, None, winSize=WINDOW, maxLevel=LEVELS)
    again, returns, _ = cv2.calcOpticalFlowPyrLK(there, here, after, None, winSize=WINDOW, maxLevel=LEVELS)
    failed = (found & returns)[:, 0] == 0
    after[failed] = before[failed]
    return after - before, np.where(failed, np.inf, np.linalg.norm(again - before, axis=1))
