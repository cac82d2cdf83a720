"""Drawings of figures as parts of the page: text stays text, and takes the page's font and its colors in the dark."""

from __future__ import annotations

import hashlib
import io
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from trokens.recognize.answers import Answer
from trokens.report.summary import Summary
from trokens.report.texts import clock, shortened

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
INK, RIGHT, WRONG = "#1d1d1b", "#3b7dd8", "#cf6a1f"
CELL, LETTER = 0.56, 0.1  # inches of a cell of the matrix, and of a letter beside it
LABEL = 22                  # letters of a label
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 360, 720)))
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "trokens", "font.size": 13, "text.parse_math": False,
          "axes.edgecolor": INK, "text.color": INK}


def confusion_matrix(summary: Summary) -> Markup:
    """What clips of each action were called: rows are what they show, columns what they were called."""
    shown, called = summary.labels
    names = [[shortened(name, LABEL) for name in some] for some in (shown, called)]
    left, top = (LETTER * max(map(len, some)) + 0.25 for some in names)
    width, height = left + CELL * len(called), top + CELL * len(shown)
    with _drawing(width, height) as (figure, finished):
        axes = figure.add_axes((left / width, 0, CELL * len(called) / width, CELL * len(shown) / height))
        axes.set(xlim=(0, len(called)), ylim=(len(shown), 0))
        for y, true in enumerate(shown):
            total = sum(summary.confusion[true, other] for other in called)
            for x, other in enumerate(called):
                _cell(axes, x, y, summary.confusion[true, other], total, (true, other) in summary.correct)
        axes.set_xticks([x + 0.5 for x in range(len(called))], names[1], rotation=90)
        axes.set_yticks([y + 0.5 for y in range(len(shown))], names[0])
        axes.tick_params(length=0, pad=6, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.spines[:].set_visible(False)
    return finished[0]


def _cell(axes, x: int, y: int, count: int, total: int, right: bool) -> None:
    color, strength = (RIGHT if right else WRONG, 0.15 + 0.5 * count / total) if count else (INK, 0.05)
    axes.broken_barh([(x + 0.04, 0.92)], (y + 0.04, 0.92), facecolor=color, alpha=strength, linewidth=0)
    if count:
        axes.text(x + 0.5, y + 0.5, str(count), ha="center", va="center", fontweight="bold" if right else "normal")


def timeline(pieces: Sequence[Answer], color: dict[str, str], inches: float) -> Markup:
    """The pieces of a video along its time, in the colors of their actions; named where there is room.

    Args:
        inches: Width.
    """
    end, height = max(pieces[-1].end, 1e-3), 0.85
    with _drawing(inches, height) as (figure, finished):
        axes = figure.add_axes((0, 0.36, 1, 0.32))
        for piece in pieces:
            name = str(piece.label)
            axes.broken_barh([(piece.start, piece.end - piece.start)], (0, 1), facecolor=color[name],
                             alpha=0.35 + 0.65 * piece.confidence, linewidth=0)
            room = int((piece.end - piece.start) / end * inches / LETTER) - 1
            if room >= min(len(name), 6):
                axes.text((piece.start + piece.end) / 2, 1.35, shortened(name, room), ha="center", va="center")
        axes.set(xlim=(0, end), ylim=(0, 1))
        axes.set_yticks([])
        step = next((some for some in STEPS if end / some <= inches), end)
        times = [step * number for number in range(int(end / step + 1e-6) + 1)]
        marks = axes.set_xticks(times, [clock(seconds, tenths=step < 1) for seconds in times])
        marks[0].label1.set_horizontalalignment("left")
        if (end - times[-1]) / end * inches < LETTER * 3:
            marks[-1].label1.set_horizontalalignment("right")
        axes.spines[:].set_visible(False)
    return finished[0]


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Figure, list[Markup]]]:
    """Give a figure of so many inches to draw in, and a list that holds its SVG at the end."""
    finished: list[Markup] = []
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has its own fonts
        figure = Figure(figsize=(width, height))
        yield figure, finished
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True,
                       metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    finished.append(_embedded(file.getvalue(), width))


def _embedded(svg: str, inches: float) -> Markup:
    """As a part of a page: no declarations, no ids or styles that are anybody else's, as wide as it was drawn."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(svg)
    mark = "p" + hashlib.sha256(svg.encode()).hexdigest()[:10]
    for definitions in root.findall(f"{{{SVG}}}defs"):
        for style in definitions.findall(f"{{{SVG}}}style"):  # it would hold for the whole page
            definitions.remove(style)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, mark + value)
            elif value.startswith(("#", "url(#")):
                element.set(name, value.replace("#", f"#{mark}", 1))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("style", f"width:{inches * 72:.0f}px")
    root.set("aria-hidden", "true")
    return Markup(ElementTree.tostring(root, encoding="unicode"))
