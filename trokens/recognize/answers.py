"""What the classifier says of a clip: the answer itself, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """What a clip shows, or a part of a long video.

    Attributes:
        path: The clip, as it was given.
        label: The action; ``UNKNOWN`` where ``reject`` finds it too far from all examples; None where ``error`` says
            why there is none.
        confidence: Probability of the nearest action among the known ones, in [0, 1].
        runner_up: The second action; where ``label`` is ``UNKNOWN`` the nearest one.
        probabilities: Of every action, in the order of ``classes_``.
        distances: To every action, smaller for more similar.
        start, end: Seconds of the part; of a whole clip 0 and its duration.
        error: Why the clip has no answer: one line that names it.
        seconds: How long it took to describe the clip (0 where it was in the cache).
        nearest: The nearest example of the nearest action.
    """

    path: str
    label: Any = None
    confidence: float = 0.0
    runner_up: Any = None
    probabilities: dict[Any, float] = field(default_factory=dict)
    distances: dict[Any, float] = field(default_factory=dict)
    start: float = 0.0
    end: float = 0.0
    error: str | None = None
    seconds: float = 0.0
    nearest: str | None = None


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
class Trail:
    """One trajectory of a clip, to be drawn.

    Attributes:
        frame: Frame number of each position in the file, (P,) int64.
        xy: Position in pixels of the file's frames, (P, 2) float32.
        strength: How much each position speaks for the match, (P,) float32, at most 1 in all trails of a clip.
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
        query_trails, example_trails: The trajectories of both clips that spoke most for it, the strongest first.
    """

    label: Any
    path: str
    distance: float
    matches: tuple[Match, ...]
    query_trails: tuple[Trail, ...]
    example_trails: tuple[Trail, ...]


@dataclass(frozen=True)
class Explanation:
    """What the answer to a clip rests on.

    Attributes:
        answer: The answer.
        nearest: The nearest example of each action, the nearest action first.
        motion_share: How much of the distances came from motion, in [0, 1]; the rest from looks.
    """

    answer: Answer
    nearest: tuple[Nearest, ...]
    motion_share: float


def join(answers: Sequence[Answer]) -> list[Answer]:
    """Join neighboring windows of one action; where two actions overlap, the border is in the middle.

    Args:
        answers: Of a video's windows, in the order of time.

    Returns:
        Pieces that follow one another; each has the means of its windows' numbers, their most probable runner-up, and
        the example that is nearest to one of them.
    """
    groups = [list(group) for _, group in groupby(answers, key=lambda answer: answer.label)]
    pieces = []
    for number, group in enumerate(groups):
        start = group[0].start if not number else (groups[number - 1][-1].end + group[0].start) / 2
        end = group[-1].end if number + 1 == len(groups) else (group[-1].end + groups[number + 1][0].start) / 2
        probabilities = _mean([answer.probabilities for answer in group])
        others = {name: value for name, value in probabilities.items() if name != group[0].label}
        pieces.append(replace(group[0], start=start, end=end, probabilities=probabilities,
                              distances=_mean([answer.distances for answer in group]),
                              confidence=sum(answer.confidence for answer in group) / len(group),
                              nearest=min(group, key=lambda answer: min(answer.distances.values())).nearest,
                              runner_up=max(others, key=others.get, default=None)))
    return pieces


def _mean(rows: Sequence[dict[Any, float]]) -> dict[Any, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
