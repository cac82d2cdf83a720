"""Run every setting of a sweep file with every seed: `trokens sweep moving_shapes --jobs 2 KEY VALUE ...`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from trokens.runtime.command import run_command

if TYPE_CHECKING:
    from trokens.sweeps.runs import Run

INTERRUPTED = "Interrupted; the runs have ended. What they have done is kept: the same command goes on from it."


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Run what is not done yet; the exit code is 1 where a run failed, 2 for a problem of the sweep, 130 after Ctrl-C,
    143 after SIGTERM."""
    args = parse_args(argv, prog)
    return run_command(lambda: run(args), INTERRUPTED)


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("sweep", help="a sweep by its name, such as moving_shapes, or the path of a YAML file")
    parser.add_argument("--out", type=Path, help="folder of the runs, <row>/seed<k> each (default output/sweeps/NAME)")
    parser.add_argument("--jobs", type=int, help="runs at a time (default 1; of a SLURM array as many as there is room "
                        "for)")
    parser.add_argument("--seeds", help="seeds instead of those of the file, such as 1,2,3")
    parser.add_argument("--only", metavar="WHICH", help="one run by its number of --dry-run, or the runs of a row, or "
                        "ROW/seed1")
    parser.add_argument("--dry-run", action="store_true", help="tell what there is to run, and run nothing")
    parser.add_argument("--slurm", action="store_true", help="write the batch script of a SLURM array, and run nothing")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="options of all runs, see docs/CONFIG.md")
    args = parser.parse_intermixed_args(argv)  # flags may stand before and behind the sweep
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs is {args.jobs}; it must be at least 1.")
    if args.seeds is not None:
        try:
            args.seeds = tuple(int(seed) for seed in args.seeds.split(","))
        except ValueError:
            parser.error(f"--seeds is {args.seeds}; it is whole numbers with commas between them, such as 1,2,3.")
    return args


def run(args: argparse.Namespace) -> int:
    """Plan all runs, then tell of them, write their SLURM array, or run them."""
    from trokens.sweeps.runs import chosen, note_down, plan
    from trokens.sweeps.slurm import write_array
    from trokens.sweeps.sweep_file import read_sweep

    sweep = read_sweep(args.sweep)
    if args.seeds:
        sweep = dataclasses.replace(sweep, seeds=args.seeds)
    out = args.out or Path("output/sweeps") / sweep.name
    runs = plan(sweep, out, args.overrides)
    some = chosen(runs, args.only) if args.only else runs
    if args.dry_run:
        for one in some:
            print(f"{runs.index(one):3}  {label(one, runs)}  {one.state:5}  python {shlex.join(one.command[1:])}")
        return 0
    note_down(sweep, out)
    todo = [one for one in some if one.state != "done"]
    if args.slurm:
        return array(out, runs, write_array, args)
    for one in some:
        if one.state == "done":
            print(f"{label(one, runs)}  {accuracy(one)}  done before", flush=True)
    failed = run_all(todo, runs, args.jobs or 1)
    print(f"{len(some) - failed} of {len(some)} runs are done. Their table: trokens table {shlex.quote(str(out))}")
    return 1 if failed else 0


def array(out: Path, runs: Sequence[Run], write_array, args: argparse.Namespace) -> int:
    """Write the batch script, and say how it is started."""
    path = out.resolve() / "array.sbatch"
    if all(one.state == "done" for one in runs):
        print(f"All {len(runs)} runs are done already.")
        return 0
    name = str(Path(args.sweep).resolve()) if os.path.isfile(args.sweep) else args.sweep
    flags = ["--out", str(out), *(["--seeds", ",".join(map(str, args.seeds))] if args.seeds else [])]
    write_array(path, runs, name, flags, args.overrides, args.jobs)
    print(f"Written. Start it with: sbatch {shlex.quote(str(path))}")
    return 0


def run_all(todo: Sequence[Run], runs: Sequence[Run], jobs: int) -> int:
    """Run these, with a line for each as it ends; returns how many failed."""
    from trokens.sweeps.launch import CONSOLE, launch
    from trokens.sweeps.runs import looked_at

    failed = 0
    with closing(launch(todo, min(jobs, max(len(todo), 1)), gpus(todo, jobs))) as ended:
        for one in ended:
            found = looked_at(one.run)
            took = f"{one.seconds // 60:.0f} min {one.seconds % 60:02.0f} s"
            if one.code == 0 and found.state == "done":
                print(f"{label(one.run, runs)}  {accuracy(found)}  {took}", flush=True)
                continue
            failed += 1
            print(f"{label(one.run, runs)}  failed (exit code {one.code}) after {took}: {one.last} See "
                  f"{one.run.folder / CONSOLE}.", flush=True)
    return failed


def gpus(todo: Sequence[Run], jobs: int) -> list[str]:
    """Names of the GPUs that several runs at a time share; none where that is of no use."""
    if jobs == 1 or not any(one.processes for one in todo):
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def label(one: Run, runs: Sequence[Run]) -> str:
    """Row and seed in columns."""
    return f"{one.row:{max(len(other.row) for other in runs)}}  seed {one.seed}"


def accuracy(one: Run) -> str:
    """Of a run that is done."""
    return f"{100 * one.results['accuracy']:6.2f} %"
