"""Measure what each stage costs on this machine: --help tells how, docs/PERFORMANCE.md what it gave."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout runs without being installed

from trokens.cli.benchmark import main
from trokens.runtime.commands import end_with

if __name__ == "__main__":
    end_with(main)
