"""Score answers to episodes, whoever gave them: `trokens score episodes.jsonl predictions.jsonl`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trokens.runtime.command import run_command
from trokens.runtime.files import check_writable, write_json

if TYPE_CHECKING:
    from trokens.fewshot.uncertainty import Intervals


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Score; the exit code is 2 for a problem that ends the command."""
    args = parse_args(argv, prog)
    return run_command(lambda: score(args), "Interrupted.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("episodes", type=Path, help="episodes.jsonl of a test: which clips each episode shows")
    parser.add_argument("predictions", type=Path, help="a line a query clip: episode, query, and given (a class) or "
                        "distances (one a class, in the order of the episode's)")
    parser.add_argument("--json", type=Path, help="file to write the figures into")
    return parser.parse_args(argv)


def score(args: argparse.Namespace) -> int:
    """Print accuracy and intervals of each number of shots, and the accuracy of each class."""
    if args.json:
        check_writable(args.json)
    from trokens.engine.outcome_files import read_outcomes
    from trokens.engine.output import describe_outcomes
    from trokens.fewshot.metrics import mean_and_interval
    from trokens.fewshot.uncertainty import intervals

    figures = []
    for outcomes in read_outcomes(args.episodes, args.predictions):
        accuracy, _ = mean_and_interval(outcomes.accuracy)
        episodes, n_way, _ = outcomes.query.shape
        print(f"{n_way}-way {outcomes.k_shot}-shot: {100 * accuracy:.2f} % right in {episodes} episodes of "
              f"{len(outcomes.clips)} clips in {len(outcomes.classes)} classes; chance {100 / n_way:.1f} %")
        tell_intervals(intervals(outcomes.accuracy, outcomes))
        described = describe_outcomes(outcomes)
        figures.append({"n_way": n_way, "k_shot": outcomes.k_shot, "episodes": episodes, "accuracy": accuracy}
                       | described)
        for name, one in described["per_class"].items():
            width = "" if one["interval"] is None else f" ± {100 * one['interval']:.1f}"
            print(f"  {100 * one['accuracy']:5.1f}{width} %  {name}")
    if args.json:
        write_json(args.json, figures)
    return 0


def tell_intervals(found: Intervals) -> None:
    """Print what each 95 % interval is over."""
    from trokens.fewshot.uncertainty import OVER

    for kind, over in OVER.items():
        width = getattr(found, kind)
        told = "not known: nothing can be left out" if width is None else f"± {100 * width:.2f} %"
        print(f"  {told}  over {over}")
