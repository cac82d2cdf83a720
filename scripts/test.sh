#!/usr/bin/env bash
# Set up .venv, check the style and the types and run the tests. Further arguments go to pytest.
EXTRAS=test
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
"$PY" -m ruff check .
"$PY" -m mypy
"$PY" -m pytest "$@"
