"""A checkpoint tested with other options than its own: what differs is said, and nothing is tested at random."""

import re
import shutil

import pytest
import timm
import torch
from published_config import published_dump
from tiny import APPEARANCE, ROOT, command, main, run

from trokens import load_cfg
from trokens.config import changed_meaning, dump
from trokens.models.checkpoint import BEST, checkpoint_dir, epoch_path, load_checkpoint, save_checkpoint

CROSS, HOD = (f"MODEL__MOTION_MODULE__USE_{name}_MOTION_MODULE" for name in ("CROSS", "HOD"))
HOD_ALONE = {CROSS: False}  # it fits any number of points


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folders of a finished run with both motion modules, and of one with HoD alone."""
    folders = [tmp_path_factory.mktemp("trained") / name for name in ("both", "hod")]
    for folder, changes in zip(folders, ({}, HOD_ALONE), strict=True):
        run(tiny_data, folder, **changes)
    return folders


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def best(folder):
    return checkpoint_dir(folder) / BEST


@pytest.mark.parametrize(("changes", "named"), [
    ({"POINT_INFO__NUM_POINTS_TO_SAMPLE": 4}, "POINT_INFO.NUM_POINTS_TO_SAMPLE 8 (now 4)"),
    ({"POINT_INFO__HOD__PRESERVE_TEMPORAL": False}, "POINT_INFO.HOD.PRESERVE_TEMPORAL True (now False)"),
    ({"POINT_INFO__HOD__BINNING": "linear"}, "POINT_INFO.HOD.BINNING published (now linear)"),
    ({"POINT_INFO__SAMPLING_TYPE": "random"}, "POINT_INFO.SAMPLING_TYPE cluster_sample (now random)"),
    ({"DATA__NUM_FRAMES": 3, "FEW_SHOT__DIST_NORM": "max_sub"},
     "DATA.NUM_FRAMES 4 (now 3), FEW_SHOT.DIST_NORM none (now max_sub)"),
])
def test_options_that_change_what_weights_mean_are_named_with_both_values(tiny_data, trained, tmp_path, caplog, changes,
                                                                          named):
    path = best(trained[1])
    run(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=path, **HOD_ALONE, **changes)
    assert warnings(caplog) == [f"{path} was trained with other options than it is tested with, so its weights mean "
                                f"something else: {named}."]


@pytest.mark.parametrize("changes", [
    {}, {"FEW_SHOT__K_SHOT": 2}, {"FEW_SHOT__N_WAY": 2, "RNG_SEED": 7, "FEW_SHOT__TEST_EPISODES": 12},
    {"SOLVER__BASE_LR": 1.0, "MF__DROP": 0.5, "TEST__BANK_DTYPE": "half", "DATA__USE_RAND_AUGMENT": True}])
def test_what_leaves_their_meaning_alone_is_not_named(tiny_data, trained, tmp_path, caplog, changes):
    run(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=best(trained[0]), **changes)
    assert warnings(caplog) == []


def test_another_backbone_is_told_by_its_weights(tiny_data, tmp_path, caplog):
    options = {"MODEL__TIMM_NAME": "tf_efficientnet_lite0", "FEW_SHOT__TEST_EPISODES": 5}

    def appearance(folder, **changes):
        return run(tiny_data, folder, APPEARANCE, **options, **changes)

    appearance(tmp_path / "out", SOLVER__MAX_EPOCH=1, SOLVER__WARMUP_EPOCHS=0)
    path = best(tmp_path / "out")
    assert load_checkpoint(path)["backbone"].ndim == 1 and warnings(caplog) == []
    other = timm.create_model("tf_efficientnet_lite0").state_dict()
    torch.save(other, tmp_path / "other.pth")
    for changes in ({"TRAIN__ENABLE": False, "TEST__CHECKPOINT_FILE_PATH": path}, {"SOLVER__MAX_EPOCH": 2}):
        caplog.clear()
        appearance(tmp_path / "out", MODEL__BACKBONE_WEIGHTS=tmp_path / "other.pth", **changes)
        assert (f"{path if 'TRAIN__ENABLE' in changes else epoch_path(tmp_path / 'out', 1)} was trained with other "
                "weights of the frozen backbone than are here (MODEL.BACKBONE_WEIGHTS), so its own mean something "
                "else.") in warnings(caplog)


def test_parameters_that_the_checkpoint_lacks_are_never_tested_at_random(tiny_data, trained, tmp_path, capsys):
    path = best(trained[1])
    assert main(command(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=path)) == 2
    assert capsys.readouterr().err == (
        f"ValueError: The weights of {path} cannot be tested: they lack 6 parameters of the model (the first is "
        "cross_motion_module.fc2.c_fc.weight); set cross_motion (MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE) as in "
        "their training.\n")
    assert not (tmp_path / "results.json").exists()


def test_a_module_that_is_switched_off_is_named(tiny_data, trained, tmp_path, caplog):
    path = best(trained[0])
    run(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=path, **HOD_ALONE)
    unused, meaning = warnings(caplog)
    assert unused == (f"The weights of {path} are not all used: the model leaves out 6 of their parameters (the first "
                      "is cross_motion_module.fc2.c_fc.weight); set cross_motion "
                      "(MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE) as in their training.")
    assert meaning.endswith(": MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE True (now False).")


@pytest.mark.parametrize(("which", "changes", "message"), [
    (1, {}, "they lack 6 parameters"), (0, HOD_ALONE, "the model leaves out 6")])
def test_training_does_not_go_on_with_other_parameters(tiny_data, trained, tmp_path, capsys, which, changes, message):
    out = shutil.copytree(trained[which], tmp_path / "out")
    assert main(command(tiny_data, out, SOLVER__MAX_EPOCH=3, **changes)) == 2
    assert f"checkpoint_epoch_00002.pyth cannot be trained on: {message}" in capsys.readouterr().err


def test_a_training_may_add_parameters_to_what_it_starts_from(tiny_data, trained, tmp_path, caplog):
    run(tiny_data, tmp_path, TRAIN__CHECKPOINT_FILE_PATH=best(trained[1]), TRAIN__CHECKPOINT_EPOCH_RESET=True)
    assert any("lacks 6 parameters of this model (the first is cross_motion_module.fc2.c_fc.weight): they start from "
               "fresh values." in line for line in warnings(caplog))


def test_another_class_token_than_in_training_is_named(tiny_data, trained, tmp_path, caplog):
    path = best(trained[0])
    run(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=path, MODEL__USE_CLS_TOKEN=False)
    unused, meaning = warnings(caplog)
    assert "leaves out 1 of their parameters (the first is cls_token); set class_token (MODEL.USE_CLS_TOKEN" in unused
    assert meaning.endswith(": MODEL.USE_CLS_TOKEN True (now False).")


@pytest.mark.parametrize("text", [None, 5, "TRAIN: [", "hello"])
def test_a_checkpoint_without_a_config_says_so(tiny_data, trained, tmp_path, caplog, text):
    caplog.set_level("INFO")
    state = load_checkpoint(best(trained[0]))
    state["cfg"] = text
    if text is None:
        del state["cfg"]
    save_checkpoint(tmp_path / "x.pyth", state)
    run(tiny_data, tmp_path / "out", TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=tmp_path / "x.pyth")
    assert sum("x.pyth does not say with which options it was trained: The config" in line
               for line in caplog.messages) == 1


def test_a_published_config_is_compared_by_what_that_code_did():
    cfg = load_cfg(ROOT / "configs/trokens/ssv2_small.yaml")
    text = published_dump("ssv2_small")
    assert changed_meaning(cfg, text) == {}
    assert re.search("USE_PT_QUERY_MASK: (True|true)", masked := published_dump(
        "ssv2_small", POINT_INFO__USE_PT_QUERY_MASK=True, MF__DEPTH=2))
    assert changed_meaning(cfg, masked) == {"MF.DEPTH": (2, 1)}
    with_mask = load_cfg(ROOT / "configs/trokens/ssv2_small.yaml", ["POINT_INFO.USE_PT_QUERY_MASK", "True",
                                                                   "POINT_INFO.COORDS", "centered"])
    assert changed_meaning(with_mask, masked) == {
        "MF.DEPTH": (2, 1), "POINT_INFO.COORDS": ("published", "centered"),
        "POINT_INFO.USE_PT_QUERY_MASK": (False, True)}


def test_an_option_that_an_older_checkpoint_lacks_had_its_default():
    cfg = load_cfg(ROOT / "configs/trokens/hmdb.yaml")
    lacking = re.sub(r"^  COORDS: .*\n", "", dump(cfg), flags=re.M)
    assert changed_meaning(cfg, lacking) == {}
    other = load_cfg(ROOT / "configs/trokens/hmdb.yaml", ["POINT_INFO.COORDS", "centered"])
    assert changed_meaning(other, lacking) == {"POINT_INFO.COORDS": (None, "centered")}
