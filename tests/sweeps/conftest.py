"""Sweeps of tiny runs."""

from pathlib import Path

import pytest
import tiny
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS = {"wide": {}, "narrow": {"MODEL.EMBED_DIM": 8}}


@pytest.fixture
def write(tiny_data, tmp_path, monkeypatch):
    """Write a sweep file of tiny runs, and work in its folder, with this checkout's package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def write(rows=ROWS, seeds=(1,), options=None, **more) -> str:
        pairs = tiny.arguments(tiny_data, tmp_path, options)
        common = {key: value for key, value in zip(pairs[::2], pairs[1::2], strict=True) if key != "OUTPUT_DIR"}
        content = {"cfg": str(tiny.CONFIG), "options": common, "rows": rows, "seeds": list(seeds), **more}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return "mine.yaml"

    return write
