"""Tracking on a CPU: chained optical flow, corrected by matching each point's own patch."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from trokens.points.trackers import TRACKERS, TrackResult, check_queries

SMALLEST_SIDE = 64     # pixels; DIS flow reads outside smaller frames, and outside much thinner ones
MAX_ERROR = (1, 0.05)  # forward-backward error: pixels, and fraction of the step
SIGMA = 1.0            # pixels of blur before patches are compared
RADIUS = 4             # pixels; a patch has 2 * RADIUS + 1 a side
STILL_SAME = 0.6       # correlation with the reference above which a visible point stays visible
FOUND_AGAIN = 0.9      # and above which a hidden one becomes visible
NOISE = 4.0            # variance of gray values that says nothing: flat patches correlate
UPDATE = 0.1           # share of the current patch in the running reference
CARRIERS = 9           # visible points whose median motion carries a hidden one
MOTION_WEIGHT = 16.0   # pixels of distance that one pixel of difference in motion counts, in choosing them
MAX_SHIFT = (1.5, 3.0)  # pixels by which matching may correct a visible, or a hidden point


@TRACKERS.register("flow")
class FlowTracker:
    """DIS optical flow (Kroeger et al., ECCV 2016; medium preset), chained forward and backward from the query frame.

    Each step is corrected by two Gauss-Newton iterations (Lucas and Kanade, 1981) that align the point's patch with
    its running reference. A point stays visible as long as flow forward and back returns to it, it is in the frame,
    and its patch correlates with the reference. A hidden point is carried by visible neighbors of its cluster that
    moved like it, and becomes visible again where its patch is found.

    Args:
        max_side: Longer frames are reduced to this many pixels for tracking.
    """

    def __init__(self, max_side: int = 512):
        self.max_side = max_side

    def track(self, frames: Tensor, query_points: Tensor, cluster: Tensor | None = None) -> TrackResult:
        """Follow the points; see the package's docstring. The same input gives the same bits."""
        check_queries(frames, query_points)
        gray, scale = _shrink(frames, self.max_side)
        query = query_points.numpy()
        first, start = query[:, 0].astype(np.int64), (query[:, 1:] + 0.5) * scale - 0.5
        group = np.zeros(len(query), np.int64) if cluster is None else cluster.numpy()
        there, back = _flow_fields(gray)
        forward = _follow(gray, there, back, start, first, group)
        backward = _follow(gray[::-1], back[::-1], there[::-1], start, len(gray) - 1 - first, group)
        after = np.arange(len(gray))[:, None] >= first                                        # (T, N)
        xy, visible, match = (np.where(after.reshape(after.shape + (1,) * (a.ndim - 2)), a, b[::-1])
                              for a, b in zip(forward, backward, strict=True))
        xy = ((xy + 0.5) / scale - 0.5).astype(np.float32)
        xy[first, np.arange(len(query))] = query[:, 1:]
        return TrackResult(torch.from_numpy(xy), torch.from_numpy(visible), torch.from_numpy(match))


def _shrink(frames: Tensor, max_side: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Make gray frames no longer than ``max_side``; return them and the scales (x, y)."""
    height, width = frames.shape[1:3]
    ratio = min(1, max_side / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames.numpy()]
    if ratio < 1:
        gray = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in gray]
    return gray, np.array(size) / (width, height)


def _flow_fields(gray: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Flow between neighboring frames, forward and backward: T-1 fields (H, W, 2) float16 each."""
    height, width = gray[0].shape
    short = max(SMALLEST_SIDE, (max(height, width) + 1) // 2)
    padded = [cv2.copyMakeBorder(frame, 0, max(0, short - height), 0, max(0, short - width), cv2.BORDER_REPLICATE)
              for frame in gray]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pairs = list(pairwise(padded))
    return tuple([dis.calc(*pair, None)[:height, :width].astype(np.float16) for pair in order]
                 for order in (pairs, [(b, a) for a, b in pairs]))


def _follow(gray: list[np.ndarray], there: list[np.ndarray], back: list[np.ndarray], start: np.ndarray,
            first: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow points in one direction of time, from their first frames on.

    Args:
        gray: T frames (H, W) uint8.
        there, back: Flow from each frame to the next, and the other way round, T-1 fields (H, W, 2).
        start: (N, 2) positions in frames ``first`` (N,).
        group: Cluster of each point, (N,).

    Returns:
        Positions (T, N, 2) float64, visibility (T, N) bool, correlation with the reference (T, N) float32. Before
        its first frame a point stands still, hidden.
    """
    last = np.array(gray[0].shape[::-1]) - 1.0
    xy = np.repeat(start[None], len(gray), axis=0)                                            # (T, N, 2)
    visible = np.arange(len(gray))[:, None] == first                                          # (T, N)
    match = visible.astype(np.float32)
    motion = np.zeros_like(start)
    side = 2 * RADIUS + 1
    reference = np.zeros((len(start), side, side), np.float32)
    for t in range(len(gray) - 1):
        new, active = np.flatnonzero(first == t), np.flatnonzero(first <= t)
        if not len(active):
            continue
        reference[new] = _centered(_patches(_blurred(gray[t]), start[new])[:, 1:-1, 1:-1])
        before, was_visible = xy[t, active], visible[t, active]
        step = _bilinear(there[t], before)
        error = np.linalg.norm(step + _bilinear(back[t], before + step), axis=1)
        returns = error < MAX_ERROR[0] + MAX_ERROR[1] * np.linalg.norm(step, axis=1)
        stays = was_visible & returns
        step = _carry(step, before, motion[active], group[active], stays)

        moved, limit = before + step, np.where(was_visible, *MAX_SHIFT)
        aligned, corr, patch = _align(_blurred(gray[t + 1]), moved, reference[active], limit)
        found = ~was_visible & returns & (corr > FOUND_AGAIN)
        inside = ((aligned >= 0) & (aligned <= last)).all(1)
        sees = (stays & (corr > STILL_SAME) | found) & inside
        carried = before + _carry(aligned - before, before, motion[active], group[active], sees)
        moved = np.where(sees[:, None], aligned, carried)

        xy[t + 1, active], visible[t + 1, active], match[t + 1, active] = moved, sees, corr.clip(0) * inside
        motion[active] = moved - before
        reference[active[sees]] += UPDATE * (patch[sees] - reference[active[sees]])
    return xy, visible, match


def _carry(step: np.ndarray, xy: np.ndarray, motion: np.ndarray, group: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """Give the points (n,) that do not stay visible the median step of those nearest in place, motion and cluster."""
    hidden, seen = np.flatnonzero(~stays), np.flatnonzero(stays)
    if not len(hidden) or not len(seen):
        return step
    distance = (np.square(xy[hidden, None] - xy[seen]).sum(-1)
                + MOTION_WEIGHT ** 2 * np.square(motion[hidden, None] - step[seen]).sum(-1))  # (hidden, seen)
    other = group[hidden, None] != group[seen]
    distance[other & ~other.all(1, keepdims=True)] = np.inf  # where nobody of its cluster is seen, all may carry it
    nearest = distance.argsort(axis=1, kind="stable")[:, :CARRIERS]
    carriers = step[seen][nearest]                                                            # (hidden, CARRIERS, 2)
    allowed = np.isfinite(np.take_along_axis(distance, nearest, axis=1))
    carriers[~allowed] = np.inf
    carriers.sort(axis=1)
    count = allowed.sum(1)  # the median of the first ``count``
    rows = np.arange(len(hidden))
    step = step.copy()
    step[hidden] = (carriers[rows, (count - 1) // 2] + carriers[rows, count // 2]) / 2
    return step


def _align(image: np.ndarray, xy: np.ndarray, reference: np.ndarray,
           limit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift points to where their patches correlate best with the references: two Gauss-Newton iterations.

    Args:
        image: Blurred frame (H, W) float32.
        xy: (n, 2) positions to start at.
        reference: (n, side, side) with zero mean.
        limit: Largest shift along an axis, (n,).

    Returns:
        The best of the positions tried (n, 2), its correlation (n,), its patch (n, side, side) with zero mean.
    """
    best_xy, best_corr, best_patch = xy, np.full(len(xy), -np.inf, np.float32), np.zeros_like(reference)
    here, strength = xy, _mean(reference * reference) + NOISE
    for last in (False, False, True):
        block = _patches(image, here)                                                         # (n, side + 2, side + 2)
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


def _blurred(gray: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(gray.astype(np.float32), (0, 0), SIGMA)


def _centered(patch: np.ndarray) -> np.ndarray:
    return patch - patch.mean(axis=(1, 2), keepdims=True)


def _mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(1, 2))


def _patches(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Read patches and one more pixel around them, (n, side + 2, side + 2), bilinearly; beyond the border it repeats.

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


def _bilinear(field: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Read a field (H, W, C) at positions (n, 2) -> (n, C), at the border's value beyond it."""
    height, width = field.shape[:2]
    x, y = xy.clip(0, (width - 1, height - 1)).T
    x0, y0 = x.astype(np.int64), y.astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    top = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    return top * (1 - fy) + (field[y1, x0] * (1 - fx) + field[y1, x1] * fx) * fy
