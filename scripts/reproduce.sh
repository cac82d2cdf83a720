#!/usr/bin/env bash
# The published tables, a cell a command: bash scripts/reproduce.sh [DATASET [CELL]] [KEY VALUE ...]
#   --list             tells the cells and what was published for them; without a cell all of the dataset are run,
#                      and without a dataset all there are. --dry-run tells the commands; --help tells the rest.
#   TORCH_HOME         folder of backbone weights
#   DATA_DIR           folder of the videos, or of one folder a dataset: ssv2, k400, ucf, hmdb, finegym
#   TROKENS_PT_DATA    folder of few_shot_info/ and the point files; TATs reads those of uniform grids
#   BASE_OUTPUT_DIR    runs go to $BASE_OUTPUT_DIR/reproduce/DATASET/ROW/seed1, and what they gave, beside what was
#                      published, to $BASE_OUTPUT_DIR/reproduce/results.md
# May be set: NUM_GPUS (default: those there are; 0 = CPU), PYTHON.
# Every number of shots is a training of its own, as published: episodes are trained on with as many shots as are tested.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" "$root/tools/reproduce.py" "$@"
