"""What results.json says of the code."""

import subprocess
from pathlib import Path

import pytest

import trokens
from trokens.engine import output


@pytest.fixture
def repository(tmp_path) -> Path:
    """One with a commit, and an installed package in it of which it knows nothing."""
    (tmp_path / "site-packages/trokens/engine").mkdir(parents=True)
    (tmp_path / "site-packages/trokens/engine/output.py").touch()
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*who, "commit", "-qm", "a", "--allow-empty"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    return tmp_path


def test_the_commit_is_that_of_the_code_not_of_a_repository_it_is_installed_in(repository, monkeypatch):
    installed = repository / "site-packages/trokens/engine/output.py"
    monkeypatch.setattr(output, "__file__", str(installed))
    about = output.provenance()
    assert about["commit"] == "unknown" and about["version"] == trokens.__version__
    subprocess.run(["git", "-C", repository, "add", installed], check=True)
    head = subprocess.run(["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert output.provenance()["commit"] == f"{head.stdout.strip()}-dirty"
