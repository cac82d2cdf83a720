#!/usr/bin/env bash
# Measure small sizes and compare their ratios with the recorded ones, tests/ratios.json: in a few minutes, on any machine.
# To record anew: tools/benchmark.py --small --repeats 3 --json tests/ratios.json
EXTRAS=test
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
OMP_NUM_THREADS=1 "$PY" tools/benchmark.py --small --repeats 3 --check tests/ratios.json "$@"
