"""What is said of each query of `trokens predict`, and the rows of its files: one place for all figures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trokens.recognize.answers import UNKNOWN, Answer

COLUMNS = ("path", "start", "end", "action", "confidence", "runner_up", "true_action", "error")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins with one is computed by spreadsheets


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


def records(prediction: Prediction) -> Iterator[dict[str, Any]]:
    """One of each piece, with the keys of COLUMNS; what there is not is None. Seconds and shares are rounded."""
    for piece in prediction.pieces:
        answered = piece.error is None
        yield {"path": prediction.path, "start": round(piece.start, 3) if answered else None,
               "end": round(piece.end, 3) if answered else None, "action": _text(piece.label),
               "confidence": round(piece.confidence, 4) if answered else None, "runner_up": _text(piece.runner_up),
               "true_action": prediction.true_action, "error": piece.error}


def csv_rows(predictions: Sequence[Prediction]) -> Iterator[tuple]:
    """The header, and a row of each piece. No cell is a formula to a spreadsheet."""
    yield COLUMNS
    for prediction in predictions:
        for record in records(prediction):
            record["path"] = _plain_path(record["path"])
            yield tuple("" if value is None else _plain(value) for value in record.values())


def jsonl_lines(predictions: Sequence[Prediction]) -> Iterator[str]:
    """A line of each piece: the keys of COLUMNS, probability and distance of each action, the nearest example."""
    for prediction in predictions:
        for piece, record in zip(prediction.pieces, records(prediction), strict=True):
            record |= {name: {str(action): round(value, 6) for action, value in values.items()} for name, values in (
                ("probabilities", piece.probabilities), ("distances", piece.distances))}
            yield json.dumps(record | {"nearest_example": piece.nearest}) + "\n"


def _text(label: Any) -> str | None:
    return None if label is None else str(label)


def _plain_path(path: str) -> str:
    """The same file by a name that begins with none of the characters."""
    return os.path.join(os.curdir, path) if path.startswith(_FORMULA) else path


def _plain(value: Any) -> Any:
    """A text as it is; with an apostrophe, which spreadsheets take for "this is text", where it would be a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
