"""A sweep as a SLURM array: a batch script whose every task does one run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from trokens.runtime.files import write_text
from trokens.sweeps.runs import Run

_SCRIPT = """\
#!/usr/bin/env bash
#SBATCH --job-name={name}
#SBATCH --array={array}
#SBATCH --output={log}
#SBATCH --open-mode=append
#SBATCH --requeue
{gpus}# What else the cluster asks for, such as --partition, --time and --cpus-per-task, goes to sbatch.
cd {folder}
# srun passes on the signal of a time limit or a preemption; the run saves then, and goes on when it is started again.
exec srun --ntasks=1 {command} --only "$SLURM_ARRAY_TASK_ID"{overrides}
"""


def write_array(path: Path, runs: Sequence[Run], sweep: str, flags: Sequence[str], overrides: Sequence[str],
                most: int | None) -> None:
    """Write the batch script of all runs that are not done.

    Args:
        path: Of the script; what its tasks say lies beside it.
        runs: All of the sweep; a task's number is the place of its run among them.
        sweep: The sweep file, or its name.
        flags: Further flags of ``trokens sweep``.
        overrides: KEY, VALUE, ... for all runs.
        most: Tasks at a time; None for as many as there is room for.

    Raises:
        WriteError: The disk does not take it.
    """
    numbers = ",".join(str(k) for k, run in enumerate(runs) if run.state != "done")
    gpus = max(run.processes for run in runs)
    command = [sys.executable, "-m", "trokens", "sweep", sweep, *flags]
    write_text(path, _SCRIPT.format(
        name=f"trokens-{path.parent.name}", array=numbers + (f"%{most}" if most else ""),
        log=shlex.quote(str(path.parent / "slurm-%a.txt")), gpus=f"#SBATCH --gres=gpu:{gpus}\n" if gpus else "",
        folder=shlex.quote(str(Path.cwd())), command=shlex.join(command),
        overrides="".join(f" {shlex.quote(one)}" for one in overrides)))
