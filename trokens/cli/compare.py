"""Compare two tests episode by episode: `trokens compare RUN_A RUN_B`."""

from __future__ import annotations

import argparse
from pathlib import Path

from trokens.runtime.command import run_command


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Compare; the exit code is 2 for a problem that ends the command."""
    args = parse_args(argv, prog)
    return run_command(lambda: compare(args), "Interrupted.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("first", type=Path, help="OUTPUT_DIR of a run, or any folder with episodes.jsonl and "
                        "predictions.jsonl")
    parser.add_argument("second", type=Path, help="another one, tested on the same episodes")
    return parser.parse_args(argv)


def compare(args: argparse.Namespace) -> int:
    """Print the difference, its intervals, and how many episodes each wins, for every number of shots of both."""
    from trokens.cli.score import tell_intervals
    from trokens.fewshot.metrics import mean_and_interval
    from trokens.fewshot.uncertainty import difference
    from trokens.report.run_folder import RunFolder

    first, second = RunFolder(args.first, {}).outcomes, RunFolder(args.second, {}).outcomes
    shots = [k_shot for k_shot in first if k_shot in second]
    if not shots:
        raise ValueError(f"{args.first} has {', '.join(map(str, first))} shots, {args.second} has "
                         f"{', '.join(map(str, second))}; test both with the same.")
    for k_shot in shots:
        one, other = first[k_shot], second[k_shot]
        found = difference(one, other)
        figures = [100 * mean_and_interval(some.accuracy)[0] for some in (one, other)]
        print(f"{k_shot}-shot: {figures[0]:.2f} % against {figures[1]:.2f} %: a difference of {100 * found.mean:+.2f} "
              f"points over the same {len(one.query)} episodes")
        tell_intervals(found.intervals)
        print(f"  {args.first} is better in {100 * found.won:.1f} % of the episodes, worse in {100 * found.lost:.1f} %")
    return 0
