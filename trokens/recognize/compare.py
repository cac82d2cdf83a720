"""How far clips are apart: from their rows to one distance, and from examples to actions.

With r[i] the rows of one clip, r'[j] those of another, S of each, and a how much the first clip moves:

    D[i, j] = |r[i] - r'[j]|^2 / 2 + ORDER * |i - j| / (S - 1)            1 - cosine, and a small price for disorder
    d       = mean_i min_j D[i, j] + mean_j min_i D[i, j]                 Bi-MHM (HyRSM, CVPR 2022)
    d_both  = share * a / (a + MOVES) * (1 - exp(-(d_motion / NEAR)^2)) + (1 - share) * d_looks
    d_action = -SOFTNESS * log mean_k exp(-d_k / SOFTNESS)                over the examples k of the action
    p(action) = softmax over the actions of -d_action / temperature
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from trokens.fewshot.matchers.bi_mhm import bi_mhm as token_bi_mhm
from trokens.recognize.description import Description

ORDER = 0.2          # price of matching the first moment of a clip with the last one of another
NEAR = 0.4           # distance of motion; far beyond it two clips are of two actions, however much farther they are
MOVES = 0.003        # frame lengths a second; where a clip moves no more, its motion counts half
SOFTNESS = 0.1       # how much farther than the nearest an example of an action may be and still count
PLAIN = 0.1          # share of the mean look beside the deviations from it
_AT_ONCE = 64        # examples whose looks are compared at once: 40 MB


def pair_distances(query: Tensor, example: Tensor, order: float = ORDER) -> Tensor:
    """D of every pair of rows: (..., S, K) and (..., S, K) -> (..., S, S)."""
    squares = [r.square().sum(-1) for r in (query, example)]
    apart = (squares[0][..., :, None] + squares[1][..., None, :]) / 2 - query @ example.transpose(-1, -2)
    time = torch.linspace(0, 1, query.shape[-2])
    return apart.clamp(min=0) + order * (time[:, None] - time).abs()


def bi_mhm(D: Tensor) -> Tensor:
    """Bi-MHM of pair distances (..., S, S) -> (...). Means, where that of `trokens.fewshot.matchers` has sums."""
    return D.amin(-1).mean(-1) + D.amin(-2).mean(-1)


def distances(query: Tensor, examples: Tensor) -> Tensor:
    """Bi-MHM of clips by their rows: (Q, S, K) and (E, S, K) -> (Q, E)."""
    return torch.stack([bi_mhm(pair_distances(clip, examples)) for clip in query])


def bounded(motion: Tensor) -> Tensor:
    """1 - exp(-(d / NEAR)^2), in [0, 1): what is far is far.

    Seen from two sides, two clips of one action may move as differently as clips of two actions do. So differences
    between large distances say little, and must not outvote looks, which may say a lot.
    """
    return 1 - torch.exp(-(motion / NEAR) ** 2)


def trust(amount: Any) -> Any:
    """a / (a + MOVES), in [0, 1): how much motion counts. Of a clip that hardly moves, it is mostly noise."""
    return amount / (amount + MOVES)


def to_actions(distance: ndarray, action: ndarray, num_actions: int) -> ndarray:
    """Distance to each action: the soft minimum over its examples; of one example its own.

    Args:
        distance: To each example, (Q, E); infinite where an example does not count.
        action: Of each example, (E,) int in [0, num_actions).

    Returns:
        (Q, num_actions); infinite where no example counts.
    """
    return np.stack([_soft_minimum(distance[:, action == number]) for number in range(num_actions)], axis=1)


def _soft_minimum(d: ndarray) -> ndarray:
    """-SOFTNESS * log mean_k exp(-d_k / SOFTNESS) over the finite d_k, counted from the nearest: (Q, K) -> (Q,)."""
    nearest = d.min(1)
    with np.errstate(invalid="ignore", divide="ignore"):  # where all are infinite
        weight = np.exp(-(d - nearest[:, None]) / SOFTNESS)
        soft = nearest - SOFTNESS * np.log(weight.sum(1) / np.isfinite(d).sum(1))
    return np.where(np.isfinite(nearest), soft, np.inf)


class Distances(NamedTuple):
    """Of Q clips to E examples.

    Attributes:
        motion, looks: (Q, E), or None where they are not compared.
        amount: How much each clip moves, (Q,).
    """

    motion: ndarray | None
    looks: ndarray | None
    amount: ndarray

    def joined(self, share: float) -> ndarray:
        """One distance of both, (Q, E); ``share`` is that of motion, in [0, 1], and looks have the rest."""
        if self.motion is None or self.looks is None:
            return self.looks if self.motion is None else self.motion
        return share * trust(self.amount)[:, None] * self.motion + (1 - share) * self.looks

    def of(self, clips: ndarray, examples: ndarray) -> Distances:
        """Those of some clips to some examples, by their numbers."""
        motion, looks = (None if part is None else part[np.ix_(clips, examples)] for part in (self.motion, self.looks))
        return Distances(motion, looks, self.amount[clips])


def compare(clips: Sequence[Description], examples: Sequence[Description], method: str,
            matcher: Callable[[Tensor, Tensor], Tensor] = token_bi_mhm) -> Distances:
    """Compare clips with examples by "motion", "looks", "both" (looks only where both have them), or "tokens".

    Args:
        matcher: For tokens: of clips (Q, L, D) and examples (E, L, D) the distances (Q, E).
    """
    amount = np.array([float(clip.amount) for clip in clips])
    if method == "tokens":
        query, support = _stacked(clips, "tokens"), _stacked(examples, "tokens")
        return Distances((matcher(query, support) / query.shape[1]).double().numpy(), None, amount)
    motion = looks = None
    if method != "looks":
        motion = bounded(distances(_stacked(clips, "motion"), _stacked(examples, "motion")).double()).numpy()
    if method != "motion":
        query = looks_rows(_stacked(clips, "looks"))
        looks = torch.cat([distances(query, looks_rows(_stacked(examples[i:i + _AT_ONCE], "looks")))
                           for i in range(0, len(examples), _AT_ONCE)], dim=1).double().numpy()
    return Distances(motion, looks, amount)


def _stacked(clips: Sequence[Description], name: str) -> Tensor:
    return torch.from_numpy(np.stack([getattr(clip, name) for clip in clips]))


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
