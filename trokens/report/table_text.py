"""A table as text: Markdown, LaTeX or CSV, all in percent, with nothing where a figure is not known."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence

from trokens.report.table import Figure, TableRow

FORMATS = ("markdown", "latex", "csv")
_DIGITS = 2
_INTERVALS = ("± episodes", "± clips", "± classes", "± seeds")  # half widths, 95 %
_HEAD = ("setting", "shots", "accuracy", "seeds", "spread", *_INTERVALS)
_NOTE = ("Accuracy in %, mean over seeds; spread: standard deviation over seeds. Half widths of 95 % intervals: other "
         "episodes of the same clips; other clips of the same classes; other classes; other trainings (t interval).")


def table_text(rows: Sequence[TableRow], form: str, baseline: str | None = None) -> str:
    """The whole text, with what its columns mean.

    Args:
        rows: At least one.
        form: One of FORMATS.
        baseline: Whose name the columns of differences have; None leaves them out.
    """
    head = list(_HEAD)
    note = _NOTE
    if baseline is not None:
        head += [f"to {baseline}", *_INTERVALS, "won", "lost"]
        note += (f" To {baseline}: the difference on the same seeds and episodes, its intervals, and the share of "
                 "episodes won and lost.")
    body = [_cells(row, with_gain=baseline is not None) for row in rows]
    return {"markdown": _markdown, "latex": _latex, "csv": _csv}[form](head, body, note)


def percent(value: float | None, sign: str = "") -> str:
    """A share in percent; nothing for what is not known."""
    return "" if value is None or math.isnan(value) else f"{100 * value:{sign}.{_DIGITS}f}"


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table of the first column's names and of numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([cell.replace("|", r"\|") for cell in row] for row in body)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: TableRow, *, with_gain: bool) -> list[str]:
    cells = [row.name, str(row.k_shot), percent(row.accuracy.mean), str(row.num_seeds), percent(row.accuracy.spread),
             *_half_widths(row.accuracy)]
    if with_gain and row.gain:
        cells += [percent(row.gain.figure.mean, "+"), *_half_widths(row.gain.figure), percent(row.gain.won),
                  percent(row.gain.lost)]
    elif with_gain:
        cells += [""] * (len(_INTERVALS) + 3)
    return cells


def _half_widths(figure: Figure) -> list[str]:
    found = figure.intervals
    three = (found.episodes, found.clips, found.classes) if found else (None,) * 3
    return [percent(value) for value in (*three, figure.seeds)]


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]], note: str) -> str:
    return f"{markdown(head, body)}\n{note}\n"


def _latex(head: Sequence[str], body: Sequence[Sequence[str]], note: str) -> str:
    """With the rules of the package booktabs."""
    lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (head, *body)]
    return "\n".join(["% " + note, rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule", lines[0],
                      r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def _escaped(cell: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", cell).replace("±", r"$\pm$")


def _csv(head: Sequence[str], body: Sequence[Sequence[str]], _note: str) -> str:
    """With names of columns as programs read them."""
    intervals = [name.replace("± ", "interval_") for name in _INTERVALS]
    names = [*_HEAD[:-len(intervals)], *intervals, "gain", *(f"gain_{name}" for name in intervals), "won", "lost"]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names[:len(head)], *body])
    return text.getvalue()
