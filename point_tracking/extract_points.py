"""`trokens extract` of a checkout: point_tracking/extract_points.py --videos FOLDER --base_feat_path OUT"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout runs without being installed

from trokens.cli.extract import main
from trokens.runtime.command import end_with

if __name__ == "__main__":
    end_with(main)
