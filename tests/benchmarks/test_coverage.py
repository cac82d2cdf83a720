"""How often intervals hold the truth."""

import json

import pytest
from tiny import run

from benchmarks import coverage


def test_a_few_small_test_sets(tiny_data, tmp_path):
    run(tiny_data, tmp_path / "run", TEST__ENABLE=False, SOLVER__MAX_EPOCH=1, SOLVER__WARMUP_EPOCHS=0)
    checkpoint, file = tmp_path / "run/checkpoints/checkpoint_best.pyth", tmp_path / "coverage.json"
    assert coverage.main(["--checkpoint", str(checkpoint), "--sets", "3", "--clips", "4", "--episodes", "400",
                          "--redraws", "4", "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert figures["truth"] == pytest.approx(sum(figures["accuracy"]) / 3)
    assert len(set(figures["accuracy"])) == 3  # each set has clips of its own
    for name, widths in figures["half_widths"].items():
        inside = [abs(one - figures["truth"]) <= width for one, width in zip(figures["accuracy"], widths, strict=True)]
        assert figures["held"][name] == pytest.approx(sum(inside) / 3)
    assert figures["half_width"]["episodes"] < figures["half_width"]["clips"]
