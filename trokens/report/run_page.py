"""`report.html`: one page that says what a run did and found, a file that needs nothing beside itself."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trokens
from trokens.config.changes import Change, config_changes
from trokens.report import run_plots, texts
from trokens.report.clusters import Spread, spread_over_clusters
from trokens.report.drawing import Drawing
from trokens.report.exhibits import Keyframes
from trokens.report.figures import (
    KINDS,
    Standing,
    by_class,
    mistakes,
    name_of_run,
    published,
    scores,
    siblings,
    standing,
)
from trokens.report.films import Film
from trokens.report.plots import confusion_matrix
from trokens.report.run_answers import choose_answers, films_of
from trokens.report.run_folder import RunFolder
from trokens.report.template import box_of, environment
from trokens.runtime.files import write_text

PAGE = "report.html"
ENVIRONMENT = {"checkpoint": "weights", "dataset": "dataset", "split": "tested split", "seed": "seed",
               "processes": "processes", "version": "Trokens", "commit": "commit", "torch": "torch",
               "python": "Python", "config_hash": "hash of the config"}


@dataclass(frozen=True)
class Shot:
    """Accuracies of one number of shots, and how they are drawn."""

    k_shot: int
    standings: list[Standing]
    drawing: Drawing


def write_report(run: RunFolder, file: Path | None = None, *, beside: Sequence[RunFolder] = (),
                 figures: Path | None = None) -> Path:
    """Write the page of a run.

    A clip, a point file or a list that cannot be read any more costs what it would show, and nothing else.

    Args:
        run: The run, tested or trained alone.
        file: The page; None writes report.html into the run's folder.
        beside: Other tests to compare it with, such as that of the training-free descriptor.
        figures: Folder that gets each drawing as PNG, PDF and CSV.

    Returns:
        The page's file.

    Raises:
        WriteError: The disk does not take it.
    """
    tested, name, seeds = "accuracy" in run.results, name_of_run(run.path), siblings(run)
    shots = _shots(run, name, beside, seeds) if tested else []
    curves = run_plots.curves({name: run.metrics}) if run.metrics else []
    keyframes = {"pictures": Keyframes("k"), "lines": Keyframes("l")}
    what, gone = _happened(run, keyframes) if tested else ({"chosen": None}, "")
    spread = spread_over_clusters(run) if tested and run.has_config else None
    drawn = class_drawings(run) | ({"clusters": run_plots.clusters(spread.points, spread.all_points)}
                                    if isinstance(spread, Spread) else {})
    validated = max((one for one in run.metrics if one["phase"] == "val"), key=lambda one: one["accuracy"],
                    default=None)
    panels = what.get("panels", {})
    films = [panel.film for panel in panels.values() if isinstance(panel.film, Film)]
    file = file or run.path / PAGE
    write_text(file, environment().get_template("run.html").render(
        title=f"{texts.percent(run.results['accuracy'])} right" if tested else f"Training of {name}", name=name,
        version=run.results.get("version", trokens.__version__), path=str(run.path), results=run.results,
        tested=tested, shots=shots, seeds=len(seeds), curves=curves, validated=validated, classes=by_class(run),
        mistakes=mistakes(run.results), answers_gone=gone, spread=spread, films=films, keyframes=keyframes,
        box=box_of(films), plan=run.plan, environment=_environment_of(run), command=run.results.get("command"),
        changes=_changes(run), KINDS=KINDS, KIND_COLORS=run_plots.KIND_COLORS,
        **{"class_plot": None, "matrix": None, "clusters": None, **drawn}, **what))
    if figures is not None:
        for drawing in [*(shot.drawing for shot in shots), *curves, *drawn.values()]:
            drawing.save(figures)
    return file


def _shots(run: RunFolder, name: str, beside: Sequence[RunFolder], seeds: Sequence[RunFolder]) -> list[Shot]:
    found = []
    for k_shot in scores(run):
        some = [standing(run, k_shot, name, seeds=seeds),
                *(standing(other, k_shot, _method(other), first=run) for other in beside if k_shot in scores(other)),
                *published(run, k_shot)]
        chance = run.results["chance"]
        drawing = run_plots.standings(some, chance, f"accuracy_{k_shot}_shot")
        found.append(Shot(k_shot, [*some, Standing("chance", k_shot, chance)], drawing))
    return found


def _method(run: RunFolder) -> str:
    return run.results.get("method") or name_of_run(run.path)


def class_drawings(run: RunFolder) -> dict[str, Drawing]:
    """Accuracy of each class, and the confusion matrix; nothing of a run that was tested before they were kept."""
    if "per_class" not in run.results:
        return {}
    table = run.results["confusion"]
    names = table["classes"]
    counts = {(true, given): count for true, row in zip(names, table["counts"], strict=True)
              for given, count in zip(names, row, strict=True)}
    return {"class_plot": run_plots.classes([(name, one["accuracy"], one["interval"]) for name, one in by_class(run)]),
            "matrix": confusion_matrix((names, names), counts, {(name, name) for name in names}, _percent)}


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.0f}" if 200 * count >= total else "<1"


def _happened(run: RunFolder, keyframes: dict[str, Keyframes]) -> tuple[dict[str, Any], str]:
    """Answers to show with their clips, or why there are none."""
    if not run.has_config:
        return {"chosen": None}, ""
    try:
        outcomes = run.outcomes[run.results["k_shot"]]
    except (OSError, ValueError, KeyError) as error:
        return {"chosen": None}, str(error)
    wrong = mistakes(run.results)
    chosen = choose_answers(outcomes, [(true, given) for true, given, *_ in wrong])
    panels, seconds = films_of(run, chosen, keyframes)
    return {"chosen": chosen, "panels": panels, "seconds": seconds,
            "how_often": {(true, given): (count, total) for true, given, count, total in wrong}}, ""


def _environment_of(run: RunFolder) -> list[tuple[str, str]]:
    rows = [(name, str(run.results[key])) for key, name in ENVIRONMENT.items() if key in run.results]
    return [("folder", str(run.path.resolve())), *rows]


def _changes(run: RunFolder) -> list[tuple[str, list[Change]]]:
    """What the config changes, by the file that says so."""
    if not run.has_config:
        return []
    found = config_changes(run.cfg, config_of(run.results.get("command", "")))
    return [(file, list(some)) for file, some in itertools.groupby(found, key=lambda change: change.file)]


def config_of(command: str) -> str | None:
    """The config that a command names."""
    words = shlex.split(command)
    for flag in ("--cfg", "--cfg_file"):
        for number, word in enumerate(words):
            if word == flag and number + 1 < len(words):
                return words[number + 1]
            if word.startswith(f"{flag}="):
                return word[len(flag) + 1:]
    return None
