"""`trokens evaluate-tracker` of a checkout: point_tracking/evaluate.py --truth FOLDER"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout runs without being installed

from trokens.cli.evaluate_tracker import main
from trokens.runtime.command import end_with

if __name__ == "__main__":
    end_with(main)
