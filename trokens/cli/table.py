"""Make a table of the runs of a sweep: `trokens table output/sweeps/moving_shapes --baseline trokens`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trokens.runtime.command import run_command

FORMATS = ("markdown", "latex", "csv")


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Make it; the exit code is 2 for a problem that ends the command."""
    args = parse_args(argv, prog)
    return run_command(lambda: make(args), "Interrupted.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of a sweep, or OUTPUT_DIR of a run")
    parser.add_argument("--baseline", metavar="ROW", help="the setting that others are compared to, on the same seeds "
                        "and episodes (default: the one that the sweep names)")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the table (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="to write the table into (default: standard output)")
    return parser.parse_args(argv)


def make(args: argparse.Namespace) -> int:
    """Collect the runs, and write their table."""
    from trokens.report.table import table_rows
    from trokens.report.table_text import table_text
    from trokens.runtime.files import write_text
    from trokens.sweeps.collect import collect

    found = collect(args.folders)
    baseline = args.baseline or found.baseline
    text = table_text(table_rows(found.settings(), baseline), args.format, baseline)
    if found.lacking:
        few = ", ".join(map(str, found.lacking[:3])) + ", ..." * (len(found.lacking) > 3)
        print(f"Not done, and so not in the table: {few} ({len(found.lacking)} of the sweep's runs).", file=sys.stderr)
    if args.out:
        write_text(args.out, text)
    else:
        print(text, end="")
    return 0
