#!/usr/bin/env bash
# Build the wheel, install it into a fresh environment that borrows the packages of .venv, and use it in an empty folder.
# Further arguments go to pytest.
EXTRAS=test
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
"$PY" -m pytest -m wheel tests/test_wheel.py "$@"
