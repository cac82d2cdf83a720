"""tools/benchmark.py says where a ratio has fallen, once it has fallen twice."""

import json

import pytest

from trokens.benchmarks import BENCHMARKS
from trokens.benchmarks.timing import Figure
from trokens.cli import benchmark


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """Two parts that give the ratios of a list, one at a time; the parts in the order in which they were measured."""
    benchmark.find_benchmarks()
    seen: list[str] = []
    ratios = {"quick": [2.0, 3.0], "noisy": [1.0, 2.9]}

    def part(name: str):
        def measure(_setting) -> list[Figure]:
            seen.append(name)
            value = ratios[name][seen.count(name) - 1]
            return [Figure(f"{name}/fast over direct", value, "ratio", value, value),
                    Figure(f"{name}/direct", seen.count(name), "s", 1, 2)]

        return measure

    monkeypatch.setattr(BENCHMARKS, "_entries", {name: part(name) for name in ratios})
    return seen


def recorded(folder, **ratios: float):
    figures = [{"name": f"{name}/fast over direct", "value": value, "unit": "ratio"} for name, value in ratios.items()]
    (folder / "ratios.json").write_text(json.dumps({"figures": figures}))
    return ["--check", str(folder / "ratios.json")]


def test_nothing_is_measured_twice_without_need(measured, tmp_path):
    assert benchmark.main([]) == 0 and measured == ["quick", "noisy"]
    measured.clear()
    assert benchmark.main(recorded(tmp_path, quick=2.8, noisy=1.4)) == 0 and measured == ["quick", "noisy"]


def test_a_part_with_a_fallen_ratio_is_measured_once_more(measured, tmp_path, capsys):
    assert benchmark.main([*recorded(tmp_path, quick=2, noisy=4), "--json", str(tmp_path / "figures.json")]) == 0
    assert measured == ["quick", "noisy", "noisy"]
    value = {f["name"]: f["value"] for f in json.loads((tmp_path / "figures.json").read_text())["figures"]}
    assert value == {"quick/fast over direct": 2.0, "quick/direct": 1, "noisy/fast over direct": 2.9,
                     "noisy/direct": 1}  # the better ratio counts
    assert "| noisy/fast over direct | 2.9 ratio |" in capsys.readouterr().out


def test_a_ratio_that_falls_twice_is_an_error(measured, tmp_path, capsys):
    assert benchmark.main(recorded(tmp_path, quick=2, noisy=4.2)) == 1 and measured == ["quick", "noisy", "noisy"]
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Slower than recorded: noisy/fast over direct is 2.90; recorded was 4.20.")


def test_a_ratio_that_was_not_measured_is_an_error(measured, tmp_path, capsys):
    assert benchmark.main(["quick", *recorded(tmp_path, quick=2, noisy=1)]) == 1 and measured == ["quick"]
    assert "noisy/fast over direct is 0.00; recorded was 1.00" in capsys.readouterr().err


def test_a_wrong_part_or_file_is_told_before_anything_is_measured(measured, tmp_path, capsys):
    assert benchmark.main(["quick", "nosy"]) == 2 and "Did you mean 'noisy'" in capsys.readouterr().err
    assert benchmark.main(["--check", str(tmp_path / "nowhere.json")]) == 2
    assert capsys.readouterr().err.startswith("FileNotFoundError: ")
    assert not measured
