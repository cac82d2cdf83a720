#!/usr/bin/env bash
# Train and test on k400; trokens.sh says which variables it reads. Further KEY VALUE pairs may be given.
exec bash "$(dirname "${BASH_SOURCE[0]}")/trokens.sh" k400 "$@"
