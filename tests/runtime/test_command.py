"""Commands without tests of their own end in one line where the user's files or options do not allow the work."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("arguments", "message"), [
    (["tools/benchmark.py", "evaluaton"], "Unknown benchmark 'evaluaton'. Known: evaluation, "),
    (["tools/benchmark.py", "loader", "--small", "--videos", "nowhere.mp4"], "nowhere.mp4"),
    (["tools/appearance_baseline.py", "--cfg", "nowhere.yaml"], "nowhere.yaml cannot be read"),
    (["tools/descriptor_baseline.py", "--cfg", "nowhere.yaml"], "nowhere.yaml cannot be read"),
])
def test_a_mistake_ends_in_one_line(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(ROOT / arguments[0]), *arguments[1:]])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
    error = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and message in error[-1] and len(error) <= 2  # the benchmark says what it measures
