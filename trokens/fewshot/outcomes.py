"""What a test answered, episode by episode, and what follows from it: accuracy, accuracy by class, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trokens.fewshot.episodes import EpisodePlan


@dataclass(frozen=True)
class Outcomes:
    """The answers in E episodes of one shape: W ways, K support and n query clips a way.

    Attributes:
        clips: Ids of the split's clips, C of them.
        classes: Names of its classes, sorted.
        class_of: Class of each clip, (C,) int, a number in ``classes``.
        support: Clips of each episode, (E, W, K) int, numbers in ``clips``.
        query: The same of its queries, (E, W, n).
        given: Which of the episode's ways each query was taken for, (E, W, n) int.
        distances: Of each query to each way, (E, W, n, W), smaller for more similar; None where nobody knows.
    """

    clips: Sequence[str]
    classes: Sequence[str]
    class_of: np.ndarray
    support: np.ndarray
    query: np.ndarray
    given: np.ndarray
    distances: np.ndarray | None = None

    @classmethod
    def of(cls, plans: Sequence[EpisodePlan], distances: np.ndarray, clips: Sequence[str],
           class_names: Sequence[str]) -> Outcomes:
        """From episodes of one shape and the distances (E, Q, W) in them; ``class_names`` are those of the clips."""
        classes = sorted(set(class_names))
        number = {name: i for i, name in enumerate(classes)}
        support, query = plan_rows(plans)
        distances = distances.reshape(*query.shape, -1)
        return cls(clips, classes, np.array([number[name] for name in class_names]), support, query,
                   distances.argmin(-1), distances)

    @property
    def k_shot(self) -> int:
        return self.support.shape[2]

    @property
    def ways(self) -> np.ndarray:
        """Classes of each episode, (E, W)."""
        return self.class_of[self.support[:, :, 0]]

    @property
    def right(self) -> np.ndarray:
        """Whether each query was answered right, (E, W, n) bool."""
        return self.given == np.arange(self.given.shape[1])[:, None]

    @property
    def accuracy(self) -> np.ndarray:
        """Share of right answers in each episode, (E,)."""
        return self.right.mean((1, 2))

    @property
    def members(self) -> np.ndarray:
        """All clips of each episode, (E, V)."""
        return np.concatenate([self.support, self.query], 2).reshape(len(self.support), -1)

    def confusion(self) -> np.ndarray:
        """How often queries of each class (row) were taken for each class (column), (classes, classes) int."""
        counts = np.zeros((len(self.classes),) * 2, dtype=int)
        true = np.broadcast_to(self.ways[:, :, None], self.given.shape)
        given = np.take_along_axis(self.ways, self.given.reshape(len(self.given), -1), 1)
        np.add.at(counts, (true.ravel(), given.ravel()), 1)
        return counts

    def same_episodes(self, other: Outcomes) -> bool:
        """Whether another test shows the same clips in the same episodes."""
        def ids(outcomes: Outcomes) -> list[np.ndarray]:
            names = np.asarray(outcomes.clips)
            return [names[outcomes.support], names[outcomes.query]]

        return all(np.array_equal(mine, theirs) for mine, theirs in zip(ids(self), ids(other), strict=True))


def plan_rows(plans: Sequence[EpisodePlan]) -> tuple[np.ndarray, np.ndarray]:
    """Support (E, W, K) and query (E, W, n) rows of episodes of one shape."""
    rows = np.array([plan.indices for plan in plans])
    shape = len(rows), plans[0].n_way, -1
    return rows[:, :plans[0].num_support].reshape(shape), rows[:, plans[0].num_support:].reshape(shape)
