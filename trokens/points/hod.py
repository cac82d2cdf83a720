"""HoD, the histogram of oriented displacements: how a trajectory moves, whatever it looks like.

Gowayyed et al., "Histogram of Oriented Displacements (HOD): Describing Trajectories of Human Joints for Action
Recognition", IJCAI 2013 (https://www.ijcai.org/Proceedings/13/Papers/203.pdf); the motion within a trajectory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trokens.structures import check_choice

BINNINGS = ("published", "linear")


def hod_of_track(track: Tensor, bins: int = 32, binning: str = "published") -> list[list[float]]:
    """The definition, one displacement d_t = p_{t+1} - p_t at a time: row t + 1 splits its length |d_t| between the two
    bins beside its angle. "published" is not a slip here: see :func:`hod`.

    Args:
        track: Positions p_t of one point, (T, 2).
        bins, binning: As for :func:`hod`.

    Returns:
        T rows of ``bins`` numbers; row 0 is zero.
    """
    histogram = [[0.0] * bins for _ in track]
    for row, (dx, dy) in zip(histogram[1:], track.double().diff(dim=0).tolist(), strict=True):
        angle = (math.atan2(dy, dx) / math.pi + 1) / 2 * bins  # in bins, 0 at -x
        low = math.floor(angle)
        f = angle - low
        share_of_low = f if binning == "published" else 1 - f
        row[low % bins] += math.hypot(dx, dy) * share_of_low
        row[(low + 1) % bins] += math.hypot(dx, dy) * (1 - share_of_low)
    return histogram


def hod(tracks: Tensor, bins: int = 32, per_frame: bool = True, binning: str = "published") -> Tensor:
    """Histogram of displacement directions, weighted by length: :func:`hod_of_track` of many tracks at once.

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
        raise ValueError(f"bins is {bins}; at least 2 are needed.")
    check_choice("binning", binning, BINNINGS)
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
        raise ValueError(f"levels is {levels}; at least 1 is needed.")
    hist, frames = hod(tracks, bins, binning=binning), tracks.shape[-2]
    parts = [hist[..., i * frames // n:(i + 1) * frames // n, :].sum(-2)
             for n in (2 ** level for level in range(levels)) for i in range(n)]
    return torch.cat(parts, dim=-1)
