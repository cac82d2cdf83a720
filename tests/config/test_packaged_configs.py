"""Configs found by name: those of the package, from any folder, in a checkout and installed."""

from operator import attrgetter
from pathlib import Path

import pytest

from trokens.config import OPTIONS, ConfigError, dump, load_cfg, packaged
from trokens.extraction.extractor import Options

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "configs/trokens").glob("*.yaml"))
TATS = sorted((ROOT / "configs/tats").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_name_loads_what_its_file_does(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dump(load_cfg(path.stem)) == dump(load_cfg(path))


@pytest.mark.parametrize("path", TATS, ids=lambda path: path.stem)
def test_those_of_tats_differ_from_trokens_in_points_and_motion_modules_alone(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tats, trokens = load_cfg(f"tats/{path.stem}"), load_cfg(path.stem)
    assert dump(tats) == dump(load_cfg(path))
    differ = {key for key in OPTIONS if attrgetter(key)(tats) != attrgetter(key)(trokens)}
    assert differ == {"MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE", "MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE",
                      "POINT_INFO.NAME", "POINT_INFO.RESAMPLE", "POINT_INFO.SAMPLING_TYPE",
                      "POINT_INFO.USE_PT_QUERY_MASK"}
    tracker = "flow" if path.stem == "moving_shapes" else "cotracker3_offline"
    assert Options(tracker=tracker, use_grid=True).name == tats.POINT_INFO.NAME


def test_a_config_of_ones_own_starts_from_one_by_its_name(tmp_path):
    (tmp_path / "own.yaml").write_text("_BASE_: hmdb\nFEW_SHOT: {K_SHOT: 3}\n")
    cfg, hmdb = load_cfg(tmp_path / "own.yaml"), load_cfg("hmdb")
    assert cfg.FEW_SHOT.K_SHOT == 3 != hmdb.FEW_SHOT.K_SHOT and cfg.TRAIN == hmdb.TRAIN


def test_a_file_goes_before_a_name_and_a_name_before_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hmdb").write_text("_BASE_: ucf\n")
    (tmp_path / "ucf").mkdir()
    assert load_cfg("hmdb").TRAIN.DATASET == load_cfg("ucf").TRAIN.DATASET != load_cfg(FILES[0]).TRAIN.DATASET


@pytest.mark.parametrize(("name", "hint"), [
    ("hmbd", " Did you mean 'hmdb'?"), ("some/where/hmdb.yaml", " Did you mean 'hmdb'?"),
    ("hmdb.yaml", " Did you mean 'hmdb'?"), ("mine.yaml", "")])
def test_a_path_that_is_not_there_is_answered_with_the_names(name, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ", ".join(path.stem for path in FILES if path.stem != "base")
    names += "".join(f", tats/{path.stem}" for path in TATS)
    with pytest.raises(ConfigError) as error:
        load_cfg(name)
    assert str(error.value) == (f"{name} cannot be read (No such file or directory); give the path of a YAML file, or "
                                f"the name of one that comes with Trokens: {names}.{hint}")


def test_an_installed_package_keeps_them_within_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "_PACKAGE", tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/mine.yaml").write_text("RNG_SEED: 7\n")
    assert packaged.config_names() == ["mine"] and load_cfg("mine").RNG_SEED == 7
    (tmp_path / "configs/tats").mkdir()
    (tmp_path / "configs/tats/mine.yaml").write_text("_BASE_: mine\nLOG_PERIOD: 3\n")
    cfg = load_cfg("tats/mine")
    assert packaged.config_names() == ["mine", "tats/mine"] and (cfg.RNG_SEED, cfg.LOG_PERIOD) == (7, 3)
