"""The notebooks of examples/ run anywhere, and their stored outputs are what they print."""

import json
import tempfile
from pathlib import Path

import matplotlib as mpl
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), path.name, "exec"), names)
    mpl.pyplot.close("all")
    printed = capsys.readouterr().out
    stored = "".join("".join(output.get("text", "")) for cell in cells for output in cell["outputs"])
    assert printed == stored and "4 of 4 are right" in printed
    assert path.stat().st_size < 100_000
