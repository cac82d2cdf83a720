"""Write one page that shows what a run did and found, or that compares several: `trokens report RUN [RUN ...]`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trokens.runtime.command import run_command
from trokens.runtime.files import check_writable

if TYPE_CHECKING:
    from trokens.report.run_folder import RunFolder

PAGE = "report.html"


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Write the page; the exit code is 2 for a problem that ends the command."""
    args = parse_args(argv, prog)
    return run_command(lambda: report(args), "Interrupted.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="OUTPUT_DIR of a run; several are compared "
                        "with the first one")
    parser.add_argument("--beside", type=Path, nargs="+", default=[], metavar="FOLDER", help="folders of other answers "
                        "to the same episodes, such as what tools/descriptor_baseline.py --out wrote")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the page (of one run: RUN/{PAGE}; else ./{PAGE})")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="folder that gets each drawing as PNG, PDF and "
                        "CSV")
    return parser.parse_args(argv)


def report(args: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    page = args.out or (args.runs[0] if len(args.runs) == 1 else Path()) / PAGE
    from trokens.report.run_folder import RunFolder
    from trokens.report.run_page import write_report
    from trokens.report.runs_page import write_comparison

    beside = [run for folder in args.beside for run in answers_in(folder)]
    if len(args.runs) == 1:
        run = RunFolder.read(args.runs[0], tested=False)
        check_writable(page)
        write_report(run, page, beside=beside, figures=args.figures)
    else:
        folders = [path.resolve() for path in args.runs]
        if twice := [str(path) for path in args.runs if folders.count(path.resolve()) > 1]:
            raise ValueError(f"{twice[0]} is named twice; name each run once.")
        runs = [RunFolder.read(path) for path in args.runs]
        check_writable(page)
        write_comparison([*runs, *beside], page, figures=args.figures)
    print(page)
    return 0


def answers_in(folder: Path) -> list[RunFolder]:
    """A folder with results, or those within it that have some.

    Raises:
        FileNotFoundError: There are none.
    """
    from trokens.report.run_folder import RunFolder

    if not (folder / "results.json").is_file() and (within := sorted(folder.glob("*/results.json"))):
        return [RunFolder.read(file.parent) for file in within]
    return [RunFolder.read(folder)]
