"""The descriptor: how the points of a clip move, as rows of numbers that can be compared. Nothing in it is trained.

Point p is at step t at x[t, p] and moves by d[t, p]; it is visible or not. Lengths are in units of the frame's longer
side. Medians are over the visible points. m(c, x) is the share of a point at x in cell c of a grid of 3 x 3. HoD is the
histogram of oriented displacements (Gowayyed et al., IJCAI 2013, as in the Trokens paper; linear binning):

    e[t, p] = d[t, p] - median_p d[t, p]                                    motion against the camera
    f[t, p] = e[t, p] * max(1 - median_p |e[t, p]| / |e[t, p]|, 0)          less the noise
    H[s, c] = sum of m(c, x[t, p]) * HoD(f[t, p]) over the steps t of segment s, mean over the visible points p
    r[s]    = sqrt(H[s]) / sqrt(sum H[s] + STILL)                           a row a segment: all cells and directions

There are two grids, and their rows stand side by side: one grid fits the frame, one the region that moves. How far two
clips are apart, `trokens.recognize.compare` says.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trokens.points.hod import hod
from trokens.structures import Tracks, check_shape

SEGMENTS, GRID, BINS = 16, 3, 8
SPREAD = 2.0        # standard deviations of the moving region from its middle to the border of its grid
SMALLEST = 0.02     # such a deviation at least, in frame lengths
STILL = 1e-4        # frame lengths a second, mean over the points: less is as good as none
_AT_ONCE = 64       # steps whose points are sorted into directions at once: 40 MB for a dense grid


def motion_rows(points: MovingPoints, seconds: float, f: Tensor | None = None) -> Tensor:
    """Describe how points move: r of both grids.

    Args:
        points: N points at T steps; either may be 0.
        seconds: Duration of all steps.
        f: Their :func:`own_motion`, where it is known.

    Returns:
        (SEGMENTS, 2 * GRID ** 2 * BINS) float32, rows no longer than 1; zeros where nothing moves.
    """
    f = own_motion(points) if f is None else f                                                # (T, N, 2)
    middle, deviation = region(points.xy, f)
    rows = []
    for x in (points.xy / points.half, (points.xy - middle) / (SPREAD * deviation)):
        per_step = hod_of_cells(x, f) / points.visible.sum(1).clamp(min=1)[:, None]           # (T, C*B)
        H = sum_over_segments(per_step, SEGMENTS) * SEGMENTS / max(seconds, 1e-3)
        rows.append(H.clamp(min=0).sqrt() / (H.sum(-1, keepdim=True) + STILL).sqrt())
    return torch.cat(rows, dim=-1) / len(rows) ** 0.5


def hod_of_cells(x: Tensor, f: Tensor) -> Tensor:
    """Sum HoD(f) over the points of each step, each point shared among the cells by m(c, x): (T, C*B)."""
    m = cell_shares(x).expand(*f.shape[:2], -1)                                               # (T, N, C)
    return torch.cat([(shares.transpose(1, 2) @ directions(some)).flatten(1)                  # (T, C, B) -> (T, C*B)
                      for shares, some in zip(m.split(_AT_ONCE), f.split(_AT_ONCE), strict=True)])


def directions(f: Tensor) -> Tensor:
    """HoD of each displacement alone: (..., 2) -> (..., BINS)."""
    return hod(torch.stack([torch.zeros_like(f), f], dim=-2), BINS, per_frame=False, binning="linear")


def own_motion(points: MovingPoints) -> Tensor:
    """Displacements f against the camera, less the noise; zero where a point is hidden: (T, N, 2)."""
    e = points.displacement - _median(points.displacement, points.visible)
    length = e.norm(dim=-1, keepdim=True)
    f = e * (1 - _median(length, points.visible) / length.clamp(min=1e-12)).clamp(min=0)
    return f.where(points.visible[..., None], 0.0)


def _median(x: Tensor, visible: Tensor) -> Tensor:
    """Median over the visible points of each step, 0 where there is none: (T, N, K) -> (T, 1, K)."""
    if not x.numel():
        return x.new_zeros(len(x), 1, x.shape[-1])
    return x.where(visible[..., None], torch.nan).nanmedian(dim=1, keepdim=True).values.nan_to_num(0.0)


def region(xy: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """Middle (2,) and deviation (2,) of what moves, over the whole clip."""
    weight = f.norm(dim=-1, keepdim=True)                                                     # (T, N, 1)
    total = weight.sum().clamp(min=1e-9)
    middle = (weight * xy).sum((0, 1)) / total
    return middle, ((weight * (xy - middle).square()).sum((0, 1)) / total).sqrt() + SMALLEST


def cell_shares(x: Tensor) -> Tensor:
    """The share m(c, x) of points (..., 2) in each cell, row by row: (..., GRID * GRID).

    The grid covers [-1, 1]. Shares go over linearly between the middles of neighboring cells; a point outside belongs
    to the nearest cell.
    """
    at = ((x + 1) / 2 * GRID - 0.5).clamp(0, GRID - 1)
    share = (1 - (at[..., None] - torch.arange(GRID)).abs()).clamp(min=0)                     # (..., 2, GRID)
    return (share[..., 1, :, None] * share[..., 0, None, :]).flatten(-2)


def sum_over_segments(per_step: Tensor, segments: int) -> Tensor:
    """Sum steps over equal parts of time; a step across a border counts for both, in parts: (T, K) -> (segments, K)."""
    edges = torch.linspace(0, len(per_step), segments + 1, dtype=torch.float64)
    first = torch.arange(len(per_step), dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], first + 1) - torch.maximum(edges[:-1, None], first)
    return overlap.clamp(min=0).to(per_step.dtype) @ per_step


@dataclass(frozen=True)
class MovingPoints:
    """Where the points of a clip are at each of T steps, and by how much they move.

    Lengths are in units of the frame's longer side; x right, y down, (0, 0) the center of the frame.

    Attributes:
        xy: Position of each point before the step, (T, N, 2) float32; (1, N, 2) where all steps have the same.
        displacement: What the step adds to it, (T, N, 2) float32.
        visible: Whether the point is seen before and after the step, (T, N) bool.
        half: Half the frame's width and height, (2,) float32.
    """

    xy: Tensor
    displacement: Tensor
    visible: Tensor
    half: Tensor

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_shape("displacement", self.displacement, "T N 2", sizes)
        check_shape("visible", self.visible, "T N", sizes)
        check_shape("xy", self.xy, "1 N 2" if len(self.xy) == 1 else "T N 2", sizes)

    @classmethod
    def from_tracks(cls, tracks: Tracks) -> MovingPoints:
        """Read trajectories of T + 1 positions; a point is hidden where it is not finite.

        Raises:
            ValueError: The tracks do not say the size of their frames.
        """
        if tracks.size is None:
            raise ValueError("The tracks do not say the size of their frames; give Tracks a size.")
        frame, side = torch.tensor(tracks.size[::-1]), max(tracks.size)                       # width, height
        xy = (tracks.xy + 0.5 - frame / 2) / side
        seen = tracks.visibility & xy.isfinite().all(-1)
        xy = xy.where(seen[..., None], 0.0)
        return cls(xy[:-1], xy.diff(dim=0), seen[:-1] & seen[1:], frame / (2 * side))

    @classmethod
    def from_flow(cls, flow: Tensor, size: tuple[int, int], stride: int) -> MovingPoints:
        """Read dense optical flow, as points that start on a grid anew at every step.

        Args:
            flow: Displacements of every ``stride``-th pixel, in pixels, (T, h, w, 2); T may be 0.
            size: (height, width) of the frames between which it was computed.
        """
        (height, width), side = size, max(size)
        y, x = torch.meshgrid(torch.arange(0, height, stride), torch.arange(0, width, stride), indexing="ij")
        xy = torch.stack([x + 0.5 - width / 2, y + 0.5 - height / 2], dim=-1).flatten(0, 1) / side
        displacement = flow.float().flatten(1, 2) / side
        return cls(xy[None], displacement, torch.ones(displacement.shape[:2], dtype=torch.bool),
                   torch.tensor([width, height]) / (2 * side))
