"""The figures above all clips: how many, how many right, what was taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from trokens.recognize.answers import Answer, Prediction
from trokens.recognize.options import UNKNOWN

# At least 3 : 1 beside both papers of the page, light and dark; told apart by hue and, neighbors, by lightness.
COLORS = ("#3b7dd8", "#cf6a1f", "#2b9170", "#c2527d", "#8a6fd1", "#9c7a12", "#2488a1", "#c9503f", "#64873a", "#a3609b",
          "#5f7fa3", "#9a6b4f")
GRAY = "#7f7f7b"  # of what is none of the actions
UNSURE = 0.6      # confidence below which the summary calls an answer unsure


@dataclass(frozen=True)
class Row:
    """An answer with what it belongs to: a row of the CSV."""

    prediction: Prediction
    answer: Answer

    @property
    def right(self) -> bool | None:
        """None where nobody knows."""
        return self.prediction.right(self.answer)

    @property
    def label(self) -> str:
        """What it was called."""
        return str(self.answer.label)


@dataclass(frozen=True)
class Action:
    """An action, what it learned from and what was called by it.

    Attributes:
        label, color: Of the action.
        examples: How many it has.
        answers: How many answers say it.
        right, known: How many of the clips known to show it were called so, and how many there are.
    """

    label: str
    color: str
    examples: int
    answers: int
    right: int
    known: int


@dataclass(frozen=True)
class Summary:
    """The figures.

    Attributes:
        rows: All answers, in the order of the queries.
        errors: What could not be read.
        actions: Those of the classifier; then ``UNKNOWN``, where it was answered.
        unknown, unsure: How many answers are so.
        right, judged: How many answers are right, and of how many that is known.
        interval: 95 % interval of the accuracy, in [0, 1]; None where none is judged.
        labels: Of the confusion matrix: what clips show, and what they were called.
        confusion: How many clips that show a label were called by another.
        correct: Which of these pairs are right.
        pieces: Whether some answers are of pieces of a video.
    """

    rows: list[Row]
    errors: list[Prediction]
    actions: list[Action]
    unknown: int
    unsure: int
    right: int
    judged: int
    interval: tuple[float, float] | None
    labels: tuple[list[str], list[str]]
    confusion: Counter[tuple[str, str]]
    correct: set[tuple[str, str]]
    pieces: bool

    @property
    def color(self) -> dict[str, str]:
        """Of each action."""
        return {action.label: action.color for action in self.actions}

    @property
    def mistakes(self) -> list[tuple[str, str, int]]:
        """What was taken for what, how often; the most frequent first."""
        wrong = Counter(_pair(row) for row in self.rows if row.right is False)
        return [(shown, called, count) for (shown, called), count in sorted(
            wrong.items(), key=lambda item: (-item[1], item[0]))]


def summarize(predictions: Sequence[Prediction], classes: Sequence[Any], examples: Sequence[Any]) -> Summary:
    """Count.

    Args:
        classes: The classifier's actions.
        examples: The action of each of its examples.
    """
    rows = [Row(prediction, answer) for prediction in predictions if not prediction.error
            for answer in prediction.pieces]
    judged = [row for row in rows if row.right is not None]
    right = sum(row.right for row in judged)
    classes = list(dict.fromkeys(str(name) for name in classes))
    called, given = Counter(row.label for row in rows), Counter(str(label) for label in examples)
    true = Counter(row.prediction.true_action for row in judged)
    named = Counter(row.label for row in judged if row.label == row.prediction.true_action)
    others = sorted({*true} - {*classes})
    actions = [Action(name, COLORS[i % len(COLORS)], given[name], called[name], named[name], true[name])
               for i, name in enumerate(classes)]
    if called[UNKNOWN] and UNKNOWN not in classes:
        found = sum(row.right for row in judged if row.label == UNKNOWN)
        actions.append(Action(UNKNOWN, GRAY, 0, called[UNKNOWN], found, sum(true[name] for name in others)))
    columns = classes + [UNKNOWN] * (UNKNOWN not in classes and any(row.label == UNKNOWN for row in judged))
    return Summary(
        rows, [prediction for prediction in predictions if prediction.error], actions,
        sum(row.label == UNKNOWN for row in rows),
        sum(row.answer.confidence < UNSURE and row.label != UNKNOWN for row in rows), right, len(judged),
        tuple(binomtest(right, len(judged)).proportion_ci(0.95, "wilson")) if judged else None,
        ([name for name in classes if true[name]] + others, columns),
        Counter(map(_pair, judged)), {_pair(row) for row in judged if row.right},
        any(prediction.windowed for prediction in predictions))


def _pair(row: Row) -> tuple[str | None, str]:
    return row.prediction.true_action, row.label
