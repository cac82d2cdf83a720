"""What an answer rests on: the nearest examples, the moments that were matched, the trajectories that count most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trokens.recognize.answers import Answer
from trokens.recognize.compare import looks_rows, pair_distances
from trokens.recognize.description import Description
from trokens.recognize.descriptor import BINS, GRID, SPREAD, cell_shares, directions

MOST_TRAJECTORIES = 12  # of a clip, the strongest


@dataclass(frozen=True)
class Match:
    """A moment of the query, and the moment of the example that resembles it most.

    Attributes:
        query_frame, example_frame: Frame numbers in the files.
        query_time, example_time: Seconds.
        distance: How far they are apart, 0 for equal.
    """

    query_frame: int
    example_frame: int
    query_time: float
    example_time: float
    distance: float


@dataclass(frozen=True)
class Trajectory:
    """One trajectory of a clip, to be drawn.

    Attributes:
        frame: Frame number of each position in the file, (P,) int64.
        xy: Position in pixels of the file's frames, (P, 2) float32.
        strength: How much each position counts for the match, (P,) float32, at most 1 in all trajectories of a clip.
    """

    frame: np.ndarray
    xy: np.ndarray
    strength: np.ndarray


@dataclass(frozen=True)
class Nearest:
    """The nearest example of an action.

    Attributes:
        label: The action.
        path: The example's file.
        distance: From the query to it.
        matches: Which moments were matched, in the order of the query's time.
        query_trails, example_trails: The trajectories of both clips that count most for it, the strongest first.
    """

    label: Any
    path: str
    distance: float
    matches: tuple[Match, ...]
    query_trails: tuple[Trajectory, ...]
    example_trails: tuple[Trajectory, ...]


@dataclass(frozen=True)
class Explanation:
    """What the answer to a clip rests on.

    Attributes:
        answer: The answer.
        nearest: The nearest example of each action, the nearest action first.
        motion_share: How much of the distances came from motion, in [0, 1]; the rest from looks. None where a trained
            model's tokens were compared.
    """

    answer: Answer
    nearest: tuple[Nearest, ...]
    motion_share: float | None


def matched_moments(query: Description, example: Description, by: str) -> tuple[Match, ...]:
    """For each moment of the query, the moment of the example that was matched with it, in the order of time.

    Args:
        by: "motion" or "looks".
    """
    clips, prefix = (query, example), "looks_" if by == "looks" else ""
    rows = [looks_rows(torch.from_numpy(clip.looks)) if by == "looks" else torch.from_numpy(clip.motion)
            for clip in clips]
    frames, times = ([getattr(clip, prefix + name).tolist() for clip in clips] for name in ("frame", "time"))
    distance, partner = (x.tolist() for x in pair_distances(*rows).min(-1))
    return tuple(Match(frames[0][i], frames[1][j], times[0][i], times[1][j], distance[i])
                 for i, j in enumerate(partner))


def strongest_trajectories(query: Description, example: Description,
                           ) -> tuple[tuple[Trajectory, ...], tuple[Trajectory, ...]]:
    """The trajectories of both clips that count most for their resemblance, the strongest first.

    The resemblance of two matched moments is the inner product of their rows, a sum over cells and directions; a step
    of a trajectory counts as much as its own entries have of that sum.
    """
    rows = [torch.from_numpy(clip.motion) for clip in (query, example)]
    pairs = pair_distances(*rows)
    return (_strongest(query, rows[0], rows[1][pairs.argmin(-1)]),
            _strongest(example, rows[1], rows[0][pairs.argmin(-2)]))


def _strongest(clip: Description, own: Tensor, other: Tensor) -> tuple[Trajectory, ...]:
    """Those of a clip by its own rows and those matched to them, (SEGMENTS, K) each."""
    if not len(clip.trail_xy):
        return ()
    gain = (other / own.clamp(min=1e-3)).unflatten(-1, (2, GRID ** 2, BINS))                  # rows are square roots
    gain = gain[torch.from_numpy(clip.trail_segment)]                                         # (P, L, 2, C, B)
    extent = clip.size[::-1].astype(np.float32)                                               # width, height
    xy = torch.from_numpy((clip.trail_xy[:, :-1] + 0.5 - extent / 2) / extent.max())          # where steps start
    middle, deviation = torch.from_numpy(clip.region).split(2)
    in_grids = xy / torch.from_numpy(extent / (2 * extent.max())), (xy - middle) / (SPREAD * deviation)
    shares = torch.stack([cell_shares(x) for x in in_grids], dim=-2)                          # (P, L, 2, C)
    hod = directions(torch.from_numpy(clip.trail_own))                                        # (P, L, B)
    strength = torch.einsum("plgc,plb,plgcb->pl", shares, hod, gain).numpy()
    strength = strength / max(strength.max(), 1e-12)
    strength = np.concatenate([strength[:, :1], strength], axis=1).astype(np.float32)         # of positions
    best = np.argsort(-strength.sum(1), kind="stable")[:MOST_TRAJECTORIES]
    return tuple(Trajectory(clip.trail_frame[i], clip.trail_xy[i], strength[i]) for i in best)
