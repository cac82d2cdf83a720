"""Run cells of the published tables: tools/reproduce.py ssv2_small 1shot; scripts/reproduce.sh says what it needs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout runs without being installed

from trokens.cli.reproduce import main
from trokens.runtime.command import end_with

if __name__ == "__main__":
    end_with(main)
