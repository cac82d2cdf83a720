"""What an answer rests on: moments that were matched, and the trajectories that spoke most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trokens.points.hod import hod
from trokens.recognize.answers import Match, Trail
from trokens.recognize.description import Description
from trokens.recognize.descriptor import BINS, GRID, SPREAD, cell_shares, looks_rows, pair_distances

TRAILS = 12  # of a clip, the strongest


def matched(query: Description, example: Description, by: str) -> list[Match]:
    """For each moment of the query, the moment of the example that was matched with it, in the order of time.

    Args:
        by: "motion" or "looks".
    """
    if by == "looks":
        rows = [looks_rows(torch.from_numpy(clip.looks)) for clip in (query, example)]
        moments = [list(zip(clip.looks_frame.tolist(), clip.looks_time.tolist(), strict=True))
                   for clip in (query, example)]
    else:
        rows = _motion(query, example)
        moments = [list(zip(clip.frame.tolist(), clip.time.tolist(), strict=True)) for clip in (query, example)]
    distance, partner = pair_distances(*rows).min(-1)
    return [Match(frame, moments[1][j][0], time, moments[1][j][1], value) for (frame, time), j, value in zip(
        moments[0], partner.tolist(), distance.tolist(), strict=True)]


def strongest_trails(query: Description, example: Description) -> tuple[list[Trail], list[Trail]]:
    """The trajectories of both clips that spoke most for their resemblance, the strongest first.

    The resemblance of two matched moments is the inner product of their rows, a sum over cells and directions; a step
    of a trajectory speaks as much as its own entries have of that sum.
    """
    rows = _motion(query, example)
    pairs = pair_distances(*rows)
    return (_trails(query, rows[0], rows[1][pairs.argmin(-1)]), _trails(example, rows[1], rows[0][pairs.argmin(-2)]))


def _motion(*clips: Description) -> list[Tensor]:
    return [torch.from_numpy(clip.motion) for clip in clips]


def _trails(clip: Description, own: Tensor, other: Tensor) -> list[Trail]:
    if not len(clip.trail_xy):
        return []
    step = torch.from_numpy(clip.trail_own)                                                   # (P, L, 2)
    directions = hod(torch.stack([torch.zeros_like(step), step], dim=-2), BINS, per_frame=False, binning="linear")
    gain = (other / own.clamp(min=1e-3)).unflatten(-1, (2, GRID ** 2, BINS))                  # rows are square roots
    gain = gain[torch.from_numpy(clip.trail_segment)]                                         # (P, L, 2, C, B)
    shares = torch.stack([cell_shares(place, GRID) for place in _places(clip)], dim=-2)       # (P, L, 2, C)
    strength = torch.einsum("plgc,plb,plgcb->pl", shares, directions, gain).numpy()
    strength = strength / max(strength.max(), 1e-12)
    strength = np.concatenate([strength[:, :1], strength], axis=1).astype(np.float32)         # of positions
    best = np.argsort(-strength.sum(1), kind="stable")[:TRAILS]
    return [Trail(clip.trail_frame[i], clip.trail_xy[i], strength[i]) for i in best]


def _places(clip: Description) -> Sequence[Tensor]:
    """Where the steps start, in both grids: (P, L, 2) each."""
    extent = clip.size[::-1].astype(np.float32)
    xy = torch.from_numpy((clip.trail_xy[:, :-1] + 0.5 - extent / 2) / extent.max())
    middle, deviation = torch.from_numpy(clip.region).split(2)
    return xy / torch.from_numpy(extent / (2 * extent.max())), (xy - middle) / (SPREAD * deviation)
