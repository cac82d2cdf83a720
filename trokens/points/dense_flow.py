"""Dense optical flow between two frames of any size."""

from __future__ import annotations

import cv2
from numpy import ndarray

SMALLEST_SIDE = 64     # pixels; DIS flow reads outside smaller frames, and outside much thinner ones


class DenseFlow:
    """DIS optical flow (Kroeger et al., ECCV 2016; medium preset)."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, before: ndarray, after: ndarray) -> ndarray:
        """Displacement of each pixel of gray frames (H, W) uint8: (H, W, 2) float32, x right, y down."""
        height, width = before.shape
        short = max(SMALLEST_SIDE, (max(height, width) + 1) // 2)
        pair = (cv2.copyMakeBorder(frame, 0, max(0, short - height), 0, max(0, short - width), cv2.BORDER_REPLICATE)
                for frame in (before, after))
        return self._dis.calc(*pair, None)[:height, :width]
