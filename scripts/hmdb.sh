#!/usr/bin/env bash
# Train and test on hmdb; trokens.sh says which variables it reads. Further KEY VALUE pairs may be given.
exec bash "$(dirname "${BASH_SOURCE[0]}")/trokens.sh" hmdb "$@"
