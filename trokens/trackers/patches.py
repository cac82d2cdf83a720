"""Patches around points: read between pixels, and aligned with a reference."""

from __future__ import annotations

import cv2
import numpy as np

SIGMA = 1.0   # pixels of blur before patches are compared
RADIUS = 4    # pixels around the center
SIDE = 2 * RADIUS + 1
NOISE = 4.0   # variance of gray values that says nothing: flat patches correlate


def blurred(gray: np.ndarray) -> np.ndarray:
    """Prepare a gray frame (H, W) uint8 for what follows: (H, W) float32."""
    return cv2.GaussianBlur(gray.astype(np.float32), (0, 0), SIGMA)


def patches(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Read the patches around positions (n, 2) of a blurred frame: (n, SIDE, SIDE) float32 with zero mean."""
    return _centered(_blocks(image, xy)[:, 1:-1, 1:-1])


def align(image: np.ndarray, xy: np.ndarray, reference: np.ndarray,
          limit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift points to where their patches correlate best with the references: two Gauss-Newton iterations.

    Args:
        image: Blurred frame (H, W) float32.
        xy: (n, 2) positions to start at.
        reference: (n, SIDE, SIDE) with zero mean.
        limit: Largest shift along an axis, (n,).

    Returns:
        The best of the positions tried (n, 2), its correlation (n,), its patch (n, SIDE, SIDE) with zero mean.
    """
    best_xy, best_corr, best_patch = xy, np.full(len(xy), -np.inf, np.float32), np.zeros_like(reference)
    here, strength = xy, _mean(reference * reference) + NOISE
    for last in (False, False, True):
        block = _blocks(image, here)                                                          # (n, SIDE + 2, SIDE + 2)
        patch = _centered(block[:, 1:-1, 1:-1])
        power = _mean(patch * patch) + NOISE
        corr = (_mean(patch * reference) + NOISE) / np.sqrt(power * strength)
        better = (corr > best_corr) & (np.abs(here - xy).max(1) <= limit)
        best_xy = np.where(better[:, None], here, best_xy)
        best_corr = np.where(better, corr, best_corr)
        best_patch[better] = patch[better]
        if not last:
            gain = np.sqrt(strength / power)[:, None, None]  # a change of light scales the patch
            gx = _centered(block[:, 1:-1, 2:] - block[:, 1:-1, :-2]) * gain / 2
            gy = _centered(block[:, 2:, 1:-1] - block[:, :-2, 1:-1]) * gain / 2
            rest = reference - patch * gain
            xx, xy_, yy = _mean(gx * gx) + 0.5, _mean(gx * gy), _mean(gy * gy) + 0.5  # 0.5 stills flat patches
            u, v = _mean(gx * rest), _mean(gy * rest)
            shift = np.stack([yy * u - xy_ * v, xx * v - xy_ * u], axis=1) / (xx * yy - xy_ ** 2)[:, None]
            here = here + shift.clip(-1, 1)
    return best_xy, best_corr, best_patch


def _centered(patch: np.ndarray) -> np.ndarray:
    return patch - patch.mean(axis=(1, 2), keepdims=True)


def _mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(1, 2))


def _blocks(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Read patches and one more pixel around them, (n, SIDE + 2, SIDE + 2), bilinearly; beyond the border it repeats.

    All pixels of a patch share one subpixel shift, so whole pixels are gathered once and blended.
    """
    reach = RADIUS + 1
    height, width = image.shape
    image = cv2.copyMakeBorder(image, reach, reach + 1, reach, reach + 1, cv2.BORDER_REPLICATE)
    xy = xy.clip(0, (width - 1, height - 1))
    whole = xy.astype(np.int64)
    fx, fy = (xy - whole).astype(np.float32).T[..., None, None]
    window = np.arange(2 * reach + 2)
    block = image[whole[:, 1, None, None] + window[:, None], whole[:, 0, None, None] + window]
    block = block[:, :, :-1] + fx * (block[:, :, 1:] - block[:, :, :-1])
    return block[:, :-1] + fy * (block[:, 1:] - block[:, :-1])
