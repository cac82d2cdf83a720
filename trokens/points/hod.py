"""HoD, the histogram of oriented displacements: how a trajectory moves, whatever it looks like.

Gowayyed et al., "Histogram of oriented displacements", IJCAI 2013; used for trajectory tokens in the Trokens paper.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BINNINGS = ("published", "linear")


def hod(tracks: Tensor, bins: int = 32, per_frame: bool = True, binning: str = "published") -> Tensor:
    """Histogram of displacement directions, weighted by displacement length.

    A displacement of angle ``a`` (in bins, 0 at -x) lies a fraction ``f`` past bin ``floor(a)`` and is shared between
    that bin and the next. The published code gives ``f`` of its length to the first and ``1 - f`` to the second, and
    trained weights depend on that; "linear" gives the nearer bin the larger share.

    Args:
        tracks: Positions over time, (..., T, 2). A displacement with a NaN counts as none.
        bins: Number of directions, at least 2.
        per_frame: Keep frames apart (frame 0 is zero, frame t+1 holds the step from t), or sum over them.
        binning: "published" or "linear".

    Returns:
        (..., T, bins), or (..., bins) when not ``per_frame``; the unit is that of ``tracks``.
    """
    if bins < 2:
        raise ValueError(f"POINT_INFO.HOD.NUM_BINS is {bins}; at least 2 are needed.")
    if binning not in BINNINGS:
        raise ValueError(f"POINT_INFO.HOD.BINNING is '{binning}'; expected {' or '.join(BINNINGS)}.")
    # float64: `published` jumps at bin borders, where axis-parallel motion lies exactly
    step = tracks.double().diff(dim=-2)  # (..., T-1, 2)
    step = step.where(~step.isnan().any(-1, keepdim=True), 0.0)
    angle = (torch.atan2(step[..., 1], step[..., 0]) / math.pi + 1) / 2 * bins
    low, length = angle.floor(), step.norm(dim=-1)
    share = length * (angle - low)  # what the published code gives to the lower bin
    if binning == "linear":
        share = length - share
    index = torch.stack([low, low + 1], dim=-1).long() % bins  # (..., T-1, 2)
    hist = tracks.new_zeros(*tracks.shape[:-1], bins, dtype=torch.float64)
    hist[..., 1:, :].scatter_(-1, index, torch.stack([share, length - share], dim=-1))
    return (hist if per_frame else hist.sum(-2)).to(tracks.dtype)


def hod_pyramid(tracks: Tensor, bins: int = 32, levels: int = 3, binning: str = "published") -> Tensor:
    """HoD summed over the whole track, its halves, its quarters, ..., concatenated.

    Args:
        tracks: (..., T, 2); with T not divisible, part i of n covers frames floor(iT/n) to floor((i+1)T/n).
        levels: Number of levels; level l has 2**l parts.

    Returns:
        (..., (2**levels - 1) * bins).
    """
    if levels < 1:
        raise ValueError(f"POINT_INFO.HOD.TEMPORAL_PYRAMID_LEVELS is {levels}; at least 1 is needed.")
    hist, frames = hod(tracks, bins, binning=binning), tracks.shape[-2]
    parts = [hist[..., i * frames // n:(i + 1) * frames // n, :].sum(-2)
             for n in (2 ** level for level in range(levels)) for i in range(n)]
    return torch.cat(parts, dim=-1)
