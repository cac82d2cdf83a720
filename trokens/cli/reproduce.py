"""Run cells of the published tables, and set what they give beside what was published."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trokens.runtime.command import run_command

if TYPE_CHECKING:
    from trokens.report.published import Published

DATASETS = ("ssv2_full", "k400", "ssv2_small", "ucf", "hmdb", "finegym")  # sweeps of the package
FOLDERS = ("TORCH_HOME", "DATA_DIR", "TROKENS_PT_DATA", "BASE_OUTPUT_DIR")  # environment variables
_HEAD = ("cell", "shots", "points", "published", "measured", "difference", "seeds", "± episodes", "± clips",
         "± classes")
_NOTE = ("Accuracy in %, 5-way. *: read off a figure (± 0.2). Half widths of 95 % intervals: over other episodes of "
         "the same clips, other clips of the same classes, other classes. Cells without a measured figure are still "
         "to be run.")


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Run cells; the exit codes are those of `trokens sweep`."""
    args = parse_args(argv, prog)
    return run_command(lambda: reproduce(args), "Interrupted; the runs have ended. The same command goes on from what "
                       "they have done.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("words", nargs="*", metavar="[DATASET [CELL]] [KEY VALUE ...]",
                        help=f"DATASET: one of {', '.join(DATASETS)} (default: all). CELL: one of --list (default: "
                        "all). KEY VALUE: options of the runs, see docs/CONFIG.md")
    parser.add_argument("--list", action="store_true", help="list the cells and their published accuracies")
    parser.add_argument("--dry-run", action="store_true", help="tell the commands, and run nothing")
    parser.add_argument("--seeds", help="seeds of each cell, such as 1,2,3 (default 1)")
    parser.add_argument("--jobs", default="1", help="runs at a time (%(default)s)")
    args = parser.parse_intermixed_args(argv)
    args.datasets, args.cell, args.overrides = DATASETS, None, args.words
    if args.words and "." not in args.words[0] and not args.words[0].isupper():
        if args.words[0] not in DATASETS:
            parser.error(f"'{args.words[0]}' is no dataset; it is one of {', '.join(DATASETS)}.")
        args.datasets, args.overrides = args.words[:1], args.words[1:]
        if args.overrides and "." not in args.overrides[0] and not args.overrides[0].isupper():
            args.cell, args.overrides = args.overrides[0], args.overrides[1:]
    if not args.list and (unset := [name for name in FOLDERS if not os.environ.get(name)]):
        parser.error(f"Not set: {' '.join(unset)}. Export each before running; the head of scripts/reproduce.sh says "
                     "what it means.")
    return args


def reproduce(args: argparse.Namespace) -> int:
    """List cells, or run them and write the table of all."""
    from trokens.cli import sweep
    from trokens.runtime.files import write_text

    known = {dataset: cells(dataset) for dataset in DATASETS}
    some = {dataset: named(dataset, known[dataset], args.cell) for dataset in args.datasets}
    if args.list:
        for dataset, rows in some.items():
            for cell in rows:
                print(f"{told(known[dataset][cell]):>7}  bash scripts/reproduce.sh {dataset} {short(cell)}")
        return 0
    out = Path(os.environ["BASE_OUTPUT_DIR"]) / "reproduce"
    gpus, code = os.environ.get("NUM_GPUS") or gpus_there_are(), 0
    for dataset, rows in some.items():
        flags = ["--out", str(out / dataset), "--jobs", args.jobs, *(["--only", rows[0]] if args.cell else []),
                 *(["--seeds", args.seeds] if args.seeds else []), *(["--dry-run"] if args.dry_run else [])]
        options = ["DATA.PATH_TO_DATA_DIR", videos(dataset), "DATA.PATH_TO_TROKEN_PT_DATA",
                   os.environ["TROKENS_PT_DATA"], "NUM_GPUS", gpus, *args.overrides]
        code = max(code, sweep.run(sweep.parse_args([dataset, *flags, *options], None)))
    if not args.dry_run:
        text = table(known, out)
        write_text(out / "results.md", text)
        print(f"\n{text}\nWritten to {shlex.quote(str(out / 'results.md'))}.")
    return code


def gpus_there_are() -> str:
    """How many GPUs this machine has."""
    import torch

    return str(torch.cuda.device_count())


def cells(dataset: str) -> dict[str, Published | None]:
    """The rows of a dataset's sweep, and the figure that was published for each."""
    from trokens.config import load_cfg
    from trokens.report.published import dataset_key, published_figure
    from trokens.sweeps.sweep_file import read_sweep

    found = {}
    for row in read_sweep(dataset).rows:
        cfg = load_cfg(row.config, row.options)
        found[row.name] = published_figure(dataset_key(cfg.TEST.DATASET, cfg.SSV2.SPLIT), row.name.partition("_")[0],
                                           cfg.FEW_SHOT.K_SHOT, cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE)
    return found


def named(dataset: str, known: dict[str, Published | None], cell: str | None) -> list[str]:
    """The rows that a cell's name stands for: its own, with "trokens_" left out; all for None.

    Raises:
        ValueError: There is none.
    """
    found = [row for row in known if cell in (None, row, short(row))]
    if not found:
        raise ValueError(f"'{cell}' is no cell of {dataset}; it is one of {', '.join(map(short, known))}.")
    return found


def short(row: str) -> str:
    """What a row is called as a cell."""
    return row.removeprefix("trokens_")


def told(figure: Published | None) -> str:
    """A published accuracy in percent."""
    return f"{100 * figure.accuracy:.1f}{'*' * (figure.source == 'figure')}" if figure else ""


def videos(dataset: str) -> str:
    """The folder of a dataset's videos: DATA_DIR, or the one in it that is called like the dataset."""
    own = Path(os.environ["DATA_DIR"], "ssv2" if dataset.startswith("ssv2") else dataset)
    return str(own if own.is_dir() else own.parent)


def table(known: dict[str, dict[str, Published | None]], out: Path) -> str:
    """All cells in Markdown, those that have been run with what they gave."""
    from trokens.report.table_text import markdown

    body: list[Sequence[str]] = []
    for dataset, rows in known.items():
        for row, figure in rows.items():
            shots, points = (str(figure.k_shot), str(figure.points)) if figure else ("", "")
            body.append((f"{dataset} {short(row)}", shots, points, told(figure),
                         *measured(out / dataset / row, figure)))
    return f"{markdown(_HEAD, body)}\n{_NOTE}\n"


def measured(folder: Path, figure: Published | None) -> list[str]:
    """The cells of a row that its runs fill; empty ones where there are none."""
    from trokens.report.table import accuracy_of
    from trokens.report.table_text import percent
    from trokens.sweeps.collect import collect

    runs = sorted(path.parent for path in folder.glob("seed*/results.json"))
    if not runs:
        return [""] * 6
    [(_, _, outcomes), *_] = collect(runs).settings()
    found = accuracy_of(outcomes)
    three = (found.intervals.episodes, found.intervals.clips, found.intervals.classes) if found.intervals else ()
    return [percent(found.mean), percent(found.mean - figure.accuracy, "+") if figure else "", str(len(runs)),
            *map(percent, three or (None,) * 3)]
