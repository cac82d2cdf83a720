"""The published figures, and the sweeps whose cells they are."""

import pytest

from trokens.config import load_cfg
from trokens.report.published import dataset_key, published_figure, published_figures
from trokens.sweeps.sweep_file import read_sweep

SWEEPS = ("ssv2_full", "ssv2_small", "k400", "ucf", "hmdb", "finegym")


def test_figures_are_found_by_their_setting():
    one = published_figure("ssv2_small", "trokens", 1, 256)
    assert (one.accuracy, one.source) == (0.534, "table")
    assert published_figure("ssv2_small", "tats", 1, 32).accuracy == 0.445
    assert published_figure("k400", "hyrsm++", 5).accuracy == pytest.approx(0.864)
    assert published_figure("k400", "trokens", 6, 256) is None


def test_no_setting_has_two_figures():
    settings = [(one.dataset, one.method, one.k_shot, one.points) for one in published_figures()]
    assert len(set(settings)) == len(settings) and all(0.4 < one.accuracy < 1 for one in published_figures())


def test_every_figure_of_trokens_and_tats_is_a_row_of_a_sweep_and_every_row_a_figure():
    settings = []
    for name in SWEEPS:
        for row in read_sweep(name).rows:
            cfg = load_cfg(row.config, row.options)
            method = row.name.partition("_")[0]
            assert (method == "tats") == (not cfg.MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE)
            settings.append((dataset_key(cfg.TEST.DATASET, cfg.SSV2.SPLIT), method, cfg.FEW_SHOT.K_SHOT,
                             cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE))
    assert sorted(settings) == sorted((one.dataset, one.method, one.k_shot, one.points) for one in published_figures()
                                      if one.method in ("trokens", "tats"))


@pytest.mark.parametrize(("dataset", "split", "key"), [("Ssv2", "ssv2_small", "ssv2_small"), ("HMDB51", "", "hmdb51")])
def test_a_config_names_its_dataset(dataset, split, key):
    assert dataset_key(dataset, split) == key
