"""The runs of a sweep: the command of each, and whether its folder holds it already, as a whole or in part."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trokens.config import OPTIONS, ConfigError, changed_options, config_hash, kept_options, load_cfg
from trokens.config.values import shown
from trokens.runtime.files import write_json
from trokens.sweeps.sweep_file import OWN_KEYS, Sweep

NOTE = "sweep.json"  # of a sweep's folder: its rows in their order
_SHARED = ("FEW_SHOT.EPISODE_SEED", "1")  # the same test episodes for all seeds, as pairs need
_CLASSES = "MODEL.NUM_CLASSES"  # a run with 0 writes down the number that it has found


@dataclass(frozen=True)
class Run:
    """One training and test.

    Attributes:
        row: Name of its setting.
        seed: Its RNG_SEED.
        config: Path of its config.
        options: KEY, VALUE, ..., with RNG_SEED and OUTPUT_DIR.
        folder: Its OUTPUT_DIR.
        processes: NUM_GPUS of its config.
        state: "done", "begun" or "new".
        results: What results.json says, if it is done.
    """

    row: str
    seed: int
    config: str
    options: tuple[str, ...]
    folder: Path
    processes: int = 1
    state: str = "new"
    results: Any = None

    @property
    def command(self) -> list[str]:
        """What runs it, in the present folder; torchrun starts the processes of several GPUs."""
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc_per_node={self.processes}", "-m"]
        return [sys.executable, "-m", *torchrun * (self.processes > 1), "trokens", "train", "--cfg", self.config,
                *self.options]


def plan(sweep: Sweep, out: Path, overrides: Sequence[str] = ()) -> list[Run]:
    """The runs of a sweep, each in ``out/<row>/seed<k>``, rows first; all evaluate on the same episodes.

    Args:
        sweep: What its file says.
        out: Folder of the sweep.
        overrides: KEY, VALUE, ... for all runs.

    Raises:
        ConfigError: An option is refused, or a folder holds a run with other options; all problems at once.
    """
    for key in OWN_KEYS.keys() & set(overrides[::2]):
        raise ConfigError(f"{key} is what {OWN_KEYS[key]} of a sweep sets; leave it out of the options.")
    runs, problems = [], []
    for row, seed in itertools.product(sweep.rows, sweep.seeds):
        folder = out / row.name / f"seed{seed}"
        options = (*_SHARED, *row.options, *overrides, "RNG_SEED", str(seed), "OUTPUT_DIR", str(folder))
        try:
            runs.append(looked_at(Run(row.name, seed, row.config, options, folder)))
        except ConfigError as error:
            problems.append(f"{row.name}, seed {seed}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return runs


def looked_at(run: Run) -> Run:
    """The run with its config's number of processes, and what its folder holds of it by now.

    Raises:
        ConfigError: An option is refused, or the folder holds a run with other options.
    """
    cfg = load_cfg(run.config, run.options)
    run = replace(run, processes=cfg.NUM_GPUS)
    try:
        text = (run.folder / "config.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return run
    if cfg.MODEL.NUM_CLASSES == 0:
        cfg = load_cfg(run.config, [*run.options, _CLASSES, kept_options(text).get(_CLASSES, 0)])
    changed = {key: pair for key, pair in changed_options(cfg, text).items()
               if pair != (None, OPTIONS[key].unset)}  # that is one which an older version lacked
    if changed:
        told = ", ".join(f"{key} {shown(there)}, not {shown(here)}" for key, (there, here) in sorted(changed.items()))
        raise ConfigError(f"{run.folder} holds a run with {told}; choose another --out, or move that folder away.")
    with suppress(OSError, ValueError):
        results = json.loads((run.folder / "results.json").read_text(encoding="utf-8"))
        if isinstance(results, dict) and results.get("config_hash") == config_hash(cfg):
            return replace(run, state="done", results=results)
    return replace(run, state="begun")


def chosen(runs: Sequence[Run], only: str) -> list[Run]:
    """The runs that ``only`` names: by a number from 0, by a row, or by a row and its seed as "row/seed1".

    Raises:
        ConfigError: There is none.
    """
    if only.isdecimal() and int(only) < len(runs):
        return [runs[int(only)]]
    found = [run for run in runs if only in (run.row, f"{run.row}/seed{run.seed}")]
    if not found:
        rows = ", ".join(dict.fromkeys(run.row for run in runs))
        raise ConfigError(f"--only {only} is no run; it is a number below {len(runs)}, or one of {rows}, which "
                          "/seed1 may follow.")
    return found


def note_down(sweep: Sweep, out: Path) -> None:
    """Write the order of rows, the seeds and the baseline into the sweep's folder, for its table."""
    write_json(out / NOTE, {"rows": [row.name for row in sweep.rows], "seeds": list(sweep.seeds),
                            "baseline": sweep.baseline})
