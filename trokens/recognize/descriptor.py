"""The descriptor: how the points of a clip move, as rows of numbers that can be compared. Nothing in it is trained.

Each point p has at step t a place x[t, p], a displacement d[t, p], and is visible or not. Lengths are in units of the
frame's longer side. With medians over the visible points, m(c, x) the share of a point at x in cell c of a grid, and
HoD the histogram of oriented displacements (Gowayyed et al., IJCAI 2013, as in the Trokens paper; linear binning):

    e[t, p] = d[t, p] - median_p d[t, p]                                    what moves against the camera
    f[t, p] = e[t, p] * max(1 - median_p |e[t, p]| / |e[t, p]|, 0)          less the noise
    H[s, c] = sum of m(c, x[t, p]) * HoD(f[t, p]) over the steps t of segment s, mean over the visible points p
    r[s]    = sqrt(H[s]) / sqrt(sum H[s] + still)                           a row a segment: all cells and directions

for two grids of 3 x 3 cells, side by side: one fitted to the frame, one to the region that moves. Two clips are as far
apart as Bi-MHM says (bidirectional mean Hausdorff metric; HyRSM, CVPR 2022), with a small price for disorder:

    D[i, j] = |r[i] - r'[j]|^2 / 2 + order * |i - j| / (S - 1)              (rows of length 1: 1 - cosine + ...)
    distance = mean_i min_j D[i, j] + mean_j min_i D[i, j]
"""

from __future__ import annotations

import torch
from torch import Tensor

from trokens.points.hod import hod
from trokens.recognize.moving_points import MovingPoints

SEGMENTS, GRID, BINS = 16, 3, 8
SPREAD = 2.0        # standard deviations of the moving region from its middle to the border of its grid
SMALLEST = 0.02     # such a deviation at least, in frame lengths
STILL = 1e-4        # frame lengths a second, mean over the points: less is as good as none
PLAIN = 0.1         # share of the mean look beside the deviations from it
ORDER = 0.2         # price of matching the first moment of a clip with the last one of another
_AT_ONCE = 64       # steps whose points are sorted into directions at once: 40 MB of a dense grid's


def motion_rows(points: MovingPoints, seconds: float, f: Tensor | None = None) -> Tensor:
    """Describe how points move.

    Args:
        points: N points at T steps; none of either is allowed.
        seconds: What the steps cover together.
        f: Their :func:`own_motion`, where it is known.

    Returns:
        (SEGMENTS, 2 * GRID ** 2 * BINS) float32, rows no longer than 1; zeros where nothing moves.
    """
    f = own_motion(points) if f is None else f                                                # (T, N, 2)
    count = points.visible.sum(1).clamp(min=1)[:, None]
    rows = []
    for place in (points.xy / points.half, from_region(points.xy, f)):
        shares = cell_shares(place, GRID).expand(*f.shape[:2], -1)                            # (T, N, C)
        some = zip(shares.split(_AT_ONCE), f.split(_AT_ONCE), strict=True)
        per_step = torch.cat([_cells(*parts) for parts in some]) / count                      # (T, C*B)
        h = sum_over_segments(per_step, SEGMENTS) * SEGMENTS / max(seconds, 1e-3)
        rows.append(h.clamp(min=0).sqrt() / (h.sum(-1, keepdim=True) + STILL).sqrt())
    return torch.cat(rows, dim=-1) / len(rows) ** 0.5


def _cells(shares: Tensor, f: Tensor) -> Tensor:
    """Sum the points of each step over cells and directions: (T, N, C) and (T, N, 2) -> (T, C*B)."""
    directions = hod(torch.stack([torch.zeros_like(f), f], dim=-2), BINS, per_frame=False, binning="linear")
    return (shares.transpose(1, 2) @ directions).flatten(1)                                   # (T, N, B) between


def own_motion(points: MovingPoints) -> Tensor:
    """Displacements f against the camera, less the noise; none where a point is hidden: (T, N, 2)."""
    e = points.displacement - _median(points.displacement, points.visible)
    length = e.norm(dim=-1, keepdim=True)
    f = e * (1 - _median(length, points.visible) / length.clamp(min=1e-12)).clamp(min=0)
    return f.where(points.visible[..., None], 0.0)


def _median(x: Tensor, visible: Tensor) -> Tensor:
    """Median over the visible points of each step, 0 where there is none: (T, N, K) -> (T, 1, K)."""
    if not x.numel():
        return x.new_zeros(len(x), 1, x.shape[-1])
    return x.where(visible[..., None], torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num(0.0)


def from_region(xy: Tensor, f: Tensor) -> Tensor:
    """Places relative to the region that moves: 0 is its middle, 1 is ``SPREAD`` standard deviations from there."""
    middle, deviation = region(xy, f)
    return (xy - middle) / (SPREAD * deviation)


def region(xy: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """Middle (2,) and deviation (2,) of what moves, over the whole clip."""
    weight = f.norm(dim=-1, keepdim=True)                                                     # (T, N, 1)
    total = weight.sum().clamp(min=1e-9)
    middle = (weight * xy).sum((0, 1)) / total
    return middle, ((weight * (xy - middle).square()).sum((0, 1)) / total).sqrt() + SMALLEST


def cell_shares(place: Tensor, grid: int) -> Tensor:
    """How much of points (..., 2), in [-1, 1] inside the grid, lies in each cell, row by row: (..., grid * grid).

    Shares go over linearly between the middles of neighboring cells; a point outside belongs to the nearest cell.
    """
    at = ((place + 1) / 2 * grid - 0.5).clamp(0, grid - 1)
    share = (1 - (at[..., None] - torch.arange(grid)).abs()).clamp(min=0)                     # (..., 2, grid)
    return (share[..., 1, :, None] * share[..., 0, None, :]).flatten(-2)


def sum_over_segments(per_step: Tensor, segments: int) -> Tensor:
    """Sum steps over equal parts of time; a step across a border counts for both, in parts: (T, K) -> (segments, K)."""
    edges = torch.linspace(0, len(per_step), segments + 1, dtype=torch.float64)
    first = torch.arange(len(per_step), dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], first + 1) - torch.maximum(edges[:-1, None], first)
    return overlap.clamp(min=0).to(per_step.dtype) @ per_step


def pair_distances(query: Tensor, example: Tensor, order: float = ORDER) -> Tensor:
    """D of every pair of rows: (..., S, D) and (..., S, D) -> (..., S, S)."""
    squares = [x.square().sum(-1) for x in (query, example)]
    apart = (squares[0][..., :, None] + squares[1][..., None, :]) / 2 - query @ example.transpose(-1, -2)
    time = torch.linspace(0, 1, query.shape[-2])
    return apart.clamp(min=0) + order * (time[:, None] - time).abs()


def bi_mhm(pairs: Tensor) -> Tensor:
    """Bi-MHM of pair distances (..., S, S) -> (...). Means, where :func:`trokens.fewshot.matchers.bi_mhm` has sums."""
    return pairs.amin(-1).mean(-1) + pairs.amin(-2).mean(-1)


def looks_rows(cells: Tensor) -> Tensor:
    """Rows of what a clip looks like: how it deviates from its own mean, and a little of that mean.

    What stays the same in a clip, the room above all, falls out; where hardly anything changes, the mean decides.

    Args:
        cells: Features of each cell of a grid, T pictures, (..., T, C).

    Returns:
        (..., T, 2 * C) of length 1: the deviations, and ``PLAIN`` times the mean.
    """
    cells = cells.float()
    mean = cells.mean(-2, keepdim=True)
    return torch.nn.functional.normalize(torch.cat([cells - mean, (PLAIN * mean).expand_as(cells)], dim=-1), dim=-1)


def distances(query: Tensor, examples: Tensor) -> Tensor:
    """Compare clips: (Q, S, D) and (E, S, D) -> (Q, E)."""
    return torch.stack([bi_mhm(pair_distances(clip, examples)) for clip in query])
