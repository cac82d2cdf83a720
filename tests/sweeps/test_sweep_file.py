"""What a sweep file may say, and what it is told where it says something else."""

from pathlib import Path

import pytest

from trokens.config import ConfigError, load_cfg, packaged
from trokens.fewshot.matchers import MATCHERS
from trokens.sweeps.runs import plan
from trokens.sweeps.sweep_file import read_sweep


@pytest.fixture
def read(tmp_path):
    def read(text: str):
        (tmp_path / "mine.yaml").write_text(text)
        return read_sweep(tmp_path / "mine.yaml")

    return read


def test_rows_are_mappings_or_lists_behind_the_common_options(read):
    sweep = read("""
        cfg: hmdb
        options: {SOLVER: {MAX_EPOCH: 5}, TEST.K_SHOTS: [1, 5]}
        rows:
          plain:
          flat: {FEW_SHOT.K_SHOT: 3}
          listed: [FEW_SHOT.K_SHOT, 3, TRAIN.ENABLE, False]
          other: {cfg: ucf}
        seeds: [3, 1]
        baseline: flat""")
    common = ("SOLVER.MAX_EPOCH", "5", "TEST.K_SHOTS", "[1, 5]")
    assert [row.options for row in sweep.rows] == [
        common, (*common, "FEW_SHOT.K_SHOT", "3"), (*common, "FEW_SHOT.K_SHOT", "3", "TRAIN.ENABLE", "False"), common]
    assert [Path(row.config).stem for row in sweep.rows] == ["hmdb", "hmdb", "hmdb", "ucf"]
    assert (sweep.name, sweep.seeds, sweep.baseline) == ("mine", (3, 1), "flat")


def test_a_grid_is_the_product_of_its_values(read):
    sweep = read("cfg: hmdb\ngrid: {FEW_SHOT.K_SHOT: [1, 5], TRAIN.ENABLE: [True, False], TEST.ENABLE: [true]}")
    assert [row.name for row in sweep.rows] == [
        f"K_SHOT={k},TRAIN.ENABLE={train},TEST.ENABLE=True" for k in (1, 5) for train in (True, False)]
    assert sweep.rows[1].options == ("FEW_SHOT.K_SHOT", "1", "TRAIN.ENABLE", "False", "TEST.ENABLE", "True")
    assert sweep.seeds == (1,) and sweep.baseline is None


def test_rows_and_grid_multiply(read):
    sweep = read("cfg: hmdb\nrows: {a: , b: {cfg: ucf}}\ngrid: {FEW_SHOT.K_SHOT: [1, 5]}")
    assert [row.name for row in sweep.rows] == ["a,K_SHOT=1", "a,K_SHOT=5", "b,K_SHOT=1", "b,K_SHOT=5"]


def test_without_both_there_is_one_row(read):
    assert [row.name for row in read("cfg: hmdb").rows] == ["hmdb"]


def test_a_config_is_a_path_from_the_sweep_file_or_a_name(read, tmp_path):
    (tmp_path / "own.yaml").write_text("_BASE_: hmdb\n")
    assert read("cfg: own.yaml").rows[0].config == str(tmp_path / "own.yaml")
    assert read("cfg: hmdb").rows[0].config == str(packaged.config_folder() / "hmdb.yaml")


@pytest.mark.parametrize(("text", "message"), [
    ("- hmdb", "a sweep file is a mapping with the keys cfg, rows or grid, and seeds."),
    ("cfg: hmdb\nrow: {}", "Unknown key 'row'; a sweep file has cfg, options, rows, grid, seeds, baseline. Did you "
     "mean 'rows'?"),
    ("rows: {a: }", "cfg = None is no config; name one, or give a path."),
    ("cfg: hmdb\nrows: [a, b]", "rows = ['a', 'b'] is no mapping of names to options."),
    ("cfg: hmdb\nrows: {a: [FEW_SHOT.K_SHOT]}", "rows: a = ['FEW_SHOT.K_SHOT'] is no list of KEY, VALUE pairs."),
    ("cfg: hmdb\nrows: {a: 3}", "rows: a = 3 is no mapping of options, and no list KEY, VALUE, ...."),
    ("cfg: hmdb\nrows: {../a: }", "The row '../a' cannot name a folder; use letters, digits and .,=+-_ alone."),
    ("cfg: hmdb\nrows: {a: {RNG_SEED: 3}}", "RNG_SEED is what seeds of a sweep sets; leave it out of the options."),
    ("cfg: hmdb\ngrid: {OUTPUT_DIR: [x]}", "OUTPUT_DIR is what --out of a sweep sets; leave it out of the options."),
    ("cfg: hmdb\ngrid: {FEW_SHOT.K_SHOT: 3}", "grid = {'FEW_SHOT.K_SHOT': 3} is no mapping of options to lists of "
     "their values."),
    ("cfg: hmdb\nseeds: 3", "seeds = 3 is no list of whole numbers from 0, like [1, 2, 3]."),
    ("cfg: hmdb\nseeds: [1, 1]", "seeds = [1, 1] holds a number twice."),
    ("cfg: hmdb\nbaseline: a", "baseline = 'a' is none of the rows: hmdb."),
])
def test_a_mistake_is_told_in_one_sentence(read, tmp_path, text, message):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert str(error.value) == f"{tmp_path / 'mine.yaml'}: {message}"


@pytest.mark.parametrize("text", ["cfg: [", "cfg: hmdb\nrows:\n  a:\n  a: {FEW_SHOT.K_SHOT: 3}", "cfg: \0"])
def test_what_is_no_yaml_is_told_in_one_sentence(read, text):
    with pytest.raises(ConfigError, match=r"mine.yaml is not valid YAML: .*\.$"):
        read(text)


def test_a_file_that_is_not_there_is_answered_with_the_names():
    with pytest.raises(ConfigError, match=r"There is no sweep file moving_shape; .* Did you mean 'moving_shapes'\?$"):
        read_sweep("moving_shape")


@pytest.mark.parametrize("name", packaged.sweep_names())
def test_every_sweep_of_the_package_can_be_read_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_sweep(name).name == name


def test_an_installed_package_keeps_sweeps_within_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "_PACKAGE", tmp_path)
    (tmp_path / "configs/sweeps").mkdir(parents=True)
    (tmp_path / "configs/sweeps/mine.yaml").write_text("cfg: x.yaml")
    assert packaged.sweep_names() == ["mine"] and read_sweep("mine").name == "mine"


def test_the_sweep_of_moving_shapes_has_a_row_for_every_matcher_and_method(tmp_path):
    runs = plan(read_sweep("moving_shapes"), tmp_path)
    configs = {run.row: load_cfg(run.config, run.options) for run in runs}
    assert {cfg.FEW_SHOT.MATCHER for cfg in configs.values()} == set(MATCHERS)
    assert len(runs) == 3 * len(configs) and {run.processes for run in runs} == {0}  # on the CPU
    assert {cfg.DATA.PATH_TO_DATA_DIR for cfg in configs.values()} == {"output/quickstart/clips"}
