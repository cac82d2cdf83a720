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
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout runs without being installed

from trokens.runtime.command import end_with, run_command
from trokens.runtime.files import check_writable, write_json

if TYPE_CHECKING:
    from benchmarks.timing import Figure, Setting

PARTS = ("evaluation", "extraction", "loader", "machine", "modules", "training")  # files of benchmarks/
FALL = 0.7  # of its recorded value, to which a ratio may fall


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit code is 1 where a ratio has fallen, and was so low when its part was measured once more, 2 for
    a problem that ends the run, 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"what to measure, of {', '.join(PARTS)} (all)")
    parser.add_argument("--device", help="(cuda where there is one, else cpu)")
    parser.add_argument("--repeats", type=int, default=5, help="counted repetitions (%(default)s)")
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick check of the ratios")
    parser.add_argument("--videos", nargs="+", default=[],
                        help="video files: for the loader instead of rendered ones, for extraction beside its own")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--check", type=Path, help="recorded figures; a ratio twice below 70 %% of its own is an error")
    args = parser.parse_args(argv)
    return run_command(lambda: measure_and_check(args), "Interrupted: nothing is written.")


def measure_and_check(args: argparse.Namespace) -> int:
    """Measure, twice where a ratio has fallen, and tell the figures."""
    import torch

    from benchmarks.timing import Setting

    parts = args.parts or PARTS
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f"Unknown benchmark '{unknown[0]}'. Known: {', '.join(PARTS)}.")
    recorded = ratios(args.check) if args.check else {}
    if args.json:
        check_writable(args.json)
    torch.set_num_threads(1)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    setting = Setting(device, args.repeats, args.small, tuple(args.videos))
    figures = {f.name: f for f in measure(parts, setting)}
    low = {name.split("/")[0] for name in fallen(figures, recorded)}  # a neighbor may have disturbed them
    for again in measure([part for part in parts if part in low], setting):
        if again.unit == "ratio" and again.value > figures[again.name].value:
            figures[again.name] = again
    print("| what | median | from - to | how |\n|---|---|---|---|")
    for f in figures.values():
        print(f"| {f.name} | {f.value:.3g} {f.unit} | {f.low:.3g} - {f.high:.3g} | {f.note} |")
    if args.json:
        machine = {"torch": torch.__version__, "python": platform.python_version(),
                   "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()}
        write_json(args.json, {"machine": machine, "figures": [asdict(f) for f in figures.values()]})
    slower = fallen(figures, recorded)
    for name in slower:
        now = f"is {figures[name].value:.2f}" if name in figures else "was not measured"
        print(f"Slower than recorded: {name} {now}; recorded was {recorded[name]:.2f}.", file=sys.stderr)
    return int(bool(slower))


def measure(parts: Iterable[str], setting: Setting) -> list[Figure]:
    """The figures of some parts."""
    figures: list[Figure] = []
    for part in parts:
        print(f"{part} ...", file=sys.stderr, flush=True)
        figures += import_module(f"benchmarks.{part}").measure(setting)
    return figures


def ratios(recorded: Path) -> dict[str, float]:
    """The ratios in a file that ``--json`` wrote."""
    return {f["name"]: f["value"] for f in json.loads(recorded.read_text())["figures"] if f["unit"] == "ratio"}


def fallen(figures: Mapping[str, Figure], recorded: Mapping[str, float]) -> list[str]:
    """Names of the ratios that fell below FALL times their recorded value, or were not measured."""
    return [name for name, value in recorded.items() if name not in figures or figures[name].value < FALL * value]


if __name__ == "__main__":
    end_with(main)
