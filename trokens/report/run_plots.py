"""Drawings of a run, or of several: accuracies and their intervals, learning curves, accuracy by class, clusters.

All have the width of a phone's screen; a page sets them side by side where it is wider.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trokens.report.drawing import LETTER, RIGHT, WRONG, Drawing
from trokens.report.figures import KINDS, ClassDifference, Standing
from trokens.report.summary import COLORS, GRAY
from trokens.report.texts import shortened

WIDTH = 4.9    # inches, 72 points each
ROW = 0.34     # inches of one with a name
LABEL = 20     # letters of a name
MOST = 300     # points of a curve; of more, means of so many neighbors that no more are left
KIND_COLORS = dict(zip(KINDS, ("#3b7dd8", "#2b9170", "#c2527d", "#9c7a12"), strict=True))


def standings(some: Sequence[Standing], chance: float, name: str = "accuracy") -> Drawing:
    """Accuracies one below the other, each with its intervals side by side; a line marks chance."""
    def draw(figure) -> None:
        axes = _rows(figure, [one.name for one in some], height)
        axes.axvline(100 * chance, color=GRAY, linewidth=1, linestyle=(0, (3, 3)))
        for y, one in enumerate(some):
            known = [(kind, width) for kind, width in one.intervals.items() if width is not None]
            for n, (kind, width) in enumerate(known):
                at = y + 0.15 * (n - (len(known) - 1) / 2)
                axes.plot(100 * np.array([one.accuracy - width, one.accuracy + width]), [at, at], linewidth=2.4,
                          color=KIND_COLORS[kind], solid_capstyle="butt")
            axes.plot([100 * one.accuracy], [y], "o", markersize=6, color=GRAY, markeredgecolor=GRAY)
        low = min(chance, *(one.accuracy - _widest(one) for one in some))
        high = max(chance, *(one.accuracy + _widest(one) for one in some))
        axes.set_xlim(max(-2, 100 * low - 4), min(102, 100 * high + 4))
        axes.set_xlabel("accuracy in %")

    height = 0.55 * len(some) + 0.6
    numbers = [{"name": one.name, "accuracy": one.accuracy, **{kind: one.intervals.get(kind) for kind in KINDS},
                "chance": chance} for one in some]
    return Drawing(name, (WIDTH, height), draw, "Accuracies and their intervals, as listed in the table", numbers)


def _widest(one: Standing) -> float:
    return max((width for width in one.intervals.values() if width is not None), default=0.0)


def curves(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Drawing]:
    """Loss, accuracy and learning rate over the steps of training.

    Args:
        runs: The records of metrics.jsonl of each, by name.
    """
    colors = dict(zip(runs, [COLORS[i % len(COLORS)] for i in range(len(runs))], strict=True))
    found = []
    for name, label, phases, factor in (("loss", "loss", ("train",), 1),
                                        ("learning", "accuracy in %", ("train", "val"), 100),
                                        ("learning_rate", "learning rate", ("train",), 1)):
        key = {"learning": "accuracy", "learning_rate": "lr"}.get(name, name)
        series = {(run, phase): thinned([(record["global_step"], record[key]) for record in records
                                         if record["phase"] == phase and key in record])
                  for run, records in runs.items() for phase in phases}
        if any(series.values()):
            drawn = {which: some for which, some in series.items() if some}
            found.append(_curve(name, label, drawn, colors, factor, key))
    return found


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST points, each the mean of so many neighbors."""
    every = math.ceil(len(points) / MOST)
    if every < 2:
        return list(points)
    return [tuple(np.mean(points[i:i + every], 0).tolist()) for i in range(0, len(points), every)]


def _curve(name: str, label: str, series: Mapping[tuple[str, str], Sequence[tuple[float, float]]],
           colors: Mapping[str, str], factor: float, key: str) -> Drawing:
    def draw(figure) -> None:
        axes = _axes(figure, 0.8, 2.9)
        for (run, phase), points in series.items():
            x, y = zip(*points, strict=True)
            color = colors[run] if len(colors) > 1 else {"train": RIGHT, "val": WRONG}[phase]
            validation = {"marker": "o", "markersize": 4.5, "linewidth": 1.6}
            axes.plot(x, np.multiply(y, factor), color=color, label=phase,
                      **(validation if phase == "val" else {"linewidth": 1.4, "alpha": 0.55 if len(colors) > 1 else 1}))
        if name == "learning_rate":
            axes.set_ylim(bottom=0)
            axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=False)
        axes.margins(x=0.02)
        axes.locator_params(axis="x", nbins=5)
        axes.set(xlabel="training steps")
        axes.set_title(label, loc="left", fontsize=13)

    numbers = [{"run": run, "phase": phase, "step": x, key: y} for (run, phase), points in series.items()
               for x, y in points]
    return Drawing(name, (WIDTH, 2.9), draw, f"{label} over the steps of training", numbers)


def classes(some: Sequence[tuple[str, float, float | None]]) -> Drawing:
    """Accuracy of each class (name, accuracy, half width), with its interval."""
    numbers = [{"class": name, "accuracy": accuracy, "interval": width} for name, accuracy, width in some]
    return Drawing("classes", (WIDTH, ROW * len(some) + 0.6), _intervals(
        [(name, accuracy, width) for name, accuracy, width in some], "accuracy in %", (0, 100)),
        "Accuracy of each class, as listed below", numbers)


def class_differences(name: str, some: Sequence[ClassDifference]) -> Drawing:
    """How much better a run is than the first one at each class."""
    numbers = [{"class": one.name, "first": one.first, "other": one.other, "difference": one.other - one.first}
               for one in some]
    return Drawing(f"differences_{name}", (WIDTH, ROW * len(some) + 0.6), _intervals(
        [(one.name, one.other - one.first, None) for one in some], "difference in points", None),
        "Difference at each class, as listed below", numbers)


def _intervals(some: Sequence[tuple[str, float, float | None]], label: str,
               limits: tuple[float, float] | None) -> Callable:
    def draw(figure) -> None:
        axes = _rows(figure, [name for name, _, _ in some], ROW * len(some) + 0.6)
        for y, (_, value, width) in enumerate(some):
            if width is not None:
                ends = 100 * np.array([value - width, value + width])
                axes.plot(np.clip(ends, *limits) if limits else ends, [y, y], color=RIGHT, linewidth=2.4,
                          solid_capstyle="butt")
            if limits is None:
                axes.plot([0, 100 * value], [y, y], color=RIGHT if value > 0 else WRONG, linewidth=2.4)
            color = WRONG if limits is None and value < 0 else RIGHT
            axes.plot([100 * value], [y], "o", markersize=6, color=color, clip_on=False)
        if limits:
            axes.set_xlim(*limits)
        else:
            axes.axvline(0, color=GRAY, linewidth=1)
            axes.margins(x=0.08)
        axes.set_xlabel(label)

    return draw


def clusters(points: Sequence[float], all_points: Sequence[float]) -> Drawing:
    """How many points lie in a clip's largest cluster, in the second largest, and so on.

    Args:
        points: Mean number of the chosen points.
        all_points: The same for all points of the file, scaled to the same sum.
    """
    def draw(figure) -> None:
        axes = _axes(figure, 0.6, 2.9)
        at = np.arange(1, len(points) + 1)
        axes.bar(at, points, width=0.72, color=RIGHT, alpha=0.75, linewidth=0)
        axes.step(at, all_points, where="mid", color=WRONG, linewidth=1.6)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("clusters of a clip, by their number of points")
        axes.set_title("points", loc="left", fontsize=13)

    numbers = [{"cluster": n + 1, "chosen": one, "all": whole}
               for n, (one, whole) in enumerate(zip(points, all_points, strict=True))]
    return Drawing("clusters", (WIDTH, 2.9), draw, "Points in each cluster", numbers)


def _rows(figure, names: Sequence[str], height: float):
    """Axes with a name before each of so many rows, the first one above."""
    names = [shortened(name, LABEL) for name in names]
    left = LETTER * max(map(len, names)) + 0.2
    axes = figure.add_axes((left / WIDTH, 0.55 / height, (WIDTH - left - 0.15) / WIDTH, (height - 0.6) / height))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.grid(axis="x", color=GRAY, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return axes


def _axes(figure, left: float, height: float):
    axes = figure.add_axes((left / WIDTH, 0.6 / height, (WIDTH - left - 0.1) / WIDTH, (height - 1) / height))
    axes.grid(axis="y", color=GRAY, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRAY)
    return axes
