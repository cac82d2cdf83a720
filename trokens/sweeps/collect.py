"""The finished runs of sweeps, or of any folders, by their settings."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trokens.report.run_folder import RunFolder
from trokens.report.table import Runs
from trokens.sweeps.runs import NOTE

_RESULTS, _SEED = "results.json", re.compile(r"seed\d+")


@dataclass
class Collected:
    """What folders hold.

    Attributes:
        rows: The finished runs of each setting, by seed; of a sweep in the order of its file.
        baseline: Name of the setting that the sweep compares to, if it says so and it has a finished run.
        lacking: Folders of the sweeps' runs that are not done.
    """

    rows: dict[str, dict[int, RunFolder]] = field(default_factory=dict)
    baseline: str | None = None
    lacking: list[Path] = field(default_factory=list)

    def settings(self) -> list[tuple[str, int, Runs]]:
        """What the runs answered: name, number of shots, and answers by seed, for :func:`trokens.report.table`.

        Raises:
            FileNotFoundError, ValueError: The answers of a run are not there, or are broken.
        """
        found: list[tuple[str, int, Runs]] = []
        for name, runs in self.rows.items():
            shots = dict.fromkeys(k_shot for run in runs.values() for k_shot in run.outcomes)
            found += [(name, k_shot, {seed: run.outcomes[k_shot] for seed, run in runs.items()
                                      if k_shot in run.outcomes}) for k_shot in shots]
        return found


def collect(folders: Sequence[Path]) -> Collected:
    """Find runs.

    Args:
        folders: Each of a sweep, or of a run, whose setting has the name of its folder.

    Raises:
        FileNotFoundError: A folder holds no finished run.
        ValueError: Two runs are of one setting and one seed, or results are broken.
    """
    found = Collected()
    for folder in folders:
        runs = [folder] if (folder / _RESULTS).is_file() else _runs_of(folder, found)
        if not runs:
            raise FileNotFoundError(f"{folder} holds no finished run; give the folder of a sweep or the OUTPUT_DIR of "
                                    "a run.")
        for path in runs:
            run = RunFolder.read(path)
            whole = path.resolve()
            name = whole.parent.name if _SEED.fullmatch(whole.name) else whole.name
            row, seed = found.rows.setdefault(name, {}), run.results["seed"]
            if seed in row:
                raise ValueError(f"{row[seed].path} and {path} are both runs of '{name}' with seed {seed}; give one.")
            row[seed] = run
    if found.baseline not in found.rows:
        found.baseline = None
    return found


def _runs_of(folder: Path, found: Collected) -> list[Path]:
    """The finished runs of a sweep's folder; ``found`` gets its baseline, and what is not done."""
    note = {}
    with suppress(OSError, ValueError):
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    wanted = [folder / row / f"seed{seed}" for row in note.get("rows", ()) for seed in note.get("seeds", ())]
    others = [path.parent for path in sorted(folder.glob(f"*/seed*/{_RESULTS}"))]
    found.baseline = note.get("baseline") or found.baseline
    found.lacking += [path for path in wanted if not (path / _RESULTS).is_file()]
    order = list(note.get("rows", ()))
    others.sort(key=lambda path: order.index(path.parent.name) if path.parent.name in order else len(order))
    return others
