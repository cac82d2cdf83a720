"""From descriptions to distances: of motion and of looks, joined into one, and from examples to actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray

from trokens.fewshot.matchers.bi_mhm import bi_mhm as token_bi_mhm
from trokens.recognize.description import Description
from trokens.recognize.descriptor import distances, looks_rows

NEAR = 0.4           # distance of motion; far beyond it two clips are of two actions, however much farther they are
MOVES = 0.003        # frame lengths a second; where a clip moves no more, its motion counts half
MOTION_SHARE = 3 / 4  # of motion beside looks, unless leave-one-out over the examples says otherwise
SOFTNESS = 0.1       # how much farther than the nearest an example of an action may be and still be heard
_AT_ONCE = 64        # examples whose looks are compared at once: 40 MB


class Distances(NamedTuple):
    """Of Q clips to E examples, each (Q, E) or None where it is not compared; ``amount`` (Q,) is how much they move."""

    motion: ndarray | None
    looks: ndarray | None
    amount: ndarray


def compare(clips: Sequence[Description], examples: Sequence[Description], method: str) -> Distances:
    """Compare clips with examples by "motion", "looks", "both" (looks only where both have them), or "tokens"."""
    amount = np.array([float(clip.amount) for clip in clips])
    if method == "tokens":
        return Distances(_tokens(clips, examples), None, amount)
    motion = looks = None
    if method != "looks":
        motion = bounded(distances(*(torch.from_numpy(np.stack([x.motion for x in some]))
                                     for some in (clips, examples))).double())
    if method != "motion":
        looks = torch.cat([distances(_looks(clips), _looks(examples[i:i + _AT_ONCE]))
                           for i in range(0, len(examples), _AT_ONCE)], dim=1)
    motion, looks = (None if x is None else x.double().numpy() for x in (motion, looks))
    return Distances(motion, looks, amount)


def bounded(motion: torch.Tensor) -> torch.Tensor:
    """One minus a Gaussian of the distance, in [0, 1): what is far is far.

    Seen from two sides, two clips of one action may move as differently as clips of two actions do. So differences
    between large distances say little, and must not outvote looks, which may say a lot.
    """
    return 1 - torch.exp(-(motion / NEAR) ** 2)


def _looks(clips: Sequence[Description]) -> torch.Tensor:
    return looks_rows(torch.from_numpy(np.stack([clip.looks for clip in clips])))


def _tokens(clips: Sequence[Description], examples: Sequence[Description]) -> ndarray:
    query, support = (torch.from_numpy(np.stack([x.tokens for x in some])) for some in (clips, examples))
    return (token_bi_mhm(query, support) / query.shape[1]).double().numpy()


def joined(found: Distances, share: float) -> ndarray:
    """One distance of both, (Q, E).

    Looks count as they are; motion counts less where a clip hardly moves, since noise is then most of it.

    Args:
        share: Of motion, in [0, 1]; the rest is of looks.
    """
    if found.motion is None or found.looks is None:
        return found.looks if found.motion is None else found.motion
    return share * trust(found.amount)[:, None] * found.motion + (1 - share) * found.looks


def trust(amount: Any) -> Any:
    """How much the motion of clips counts, in [0, 1), by how much they move."""
    return amount / (amount + MOVES)


def to_actions(distance: ndarray, action: ndarray, num_actions: int) -> ndarray:
    """Distance to each action: a soft minimum over its examples; of one example its own.

    Args:
        distance: To each example, (Q, E); infinite where one does not count.
        action: Of each example, (E,) int in [0, num_actions).

    Returns:
        (Q, num_actions); infinite where no example counts.
    """
    out = np.full((len(distance), num_actions), np.inf)
    for number in range(num_actions):
        own = distance[:, action == number]                                                   # (Q, K)
        nearest = own.min(1, keepdims=True)
        there = np.isfinite(own)
        weight = np.exp(-np.where(there, own - np.where(np.isfinite(nearest), nearest, 0), 0) / SOFTNESS) * there
        count = there.sum(1)
        with np.errstate(divide="ignore"):
            out[:, number] = nearest[:, 0] - SOFTNESS * np.log(np.where(count, weight.sum(1) / np.maximum(count, 1), 1))
    return out
