"""Measure what each stage costs on this machine, and how much faster it is than the direct way.

    python tools/benchmark.py                                  # everything, as docs/PERFORMANCE.md reports it
    python tools/benchmark.py machine loader --repeats 9 --json figures.json
    python tools/benchmark.py --small --check tests/ratios.json  # fail where a ratio twice fell by more than 30 %
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import torch

import trokens.benchmarks
from trokens.benchmarks import BENCHMARKS
from trokens.benchmarks.timing import Figure, Setting
from trokens.runtime.commands import run_command
from trokens.runtime.files import check_writable, write_json

FALL = 0.7  # of its recorded value, to which a ratio may fall


def find_benchmarks() -> None:
    """Import them all, as each registers its own. A process that measures memory imports this file, not them."""
    for module in iter_modules(trokens.benchmarks.__path__):
        import_module(f"trokens.benchmarks.{module.name}")


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"what to measure, of {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="counted repetitions (%(default)s)")
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick check of the ratios")
    parser.add_argument("--videos", nargs="+", default=[],
                        help="video files: for the loader instead of rendered ones, for extraction beside its own")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--check", type=Path, help="recorded figures; a ratio twice below 70 %% of its own is an error")
    return parser.parse_args(argv)


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines of a Markdown table."""
    rows = [f"| {f.name} | {f.value:.3g} {f.unit} | {f.low:.3g} - {f.high:.3g} | {f.note} |" for f in figures]
    return "\n".join(["| what | median | from - to | how |", "|---|---|---|---|", *rows])


def measure(parts: Iterable[str], setting: Setting) -> list[Figure]:
    """The figures of some parts.

    Raises:
        ValueError: There is no such part; before anything is measured.
    """
    figures: list[Figure] = []
    for part, benchmark in [(part, BENCHMARKS.get(part)) for part in parts]:
        print(f"{part} ...", file=sys.stderr, flush=True)
        figures += benchmark(setting)
    return figures


def ratios(recorded: Path) -> dict[str, float]:
    """The ratios in a file that ``--json`` wrote."""
    return {f["name"]: f["value"] for f in json.loads(recorded.read_text())["figures"] if f["unit"] == "ratio"}


def fallen(figures: Sequence[Figure], recorded: Mapping[str, float]) -> dict[str, str]:
    """Which ratios fell below FALL times their recorded value, or were not measured, by name, in words."""
    now = {f.name: f.value for f in figures}
    return {name: f"{name} is {now.get(name, 0):.2f}; recorded was {value:.2f}" for name, value in recorded.items()
            if now.get(name, 0) < FALL * value}


def better(first: Sequence[Figure], second: Sequence[Figure]) -> list[Figure]:
    """The first figures, with the higher one of two ratios."""
    again = {f.name: f for f in second if f.unit == "ratio"}
    return [max(f, again.get(f.name, f), key=lambda figure: figure.value) for f in first]


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Measure; the exit code is 1 where a ratio has fallen, and was so low when its part was measured once more, 2 for
    a problem that ends the run, 130 when interrupted."""
    find_benchmarks()
    args = parse_args(argv, prog)
    return run_command(lambda: measure_and_check(args), "Interrupted: nothing is written.")


def measure_and_check(args: argparse.Namespace) -> int:
    """Measure, twice where a ratio has fallen, and tell the figures."""
    torch.set_num_threads(args.threads)
    setting = Setting(torch.device(args.device), args.repeats, args.small, tuple(args.videos))
    if args.json:
        check_writable(args.json)
    parts = args.parts or list(BENCHMARKS)
    recorded = ratios(args.check) if args.check else {}
    figures = measure(parts, setting)
    low = {name.split("/")[0] for name in fallen(figures, recorded)}  # a neighbor may have disturbed them
    figures = better(figures, measure((part for part in parts if part in low), setting))
    print(table(figures))
    if args.json:
        machine = {"torch": torch.__version__, "python": platform.python_version(), "threads": args.threads,
                   "device": torch.cuda.get_device_name() if setting.device.type == "cuda" else platform.machine()}
        write_json(args.json, {"machine": machine, "figures": [asdict(f) for f in figures]})
    lower = fallen(figures, recorded)
    for line in lower.values():
        print(f"Slower than recorded: {line}.", file=sys.stderr)
    return int(bool(lower))
