"""Pictures of points and clusters; ``write.py`` makes files of them.

Small frames are enlarged and large ones reduced; every point stays where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from trokens.structures import Tracks

SIDES = (320, 640)  # pixels; the longer side of a picture lies between them
TRAIL = 10          # frames
TINT = 0.45         # share of a cluster's color over its patches
THICK, RADIUS = 2, 3  # pixels of trails and points
DARK, LIGHT = (24, 24, 24), (255, 255, 255)
_SHIFT = 4          # bits of subpixel position that OpenCV draws with

# Okabe and Ito's palette ("Color Universal Design", 2008), told apart by the colorblind; then its tints and shades.
_BASE = np.array([(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
                  (204, 121, 167)])
COLORS = np.concatenate([_BASE, (_BASE + 255) / 2, _BASE / 2]).round().astype(np.uint8)  # (21, 3)


def cluster_color(cluster: int) -> tuple[int, int, int]:
    """RGB of a cluster: by its number alone, so the same in every picture; they repeat after ``len(COLORS)``."""
    return tuple(COLORS[cluster % len(COLORS)].tolist())


def draw_trails(frames: Iterable[np.ndarray], tracks: Tracks, rows: Sequence[int] | None = None,
                trail: int = TRAIL) -> Iterator[np.ndarray]:
    """Draw points and where they came from, in the colors of their clusters: one picture after the other.

    A visible point is a disk, a hidden one a ring at its guessed place. A trail fades, and has gaps where the point
    was hidden.

    Args:
        frames: Frames that were tracked, each (H, W, 3) uint8.
        tracks: Points; positions that are not finite are left out.
        rows: Position of each frame, ascending; None where there is one for each position.
        trail: Steps of a trail.

    Yields:
        Pictures (H', W', 3) uint8, see `picture_size`.

    Raises:
        ValueError: Frames and positions are not equally many.
    """
    rows, frames = range(tracks.num_positions) if rows is None else rows, iter(frames)
    xy = tracks.xy.double().numpy()
    finite = np.isfinite(xy).all(-1)                                                          # (T, N)
    seen = tracks.visibility.numpy() & finite
    xy, unbroken = np.where(finite[..., None], xy, 0), seen[:-1] & seen[1:]
    cluster = tracks.cluster.numpy()
    for count, t in enumerate(rows):
        if (frame := next(frames, None)) is None:
            raise _unequal(count, len(rows))
        picture, scale = _fit(frame)
        first = max(0, t - trail)
        here = _fixed(xy[first:t + 1], scale)
        _blend_trails(picture, np.stack([here[:-1], here[1:]], axis=2), unbroken[first:t], cluster, trail)
        for shown in (finite[t] & ~seen[t], seen[t]):  # the visible ones on top
            for n in np.flatnonzero(shown):
                _dot(picture, here[-1, n], cluster_color(cluster[n]), filled=seen[t, n])
        yield picture
    if more := sum(1 for _ in frames):
        raise _unequal(len(rows) + more, len(rows))


def _unequal(frames: int, positions: int) -> ValueError:
    return ValueError(f"There are {frames} frames for tracks of {positions} positions; give the frames that were "
                      "tracked.")


def draw_clusters(frames: Tensor, labels: Tensor, points: Sequence[Tensor]) -> Tensor:
    """Tint the patches of frames by their clusters, outline the clusters, and mark each frame's query points.

    Args:
        frames: (F, H, W, 3) uint8.
        labels: Cluster of every patch, (F, P, Q) long.
        points: Query points in each frame, F tensors (n, 2) as (x, y) in pixels.

    Returns:
        (F, H', W', 3) uint8.
    """
    pictures = []
    for k, frame in enumerate(frames.numpy()):
        picture, scale = _fit(frame)
        size = picture.shape[1::-1]
        label = cv2.resize(labels[k].numpy().astype(np.int32), size, interpolation=cv2.INTER_NEAREST_EXACT)
        picture[:] = picture * (1 - TINT) + COLORS[label % len(COLORS)] * TINT + 0.5
        for axis in (0, 1):
            edge = np.diff(label, axis=axis, prepend=label.take([0], axis)) != 0
            picture[edge] = LIGHT
        for xy in _fixed(points[k].double().numpy(), scale):
            _dot(picture, xy, LIGHT, filled=True)
        pictures.append(picture)
    return torch.from_numpy(np.stack(pictures))


def picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """Size (height, width) of the pictures of frames of this size: one to look at."""
    height, width = size
    least, most = SIDES
    factor = max(1, -(-least // max(height, width)))  # whole, so that all pixels grow alike
    ratio = min(factor, most / max(height, width))
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def _fit(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A copy of a frame as large as its picture, and the scales (x, y)."""
    size, (height, width) = frame.shape[:2], picture_size(frame.shape[:2])
    if (height, width) == size:
        return frame.copy(), np.ones(2)
    method = cv2.INTER_CUBIC if max(height, width) > max(size) else cv2.INTER_AREA
    return cv2.resize(frame, (width, height), interpolation=method), np.array([width, height]) / size[::-1]


def _fixed(xy: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Positions in frames -> in pictures, in OpenCV's fixed-point numbers; those far outside come nearer."""
    return ((((xy + 0.5) * scale - 0.5).clip(-1e4, 1e4)) * 2**_SHIFT).round().astype(np.int32)


def _blend_trails(picture: np.ndarray, steps: np.ndarray, unbroken: np.ndarray, cluster: np.ndarray,
                  trail: int) -> None:
    """Blend the last steps of all trails into a picture.

    Args:
        picture: (H, W, 3) uint8, changed.
        steps: Ends of each step, oldest first, (A, N, 2, 2).
        unbroken: Which steps are drawn, (A, N) bool.
        cluster: Of each point, (N,).
        trail: Steps after which a trail has faded.
    """
    paint, cover = picture.copy(), np.zeros(picture.shape[:2], np.uint8)
    for k in np.unique(cluster):
        # Wider than what covers, so that its soft edges have the color too.
        cv2.polylines(paint, list(steps[unbroken & (cluster == k)]), False, cluster_color(k), THICK + 2, shift=_SHIFT)
    for age, (ends, good) in enumerate(zip(steps[::-1], unbroken[::-1], strict=True)):
        cv2.polylines(cover, list(ends[good]), False, round(220 * (1 - age / trail)), THICK, cv2.LINE_AA, _SHIFT)
    share = cover[..., None] / np.float32(255)
    picture[:] = picture * (1 - share) + paint * share + 0.5


def _dot(picture: np.ndarray, xy: np.ndarray, color: tuple[int, int, int], filled: bool) -> None:
    """A disk with a dark rim, or a ring that leaves its middle as it is."""
    center, unit = tuple(xy.tolist()), 2**_SHIFT
    if filled:
        cv2.circle(picture, center, (RADIUS + 1) * unit, DARK, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, center, RADIUS * unit, color, -1, cv2.LINE_AA, _SHIFT)
    else:
        cv2.circle(picture, center, (RADIUS + 1) * unit, DARK, 1, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, center, RADIUS * unit, color, 1, cv2.LINE_AA, _SHIFT)
