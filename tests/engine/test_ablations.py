"""The papers' ablations, each by its options: it trains, validates and tests, and the weights are other ones."""

from functools import lru_cache

import pytest
import torch
from tiny import APPEARANCE, MOTION, figures, run, tiny_cfg

from trokens.cli.check import find
from trokens.models.checkpoint import BEST, checkpoint_dir, load_checkpoint

CROSS, HOD = (f"MODEL__MOTION_MODULE__USE_{name}_MOTION_MODULE" for name in ("CROSS", "HOD"))
OF_MOTION = {
    "HoD off": {HOD: False},
    "cross-motion off": {CROSS: False},
    "no class token": {"MODEL__USE_CLS_TOKEN": False},
    **{f"{number} points": {"POINT_INFO__NUM_POINTS_TO_SAMPLE": number} for number in (32, 64, 128, 256)},  # of 24
    **{f"sampling {name}": {"POINT_INFO__SAMPLING_TYPE": name} for name in ("random", "stratified", "hod",
                                                                            "hod_obj_id")},
    **{f"aggregation {name}": {"FEW_SHOT__PATCH_TOKENS_AGG": name} for name in ("temporal", "no_agg")},
    "points fixed": {"POINT_INFO__RESAMPLE": False},
    "query mask": {"POINT_INFO__USE_PT_QUERY_MASK": True},
    "visibility mask": {"MF__USE_PT_VISIBILITY": True},
}
OF_APPEARANCE = {
    "appearance off": {"MODEL__APPEARANCE_MODULE_DISABLE": True},
    "both motion modules off": {HOD: False, CROSS: False},
    "points of mutual nearest patches": {"POINT_INFO__USE_CORRELATION": True, "POINT_INFO__NAME": "nowhere"},
    "a class token of patches": {"MODEL__USE_PATCH_AS_CLS": True},
}


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The weights that a run with these options trains, and its result."""
    @lru_cache
    def weights(of_motion: bool, changes: tuple = ()) -> tuple[dict, dict]:
        folder = tmp_path_factory.mktemp("ablation")
        result = run(tiny_data, folder, MOTION if of_motion else APPEARANCE, SOLVER__MAX_EPOCH=1,
                     SOLVER__WARMUP_EPOCHS=0, FEW_SHOT__TEST_EPISODES=5, **dict(changes))
        return load_checkpoint(checkpoint_dir(folder) / BEST)["model_state"], result

    return weights


@pytest.mark.parametrize(("changes", "of_motion"), [
    pytest.param(changes, some is OF_MOTION, id=name) for some in (OF_MOTION, OF_APPEARANCE)
    for name, changes in some.items()])
def test_an_ablation_trains_and_tests_another_model(trained, changes, of_motion):
    whole, _ = trained(of_motion)
    weights, result = trained(of_motion, tuple(changes.items()))
    assert all(value.isfinite().all() for value in weights.values()) and 0 <= result["accuracy"] <= 1
    assert weights.keys() != whole.keys() or not all(
        value.shape == whole[name].shape and torch.equal(value, whole[name]) for name, value in weights.items())


def test_points_of_patches_need_no_point_file_and_are_those_of_kept_features(tiny_data, tmp_path):
    options = {"POINT_INFO__USE_CORRELATION": True, "POINT_INFO__NAME": "nowhere", "SOLVER__MAX_EPOCH": 1,
               "SOLVER__WARMUP_EPOCHS": 0, "FEW_SHOT__TEST_EPISODES": 20}
    assert find(tiny_cfg(tiny_data, tmp_path, APPEARANCE, **options), True, 1) == ([], 48)
    read = run(tiny_data, tmp_path / "read", APPEARANCE, MODEL__CACHE_GB=0, **options)
    kept = run(tiny_data, tmp_path / "kept", APPEARANCE, MODEL__FEATURE_CACHE=tmp_path / "features", TEST__BANK="disk",
               **options)
    assert read["accuracy"] == kept["accuracy"]
    assert figures(tmp_path / "read") == figures(tmp_path / "kept")
