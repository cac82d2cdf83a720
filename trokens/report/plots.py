"""Drawings of what was taken for what, and of a video's pieces along its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from trokens.recognize.answers import Answer
from trokens.report.drawing import INK, LETTER, RIGHT, WRONG, Drawing
from trokens.report.texts import clock, shortened

CELL = 0.56  # inches of a cell of the matrix
LABEL = 22   # letters of a label
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 360, 720)))


def confusion_matrix(labels: tuple[Sequence[str], Sequence[str]], counts: Mapping[tuple[str, str], int],
                     correct: Set[tuple[str, str]], told: Callable[[int, int], str] = lambda count, _: str(count),
                     ) -> Drawing:
    """What clips of each action were called: rows are what they show, columns what they were called.

    Args:
        labels: Of rows and columns.
        counts: How many of a row were called so.
        correct: Which of these pairs are right.
        told: What a cell says, from its count and that of its row.
    """
    shown, called = labels
    names = [[shortened(name, LABEL) for name in some] for some in labels]
    left, top = (LETTER * max(map(len, some)) + 0.25 for some in names)
    width, height = left + CELL * len(called), top + CELL * len(shown)
    numbers = [{"shown": true, "called": other, "count": counts.get((true, other), 0)}
               for true in shown for other in called]

    def draw(figure) -> None:
        axes = figure.add_axes((left / width, 0, CELL * len(called) / width, CELL * len(shown) / height))
        axes.set(xlim=(0, len(called)), ylim=(len(shown), 0))
        for y, true in enumerate(shown):
            total = sum(counts.get((true, other), 0) for other in called)
            for x, other in enumerate(called):
                _cell(axes, x, y, counts.get((true, other), 0), total, (true, other) in correct, told)
        axes.set_xticks([x + 0.5 for x in range(len(called))], names[1], rotation=90)
        axes.set_yticks([y + 0.5 for y in range(len(shown))], names[0])
        axes.tick_params(length=0, pad=6, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.spines[:].set_visible(False)

    return Drawing("confusion", (width, height), draw, "What was taken for what", numbers)


def _cell(axes, x: int, y: int, count: int, total: int, right: bool, told: Callable[[int, int], str]) -> None:
    color, strength = (RIGHT if right else WRONG, 0.15 + 0.5 * count / total) if count else (INK, 0.05)
    axes.broken_barh([(x + 0.04, 0.92)], (y + 0.04, 0.92), facecolor=color, alpha=strength, linewidth=0)
    if count:
        axes.text(x + 0.5, y + 0.5, told(count, total), ha="center", va="center",
                  fontweight="bold" if right else "normal")


def timeline(pieces: Sequence[Answer], color: dict[str, str], inches: float) -> Drawing:
    """The pieces of a video along its time, in the colors of their actions; named where there is room.

    Args:
        inches: Width.
    """
    end, height = max(pieces[-1].end, 1e-3), 0.85

    def draw(figure) -> None:
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

    return Drawing("timeline", (inches, height), draw)
