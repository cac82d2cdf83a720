"""What the package says of itself; tests/test_wheel.py builds and installs it."""

import re
from pathlib import Path

import pytest

import trokens

ROOT = Path(__file__).resolve().parents[1]


def names(text: str) -> list[str]:
    """Names of the requirements in a file, as an index compares them."""
    found = [re.match(r"[A-Za-z0-9._-]+", line)[0] for line in text.splitlines() if line and not line.startswith("#")]
    return [re.sub(r"[-_.]+", "-", name).lower() for name in found]


def test_every_dependency_is_in_the_set_that_was_tested_together():
    assert set(names((ROOT / "requirements.txt").read_text())) <= set(names((ROOT / "constraints.txt").read_text()))


def test_dependencies_and_version_stand_in_one_place():
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert 'dependencies = {file = ["requirements.txt"]}' in pyproject and f'"{trokens.__version__}"' not in pyproject
    assert re.search("install_requires|version", (ROOT / "setup.py").read_text()) is None


def test_every_folder_of_code_is_a_package_that_is_installed():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in (ROOT / "trokens").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    packages |= {"trokens.configs", "trokens.configs.sweeps", "trokens.configs.tats"}
    assert {*listed} == packages, "list it in pyproject.toml"


def test_the_environment_is_made_anew_where_the_requirements_change():
    stamp = next(line for line in (ROOT / "scripts/environment.sh").read_text().splitlines() if "cksum" in line)
    assert all(name in stamp for name in ("pyproject.toml", "setup.py", "requirements.txt", "constraints.txt"))


def test_the_hosted_workflow_runs_what_ci_runs():
    run, hosted = ((ROOT / name).read_text() for name in (".ci/run", ".github/workflows/test.yml"))
    assert re.findall(r"bash scripts/\S+", run) == re.findall(r"bash scripts/\S+", hosted) != []
