"""A report's figures: a run beside chance, other runs, its siblings of other seeds, and what is published."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trokens.config import changed_options
from trokens.fewshot.uncertainty import OVER, Difference, class_accuracies, difference, over_seeds
from trokens.report.published import dataset_key, published_figure
from trokens.report.run_folder import RunFolder

# What an interval is over, and how its column is called.
KINDS = OVER | {"seeds": "other trainings"}
TABLE_POINTS = 256  # of the published tables
PUBLISHED_WAYS = 5


@dataclass(frozen=True)
class Standing:
    """An accuracy, and how sure it is.

    Attributes:
        name: Whose it is.
        k_shot: Support clips of a class.
        accuracy: In [0, 1].
        intervals: Half width of the 95 % interval by kind, None where it is not known.
        note: What else is to be known of it.
        better: How much better the first one is, on the same episodes.
    """

    name: str
    k_shot: int
    accuracy: float
    intervals: dict[str, float | None] = field(default_factory=dict)
    note: str = ""
    better: Difference | None = None


@dataclass(frozen=True)
class ClassDifference:
    """Accuracy at one class of the first run and of another."""

    name: str
    first: float
    other: float


def name_of_run(path: Path) -> str:
    """The last two parts of its folder."""
    return "/".join(path.resolve().parts[-2:])


def scores(run: RunFolder) -> dict[int, dict[str, Any]]:
    """What results.json says of each number of shots."""
    return {one["k_shot"]: one for one in run.results.get("by_k_shot", [run.results])}


def intervals_of(test: Mapping[str, Any]) -> dict[str, float | None]:
    """Half widths of the 95 % intervals of a test in results.json; one of an earlier version has that over episodes
    alone."""
    return dict(test.get("intervals") or {"episodes": test["interval"]})


def standing(run: RunFolder, k_shot: int, name: str = "", first: RunFolder | None = None,
             seeds: Sequence[RunFolder] = ()) -> Standing:
    """A run's own, with how it differs from the ``first``, and over ``seeds``, trainings of the same setting."""
    one = scores(run)[k_shot]
    widths = intervals_of(one)
    trainings = [scores(other)[k_shot]["accuracy"] for other in (run, *seeds) if k_shot in scores(other)]
    if len(trainings) > 1:
        widths = {**widths, "seeds": over_seeds(trainings)[2]}
    better, note = None, ""
    if first is not None and k_shot in scores(first):
        better, note = paired(first, run, k_shot)
    return Standing(name or name_of_run(run.path), k_shot, one["accuracy"], widths, note, better)


def paired(first: RunFolder, other: RunFolder, k_shot: int) -> tuple[Difference | None, str]:
    """How much better the first one is; else why nobody can say."""
    try:
        return difference(first.outcomes[k_shot], other.outcomes[k_shot]), ""
    except (FileNotFoundError, KeyError):
        return None, "its answers were not kept"
    except ValueError:
        return None, "tested on other episodes"


def published(run: RunFolder, k_shot: int) -> list[Standing]:
    """The published accuracy of this setting, if there is one."""
    if run.results["n_way"] != PUBLISHED_WAYS or not run.has_config:
        return []
    key, points = dataset_key(run.results["dataset"], run.cfg.SSV2.SPLIT), run.cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE
    found = (published_figure(key, "trokens", k_shot, points)
             or published_figure(key, "trokens", k_shot, TABLE_POINTS))
    return [Standing("Trokens, published", k_shot, found.accuracy, note=f"{found.points} points, other test episodes")
            ] if found else []


def siblings(run: RunFolder) -> list[RunFolder]:
    """Finished runs in folders seed* beside its own, seed*, that differ from it in the seed alone."""
    folder = run.path.resolve()
    if not re.fullmatch(r"seed\d+", folder.name):
        return []
    return same_setting(run, (path for path in sorted(folder.parent.glob("seed*")) if path != folder))


def same_setting(run: RunFolder, paths: Iterable[Path]) -> list[RunFolder]:
    """Those of other runs that were tested, and differ from a run in the seed alone."""
    found = []
    for path in paths:
        try:
            other = RunFolder.read(path)
            changed = changed_options(run.cfg, (path / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if changed.keys() <= {"RNG_SEED", "FEW_SHOT.EPISODE_SEED", "TEST.EPISODES"} and "RNG_SEED" in changed:
            found.append(other)
    return found


def by_class(run: RunFolder) -> list[tuple[str, dict[str, Any]]]:
    """What results.json says of each class, the hardest first."""
    return sorted(run.results.get("per_class", {}).items(), key=lambda item: item[1]["accuracy"])


def mistakes(results: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """(class, what it was taken for, how often, of how many), the most frequent first."""
    table = results.get("confusion", {"classes": [], "counts": []})
    names = table["classes"]
    found = [(names[i], names[j], count, sum(row)) for i, row in enumerate(table["counts"])
             for j, count in enumerate(row) if i != j and count]
    return sorted(found, key=lambda one: (-one[2] / one[3], one[:2]))


def class_differences(first: RunFolder, other: RunFolder, k_shot: int) -> list[ClassDifference]:
    """Of the classes that both tested, from what the first is best at to what it is worst at."""
    def accuracies(run: RunFolder) -> dict[str, float]:
        return {name: accuracy for name, accuracy, _, _ in class_accuracies(run.outcomes[k_shot])}

    try:
        mine, theirs = accuracies(first), accuracies(other)
    except (OSError, ValueError, KeyError):
        return []
    return sorted((ClassDifference(name, mine[name], theirs[name]) for name in mine if name in theirs),
                  key=lambda one: one.other - one.first)
