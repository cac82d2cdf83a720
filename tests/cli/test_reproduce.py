"""scripts/reproduce.sh: the cells of the published tables, and one of a stand-in for a dataset."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import yaml
from processes import TIMEOUT

from trokens.cli import reproduce
from trokens.config import packaged
from trokens.report import published
from trokens.report.published import Published, published_figures

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {"TORCH_HOME": "/weights", "DATA_DIR": "/data", "TROKENS_PT_DATA": "/points", "BASE_OUTPUT_DIR": "/out",
             "NUM_GPUS": "8"}


def run(*arguments: str, without: str = "", **variables: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, **VARIABLES, **variables}
    environment.pop(without, None)
    return subprocess.run(["bash", ROOT / "scripts/reproduce.sh", *arguments], env=environment, capture_output=True,
                          text=True, timeout=TIMEOUT)


def test_the_list_has_every_figure_of_trokens_and_tats():
    lines = run("--list", without="DATA_DIR").stdout.splitlines()
    told = [re.fullmatch(r" *([\d.]+)(\*?)  bash scripts/reproduce.sh (\w+) (\w+)", line).groups() for line in lines]
    assert len({cell[2:] for cell in told}) == len(told)
    figures = [one for one in published_figures() if one.method in ("trokens", "tats")]
    assert sorted(cell[0] for cell in told) == sorted(f"{100 * one.accuracy:.1f}" for one in figures)
    assert sum(cell[1] == "*" for cell in told) == sum(one.source == "figure" for one in figures)
    assert ("53.4", "", "ssv2_small", "1shot") in told and ("44.5", "*", "ssv2_small", "tats_1shot_32points") in told


@pytest.mark.parametrize(("cell", "row", "options"), [
    ("3shot", "trokens_3shot", "trokens/ssv2_small.yaml FEW_SHOT.EPISODE_SEED 1 FEW_SHOT.K_SHOT 3 "),
    ("tats_1shot", "tats_1shot", "tats/ssv2_small.yaml FEW_SHOT.EPISODE_SEED 1 FEW_SHOT.K_SHOT 1 "),
    ("trokens_1shot_64points", "trokens_1shot_64points", "FEW_SHOT.K_SHOT 1 POINT_INFO.NUM_POINTS_TO_SAMPLE 64 ")])
def test_a_cell_is_one_command(cell, row, options):
    done = run("ssv2_small", cell, "--dry-run", "LOG_PERIOD", "5")
    [line] = done.stdout.splitlines()
    assert done.returncode == 0 and options in line and "--nproc_per_node=8" in line
    assert line.endswith("DATA.PATH_TO_DATA_DIR /data DATA.PATH_TO_TROKEN_PT_DATA /points NUM_GPUS 8 LOG_PERIOD 5 "
                         f"RNG_SEED 1 OUTPUT_DIR /out/reproduce/ssv2_small/{row}/seed1")


def test_without_a_cell_all_are_run_each_on_its_videos(tmp_path):
    (tmp_path / "ssv2").mkdir()
    lines = run("--dry-run", "--seeds", "1,2", DATA_DIR=str(tmp_path)).stdout.splitlines()
    assert len(lines) == 2 * len([one for one in published_figures() if one.method in ("trokens", "tats")])
    assert all((f"DATA_DIR {tmp_path}/ssv2 " in line) == ("/ssv2_" in line) for line in lines)
    assert all(f"DATA_DIR {tmp_path} " in line for line in lines if "/hmdb.yaml" in line)


@pytest.mark.parametrize(("arguments", "without", "message"), [
    (["hmdb"], "DATA_DIR", "error: Not set: DATA_DIR. Export each before running; the head of scripts/reproduce.sh"),
    (["hmbd"], "", "error: 'hmbd' is no dataset; it is one of ssv2_full, k400, ssv2_small, ucf, hmdb, finegym."),
    (["hmdb", "2shot"], "", "ValueError: '2shot' is no cell of hmdb; it is one of 1shot, 3shot, 5shot, tats_1shot, "),
    (["hmdb", "FEW_SHOT.KSHOT", "2"], "", "Unknown option 'FEW_SHOT.KSHOT'. Did you mean 'FEW_SHOT.K_SHOT'?"),
])
def test_a_mistake_is_told(arguments, without, message):
    done = run(*arguments, without=without)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_a_cell_of_a_stand_in_is_collected_beside_its_published_number(tiny_data, tmp_path, monkeypatch, capfd):
    pairs = tiny.arguments(tiny_data, tmp_path)
    common = {key: value for key, value in zip(pairs[::2], pairs[1::2], strict=True)
              if key != "OUTPUT_DIR" and not key.startswith("DATA.PATH")}
    (tmp_path / "configs/sweeps").mkdir(parents=True)
    (tmp_path / "configs/sweeps/tiny.yaml").write_text(yaml.safe_dump(
        {"cfg": str(tiny.CONFIG), "options": common, "rows": {"trokens_1shot": {}, "tats_1shot": {}}},
        sort_keys=False))
    monkeypatch.setattr(packaged, "_PACKAGE", tmp_path)
    monkeypatch.setattr(reproduce, "DATASETS", ("tiny",))
    figure = Published("folder", "trokens", 1, 8, 0.9, "figure")
    monkeypatch.setattr(published, "published_figures", lambda: (figure,))
    for name, value in {"DATA_DIR": tiny_data, "TROKENS_PT_DATA": tiny_data / "points", "NUM_GPUS": "0",
                        "TORCH_HOME": tmp_path, "BASE_OUTPUT_DIR": tmp_path / "out", "PYTHONPATH": ROOT}.items():
        monkeypatch.setenv(name, str(value))
    assert reproduce.main(["tiny", "1shot"]) == 0
    text = (tmp_path / "out/reproduce/results.md").read_text()
    assert text in capfd.readouterr().out
    head, _, cell, other, *_ = ([part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines())
    found = dict(zip(head, cell, strict=True))
    assert (found["cell"], found["shots"], found["points"], found["published"]) == ("tiny 1shot", "1", "8", "90.0*")
    assert abs(float(found["measured"]) - 90 - float(found["difference"])) < 0.011 and found["seeds"] == "1"
    assert float(found["± episodes"]) > 0
    assert other == ["tiny tats_1shot", *[""] * 9]  # nothing is known, nothing was run
