"""How sure an accuracy is: three questions, three intervals, all 95 %.

- *Episodes*: had other episodes of these very clips been drawn? The field's "±". It shrinks with their number alone.
- *Clips*: had other clips of the same classes been tested? *Classes*: had other classes, and clips of theirs?
- *Seeds*: had the training been repeated?

The second is a jackknife, the bootstrap's deterministic relative (Efron and Stein, "The Jackknife Estimate of
Variance", Annals of Statistics 1981, https://doi.org/10.1214/aos/1176345462): each clip, or each class, is left out
once, and how far the accuracy moves says how much it depends on who was there. What is left of the test set when
something is left out is the episodes without it, so answers are enough: nothing is scored again.

A difference of two methods on the same episodes is a figure an episode like any other, so it has the same intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from trokens.fewshot.metrics import mean_and_interval
from trokens.fewshot.outcomes import Outcomes

LEVEL = 0.95
# What each of the first two questions' intervals is over, in words.
OVER = {"episodes": "other episodes of these clips", "clips": "other clips of these classes",
        "classes": "other classes"}


@dataclass(frozen=True)
class Intervals:
    """Half widths of the 95 % intervals of one figure.

    Attributes:
        episodes: nan for a single episode.
        clips, classes: None where the episodes do not tell: what is in each of them cannot be left out.
    """

    episodes: float
    clips: float | None
    classes: float | None


@dataclass(frozen=True)
class Difference:
    """How much better one test is than another on the same episodes.

    Attributes:
        mean: Of accuracy, in [-1, 1].
        intervals: Of the mean.
        won, lost: Share of the episodes in which the first one is better, or worse.
    """

    mean: float
    intervals: Intervals
    won: float
    lost: float


def intervals(values: np.ndarray, outcomes: Outcomes) -> Intervals:
    """The intervals of a figure's mean over episodes.

    Args:
        values: A figure of each episode, (E,), such as its accuracy, or the difference of two.
        outcomes: Whose episodes these are.
    """
    clips = _clip_variance(values, outcomes.ways, outcomes.members, outcomes.class_of)
    return Intervals(mean_and_interval(values)[1], _half_width(values, clips),
                     _half_width(values, _class_variance(values, outcomes.ways)))


def difference(first: Outcomes, second: Outcomes) -> Difference:
    """Compare two tests, paired.

    Raises:
        ValueError: They show other episodes.
    """
    if not first.same_episodes(second):
        raise ValueError("The two tests have other episodes, so they cannot be compared in pairs; test both with the "
                         "same split, shots and seed of episodes.")
    values = first.accuracy - second.accuracy
    return Difference(float(values.mean()), intervals(values, first), float((values > 0).mean()),
                      float((values < 0).mean()))


def over_seeds(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, standard deviation and half width of the 95 % interval (Student's t) of one figure of several trainings;
    the latter two are nan for one."""
    if len(values) < 2:
        return float(np.mean(values)), math.nan, math.nan
    spread = float(np.std(values, ddof=1))
    return float(np.mean(values)), spread, _quantile(len(values) - 1) * spread / math.sqrt(len(values))


def class_accuracies(outcomes: Outcomes) -> list[tuple[str, float, float | None, int]]:
    """(name, accuracy, half width, number of answers) of each class that queries show; the interval is over other
    clips of that class, compared with the same clips of other classes."""
    right, ways, found = outcomes.right.mean(2), outcomes.ways, []
    for number, name in enumerate(outcomes.classes):
        episode, way = np.nonzero(ways == number)
        if len(episode):
            values = right[episode, way]
            own = np.concatenate([outcomes.support[episode, way], outcomes.query[episode, way]], 1)
            spread = _clip_variance(values, ways[episode, way][:, None], own, outcomes.class_of)
            found.append((name, float(values.mean()), _half_width(values, spread),
                          len(episode) * outcomes.query.shape[2]))
    return found


def _quantile(freedom: int) -> float:
    return float(student.ppf((1 + LEVEL) / 2, freedom))


def _noise(values: np.ndarray) -> float:
    """Variance of a mean over episodes that is due to drawing them."""
    return values.var(ddof=1) / len(values) if len(values) > 1 else math.nan


def _half_width(values: np.ndarray, spread: tuple[float, int] | None) -> float | None:
    return None if spread is None else _quantile(spread[1]) * math.sqrt(spread[0] + _noise(values))


def _class_variance(values: np.ndarray, ways: np.ndarray) -> tuple[float, int] | None:
    """(variance, degrees of freedom) of the mean of ``values`` (E,) over test sets of other classes and their clips.

    Args:
        ways: Classes of each episode, (E, W).
    """
    among, count, total = _sums(ways, values)
    episodes, classes = len(values), len(among)
    if (count == episodes).any() or classes < 3:
        return None
    without = (values.sum() - total) / (episodes - count)  # the mean when a class is left out
    noise = values.var(ddof=1) * (1 / (episodes - count) - 1 / episodes)  # in it, of drawing the episodes
    spread = ((without - without.mean())**2).sum() - noise.sum()
    return max(0.0, (classes - 1) / classes * spread), classes - 1


def _clip_variance(values: np.ndarray, ways: np.ndarray, members: np.ndarray,
                   class_of: np.ndarray) -> tuple[float, int] | None:
    """(variance, degrees of freedom) of the mean of ``values`` (E,) over test sets of other clips of the same classes.

    A class is in as many episodes whichever of its clips is left out, so what moves is the mean over its episodes.

    Args:
        ways: Classes of each episode, (E, W).
        members: Clips of each episode, (E, V).
        class_of: Class of each clip.
    """
    clips, clip_count, clip_total = _sums(members, values)
    variance, freedom = 0.0, 0
    for number, n, total in zip(*_sums(ways, values), strict=True):
        own = class_of[clips] == number
        k, m = clip_count[own], int(own.sum())
        if (k == n).any() or m < 2:
            return None
        share = n / len(values)
        moved = share * ((total - clip_total[own]) / (n - k) - total / n)  # when a clip is left out
        spread = values[(ways == number).any(1)].var(ddof=1)
        noise = share**2 * spread * (1 / (n - k) - 1 / n)
        variance += (m - 1) / m * (((moved - moved.mean())**2).sum() - noise.sum())
        freedom += m - 1
    return max(0.0, variance), freedom


def _sums(members: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each member of the episodes: its number, how many episodes it is in, and the sum of ``values`` over them."""
    count = np.bincount(members.ravel())
    total = np.bincount(members.ravel(), np.repeat(values, members.shape[1]))
    among = np.flatnonzero(count)
    return among, count[among], total[among]
