"""What is said of each clip, and the rows of the files that keep it: one place for all figures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from trokens.recognize.options import UNKNOWN

COLUMNS = ("path", "start", "end", "action", "confidence", "runner_up", "true_action", "error")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins with one is computed by spreadsheets


@dataclass(frozen=True)
class Answer:
    """What a clip shows, or a part of a long video.

    Attributes:
        path: The clip, as it was given.
        label: The action; ``UNKNOWN`` where ``reject`` finds it too far from all examples; None where there is none.
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
class Prediction:
    """What is said of one query.

    Attributes:
        path: The clip, as it was given.
        pieces: One answer for a whole clip; of a windowed video one for each of its joined pieces, in the order of
            time. What cannot be read has a single one, with an ``error``.
        true_action: What it shows, where that is known.
        windowed: Whether it was answered piece by piece.
    """

    path: str
    pieces: tuple[Answer, ...]
    true_action: str | None = None
    windowed: bool = False

    @property
    def error(self) -> str | None:
        """Why there is no answer, in one line; None where there is one."""
        return self.pieces[0].error

    def right(self, piece: Answer) -> bool | None:
        """Whether a piece is answered rightly; None where nobody knows. What is none of the actions is unknown."""
        if self.true_action is None or piece.error:
            return None
        label, known = str(piece.label), {str(name) for name in piece.probabilities}
        return label == self.true_action or (label == UNKNOWN and self.true_action not in known)

    def records(self) -> Iterator[dict[str, Any]]:
        """One of each piece, with the keys of COLUMNS; what is absent is None. Seconds and shares are rounded."""
        for piece in self.pieces:
            answered = piece.error is None
            yield {"path": self.path, "start": round(piece.start, 3) if answered else None,
                   "end": round(piece.end, 3) if answered else None, "action": _text(piece.label),
                   "confidence": round(piece.confidence, 4) if answered else None, "runner_up": _text(piece.runner_up),
                   "true_action": self.true_action, "error": piece.error}


def _text(label: Any) -> str | None:
    return None if label is None else str(label)


def csv_rows(predictions: Sequence[Prediction]) -> Iterator[tuple]:
    """The header, and a row of each piece.

    No cell is a formula to a spreadsheet: a path begins with ``./`` instead, and another text with an apostrophe, which
    says "this is text".
    """
    yield COLUMNS
    for prediction in predictions:
        for record in prediction.records():
            if record["path"].startswith(_FORMULA):
                record["path"] = os.path.join(os.curdir, record["path"])
            yield tuple("" if value is None else f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA)
                        else value for value in record.values())


def jsonl_lines(predictions: Sequence[Prediction]) -> Iterator[str]:
    """A line of each piece: the keys of COLUMNS, probability and distance of each action, the nearest example."""
    for prediction in predictions:
        for piece, record in zip(prediction.pieces, prediction.records(), strict=True):
            record |= {name: {str(action): round(value, 6) for action, value in values.items()} for name, values in (
                ("probabilities", piece.probabilities), ("distances", piece.distances))}
            yield json.dumps(record | {"nearest_example": piece.nearest}) + "\n"
