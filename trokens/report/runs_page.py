"""One page that compares several runs with the first of them, episode by episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import trokens
from trokens.fewshot.uncertainty import over_seeds
from trokens.report import run_plots
from trokens.report.drawing import Drawing
from trokens.report.exhibits import Keyframes
from trokens.report.figures import (
    KINDS,
    ClassDifference,
    Standing,
    class_differences,
    name_of_run,
    same_setting,
    scores,
    standing,
)
from trokens.report.run_folder import RunFolder
from trokens.report.run_page import Shot
from trokens.report.summary import COLORS
from trokens.report.template import environment
from trokens.runtime.files import write_text


@dataclass(frozen=True)
class ByClass:
    """How a run differs from the first one, class by class."""

    name: str
    drawing: Drawing
    classes: list[ClassDifference]


def write_comparison(runs: Sequence[RunFolder], file: Path, *, figures: Path | None = None) -> None:
    """Write the page.

    Args:
        runs: Tested runs, or other answers; the first one is what the others are compared with.
        file: The page.
        figures: Folder that gets each drawing as PNG, PDF and CSV.

    Raises:
        ValueError: No other run was tested with the same number of shots.
        WriteError: The disk does not take it.
    """
    named = _named(runs)
    first_name, first = next(iter(named.items()))
    shots = [_shot(named, k_shot) for k_shot in scores(first)
             if any(k_shot in scores(run) for run in list(named.values())[1:])]
    if not shots:
        raise ValueError(f"{first.path} was tested with {', '.join(map(str, scores(first)))} shots, and no other run "
                         "with as many; test all with the same.")
    curves = run_plots.curves({name: run.metrics for name, run in named.items() if run.metrics})
    by_class = []
    for name, run in list(named.items())[1:]:
        if found := class_differences(first, run, shots[0].k_shot):
            number = len(by_class) + 1
            by_class.append(ByClass(name, run_plots.class_differences(str(number), found), found))
    write_text(file, environment().get_template("runs.html").render(
        title=f"{len(named)} runs compared", version=trokens.__version__, films=[], box=1,
        keyframes={"pictures": Keyframes("k"), "lines": Keyframes("l")}, first=first_name, runs=named, shots=shots,
        curves=curves, by_class=by_class, colors=_colors(named), KINDS=KINDS, KIND_COLORS=run_plots.KIND_COLORS,
        results=first.results, seeds=any("seeds" in one.intervals for shot in shots for one in shot.standings)))
    if figures is not None:
        for drawing in [*(shot.drawing for shot in shots), *curves, *(one.drawing for one in by_class)]:
            drawing.save(figures)


def _named(runs: Sequence[RunFolder]) -> dict[str, RunFolder]:
    """The runs by short names, whole paths where two would be alike."""
    names = [run.results.get("method") or name_of_run(run.path) for run in runs]
    return {name if names.count(name) == 1 else str(run.path.resolve()): run
            for name, run in zip(names, runs, strict=True)}


def _colors(named: dict[str, RunFolder]) -> dict[str, str]:
    curved = [name for name, run in named.items() if run.metrics]
    return {name: COLORS[number % len(COLORS)] for number, name in enumerate(curved)}


def _shot(named: dict[str, RunFolder], k_shot: int) -> Shot:
    tested = {name: run for name, run in named.items() if k_shot in scores(run)}
    first = next(iter(tested.values()))
    some = [standing(run, k_shot, name, first=None if run is first else first) for name, run in tested.items()]
    some += _over_seeds(tested, k_shot)
    chance = first.results["chance"]
    drawing = run_plots.standings(some, chance, f"accuracy_{k_shot}_shot")
    return Shot(k_shot, [*some, Standing("chance", k_shot, chance)], drawing)


def _over_seeds(tested: dict[str, RunFolder], k_shot: int) -> list[Standing]:
    """The mean of each group of runs that differ in the seed alone."""
    found, left = [], {name: run for name, run in tested.items() if run.has_config}
    while left:
        name, run = next(iter(left.items()))
        same = {other.path for other in same_setting(run, [one.path for one in left.values() if one is not run])}
        group = [name, *(other for other, one in left.items() if one.path in same)]
        if len(group) > 1:
            values = [scores(left[one])[k_shot]["accuracy"] for one in group]
            mean, spread, width = over_seeds(values)
            found.append(Standing(f"mean of {run.path.resolve().parent.name}", k_shot, mean, {"seeds": width},
                                  f"{len(group)} trainings, spread {100 * spread:.2f} points, "
                                  f"{100 * np.min(values):.2f} to {100 * np.max(values):.2f} %"))
        left = {one: other for one, other in left.items() if one not in group}
    return found
