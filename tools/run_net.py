"""`trokens train`, as the published code is started: tools/run_net.py --cfg configs/trokens/hmdb.yaml KEY VALUE ..."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout runs without being installed

from trokens.cli.train import main
from trokens.runtime.command import end_with

if __name__ == "__main__":
    end_with(main)
