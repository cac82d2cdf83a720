"""A table of settings, each run with several seeds: accuracy, how sure it is, and what it gains over a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trokens.fewshot.outcomes import Outcomes
from trokens.fewshot.uncertainty import Intervals, intervals, over_seeds

Runs = Mapping[int, Outcomes]  # of each seed


@dataclass(frozen=True)
class Figure:
    """A mean over seeds, with half widths of its 95 % intervals.

    Attributes:
        mean: Of an accuracy, or of a difference of two.
        spread: Standard deviation over seeds; nan for one seed.
        seeds: Interval over other trainings; nan for one seed.
        intervals: Over other episodes, clips and classes, for the mean of these trainings; None where they were not
            tested on the same episodes.
    """

    mean: float
    spread: float
    seeds: float
    intervals: Intervals | None


@dataclass(frozen=True)
class Gain:
    """How much better a setting is than the baseline, on the same seeds and the same episodes.

    Attributes:
        figure: The difference.
        num_seeds: Seeds that both have.
        won, lost: Share of the episodes in which it is better, or worse.
    """

    figure: Figure
    num_seeds: int
    won: float
    lost: float


@dataclass(frozen=True)
class TableRow:
    """A setting with one number of shots."""

    name: str
    k_shot: int
    num_seeds: int
    accuracy: Figure
    gain: Gain | None  # None for the baseline, and where nothing can be compared in pairs


def table_rows(settings: Sequence[tuple[str, int, Runs]], baseline: str | None = None) -> list[TableRow]:
    """Make the rows of a table.

    Args:
        settings: Name, number of shots, and what the runs answered.
        baseline: Name of the setting that the others are compared to, at the same number of shots.

    Raises:
        ValueError: No setting has the baseline's name.
    """
    base = {k_shot: runs for name, k_shot, runs in settings if name == baseline}
    if baseline is not None and not base:
        raise ValueError(f"baseline is {baseline}, which has no finished run; there are "
                         f"{', '.join(dict.fromkeys(name for name, _, _ in settings)) or 'none'}.")
    return [TableRow(name, k_shot, len(runs), accuracy_of(runs),
                     gain_over(base[k_shot], runs) if name != baseline and k_shot in base else None)
            for name, k_shot, runs in settings]


def accuracy_of(runs: Runs) -> Figure:
    """The accuracy of a setting."""
    return _figure([(one.accuracy, one) for _, one in sorted(runs.items())])


def gain_over(base: Runs, runs: Runs) -> Gain | None:
    """Pair each run with the baseline's of the same seed; None where no pair was tested on the same episodes."""
    pairs = [(runs[seed], base[seed]) for seed in sorted(runs.keys() & base.keys())
             if runs[seed].same_episodes(base[seed])]
    if not pairs:
        return None
    values = [(one.accuracy - other.accuracy, one) for one, other in pairs]
    gains = np.concatenate([value for value, _ in values])
    return Gain(_figure(values), len(pairs), float((gains > 0).mean()), float((gains < 0).mean()))


def _figure(values: Sequence[tuple[np.ndarray, Outcomes]]) -> Figure:
    """From a figure of each episode (E,) of each seed."""
    mean, spread, seeds = over_seeds([float(value.mean()) for value, _ in values])
    (_, first), *others = values
    shared = all(first.same_episodes(other) for _, other in others)
    return Figure(mean, spread, seeds,
                  intervals(np.mean([value for value, _ in values], axis=0), first) if shared else None)
