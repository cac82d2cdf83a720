"""What the untrained classifier reaches in few-shot episodes, from the distances between all their clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from trokens.fewshot.episodes import EpisodePlan
from trokens.recognize.calibrate import Calibration, calibrate
from trokens.recognize.compare import Distances, joined, to_actions


def episode_accuracy(found: Distances, plans: Sequence[EpisodePlan], rows: Mapping[int, int]) -> Tensor:
    """Share of right answers in each episode, (E,): each support set teaches a `FewShotClassifier` of its own.

    Args:
        found: Between all clips, (C, C).
        plans: The episodes.
        rows: The clip of each index of a plan, among the C.
    """
    return torch.tensor([_accuracy(found, plan, rows) for plan in plans], dtype=torch.float64)


def _accuracy(found: Distances, plan: EpisodePlan, rows: Mapping[int, int]) -> float:
    clips, way = np.array([rows[index] for index in plan.indices]), np.array(plan.way)
    support, query = clips[:plan.num_support], clips[plan.num_support:]
    action, start = way[:plan.num_support], Calibration()
    chosen = start
    if plan.num_support > plan.n_way:  # with one example each there is nothing to leave out
        chosen = calibrate(_among(found, support, support), action, plan.n_way, start)
    distance = to_actions(joined(_among(found, query, support), chosen.share), action, plan.n_way)
    return float((distance.argmin(1) == way[plan.num_support:]).mean())


def _among(found: Distances, clips: np.ndarray, examples: np.ndarray) -> Distances:
    motion, looks = (None if part is None else part[np.ix_(clips, examples)] for part in (found.motion, found.looks))
    return Distances(motion, looks, found.amount[clips])
