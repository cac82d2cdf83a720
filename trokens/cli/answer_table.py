"""The lines of `trokens predict`: one a clip, or one a piece of a long video, in columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trokens.recognize.answers import Answer, Prediction

WIDEST = 80  # of a column; what is longer moves the rest of its line


class Table:
    """Prints lines as they come; the columns' widths are set before.

    Args:
        paths: Of all clips.
        actions: All names that an answer may have.
        windowed: Whether lines are of pieces, with the seconds of each.
    """

    def __init__(self, paths: Iterable[str], actions: Iterable[Any], windowed: bool):
        action = _widest(("runner-up", *map(visible, map(str, actions))))
        self._windowed = windowed
        self._widths = (_widest(("clip", *map(visible, paths))), *(15,) * windowed, action, 10, action)
        self._print(("clip", *("seconds",) * windowed, "action", "confidence", "runner-up"))

    def show(self, prediction: Prediction, pieces: Sequence[Answer]) -> None:
        """Print a line of each of these pieces of a prediction, or why there is none."""
        path = visible(prediction.path)
        if prediction.error is not None:
            self._print((path,), rest=_cause(path, visible(prediction.error)))
            return
        for piece in pieces:
            seconds = (f"{piece.start:.1f} - {piece.end:.1f}",) * self._windowed
            verdict = {True: "right", False: f"wrong: {visible(prediction.true_action or '')}", None: ""}
            self._print((path, *seconds, visible(str(piece.label)), f"{piece.confidence:.2f}",
                         visible(str(piece.runner_up))), rest=verdict[prediction.right(piece)])

    def _print(self, cells: Sequence[str], rest: str = "") -> None:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, self._widths, strict=False))
        print("  ".join((*padded, rest)).rstrip(), flush=True)


def visible(text: str) -> str:
    """A text in one line, without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cause(path: str, error: str) -> str:
    """An error beside the path that it begins with."""
    start = f"Cannot read video '{path}': "
    return f"cannot be read: {error.removeprefix(start)}" if error.startswith(start) else error


def _widest(cells: Iterable[str]) -> int:
    return min(WIDEST, max(map(_width, cells)))


def _width(text: str) -> int:
    """Columns that a terminal takes for a text."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
