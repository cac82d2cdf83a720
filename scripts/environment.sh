# Sourced by the other scripts: makes .venv with everything that is needed, once, and sets $PY to its Python.
# An environment that already has torch and torchvision (active, or named by $PYTHON) lends them; it is not changed.
# EXTRAS: which extras of pyproject.toml to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"  # threads that wait do not take the cores from those that work
BASE_PYTHON="${PYTHON:-python3}"
PY="$PWD/.venv/bin/python"

"$BASE_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "Python 3.10 or newer is needed; $BASE_PYTHON is $("$BASE_PYTHON" --version 2>&1). Set PYTHON." >&2
  exit 1
}
[ -x "$PY" ] || "$BASE_PYTHON" -m venv .venv

stamp=".venv/installed-${EXTRAS//,/-}-$(cat pyproject.toml setup.py requirements.txt constraints.txt | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ]; then
  pins=(-c constraints.txt)
  if "$BASE_PYTHON" -c 'import torch, torchvision' 2>/dev/null && ! "$PY" -c 'import torch' 2>/dev/null; then
    # A .pth file puts the other environment's packages behind .venv's own.
    "$BASE_PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
      > "$("$PY" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/existing_environment.pth"
    echo "Using torch $("$PY" -c 'import torch; print(torch.__version__)') of $BASE_PYTHON."
    pins=()
  elif ! "$PY" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    pins=()  # the tested set needs 3.11
  elif "$PY" -c 'import torch' 2>/dev/null; then
    pins=()  # torch was put into .venv by hand: keep it
  fi
  echo "Installing into .venv (once; some minutes where torch has to be fetched) ..."
  "$PY" -m pip install --quiet --disable-pip-version-check ${pins[@]+"${pins[@]}"} -e ".[$EXTRAS]"
  touch "$stamp"
fi
