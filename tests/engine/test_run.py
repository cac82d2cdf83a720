"""One run from its config to results.json: what is tested, what is refused, what is said."""

import json
import logging
import os
import platform
import shutil
import signal

import pytest
import torch
from tiny import (
    APPEARANCE,
    CONFIG,
    arguments,
    assert_same_run,
    command,
    figures,
    main,
    points_dir,
    run,
    tiny_cfg,
)

from trokens import build_model, load_cfg
from trokens.cli import appearance_baseline
from trokens.clips.split import build_split
from trokens.config import config_hash
from trokens.engine import prepare as prepare_module
from trokens.engine import run as run_module
from trokens.engine.evaluator import Evaluator
from trokens.engine.forecast import describe_run
from trokens.engine.prepare import prepare, steps_per_epoch
from trokens.engine.trainer import Trainer
from trokens.models.checkpoint import checkpoint_dir, epoch_path, load_checkpoint, save_checkpoint, saved_epochs
from trokens.reuse.store import FeatureStore

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folder of a finished run, and its result."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    return folder, run(tiny_data, folder)


@pytest.fixture
def out(trained, tmp_path):
    """A copy of that folder."""
    shutil.copytree(trained[0], tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def data(tiny_data, tmp_path):
    """A copy of the data set, to be damaged."""
    return shutil.copytree(tiny_data, tmp_path / "data", copy_function=os.link)


@pytest.fixture
def log(caplog):
    """The lines that a run logs."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def no_model(monkeypatch):
    """Building a model is an error: problems have to be found before."""
    monkeypatch.setattr(run_module, "build_model", lambda cfg: pytest.fail("the model was built"))


# What comes out ------------------------------------------------------------------------------------------------------

def test_results_say_what_was_tested_and_how(tiny_data, trained):
    folder, result = trained
    assert json.loads((folder / "results.json").read_text()) == result
    best = load_checkpoint(checkpoint_dir(folder) / "checkpoint_best.pyth")
    cfg = tiny_cfg(tiny_data, folder, MODEL__NUM_CLASSES=6)
    want = {"split": "test", "chance": 1 / 3, "episodes": 30, "clips": 15, "n_way": 3, "k_shot": 1, "n_query": 1,
            "checkpoint": str(checkpoint_dir(folder) / "checkpoint_best.pyth"), "seed": 1, "dataset": "folder",
            "config_hash": config_hash(cfg), "processes": 1, "torch": torch.__version__,
            "python": platform.python_version()}
    assert {key: result.get(key) for key in want} == want
    assert 0 <= result["accuracy"] <= 1 and 0 < result["interval"] < 0.5 and result["commit"]
    assert best["best"]["accuracy"] == max(r["accuracy"] for r in figures(folder) if r["phase"] == "val")


def test_the_full_config_is_kept_and_can_be_loaded_again(tiny_data, trained):
    folder, _ = trained
    cfg = tiny_cfg(tiny_data, folder, MODEL__NUM_CLASSES=6)  # 0 stands for their number
    assert load_cfg(folder / "config.yaml") == cfg
    text = load_checkpoint(epoch_path(folder, 2))["cfg"]
    assert text == (folder / "config.yaml").read_text()


def test_the_plan_comes_before_the_first_step(tiny_data, tmp_path, log):
    run(tiny_data, tmp_path, NUM_GPUS=4)
    lines = log()
    assert lines[0] == "NUM_GPUS is 4; 1 process(es) were started, and that counts."
    plan = lines[1:6]
    assert plan[0] == "Device      CPU, 1 threads; 1 process(es); float32"
    assert plan[1] == "Clips       train 24 in 6 classes, val 9 in 3 classes, test 15 in 5 classes"
    assert plan[2] == "Episodes    3-way 1-shot; 2 epochs of 3 steps; 30 test episodes"
    assert [line.split()[0] for line in plan[3:]] == ["Parameters", "Memory"]
    assert lines[6].startswith("epoch 1 step 2/3")


def test_the_plan_says_how_large_the_feature_cache_will_be(tiny_data, tmp_path):
    def line(**changes) -> str:
        cfg = tiny_cfg(tiny_data, tmp_path, APPEARANCE, MODEL__NUM_CLASSES=6, MODEL__FEATURE_CACHE=tmp_path, **changes)
        splits = {name: build_split(cfg, name) for name in ("train", "val", "test")}
        return "\n".join(describe_run(cfg, build_model(cfg), splits, CPU, None))

    gb = 4 * 4 * 8 * 8 * 40 / 2**30  # a clip of 4 frames, 8 x 8 x 40 numbers
    assert f"Features    {33 * gb:.3g} GB on disk (MODEL.FEATURE_CACHE), of 33 clips" in line()
    assert "of 9 clips" in line(DATA__USE_RAND_AUGMENT=True)
    assert "of 57 clips" in line(DATA__USE_RAND_AUGMENT=True, AUG__CACHED_VIEWS=2)
    assert "Features    0 GB" in line(MODEL__TRAIN_BACKBONE=True)


@pytest.mark.parametrize(("world", "everyone", "steps"), [(1, True, 3), (1, False, 3), (2, True, 3), (2, False, 1),
                                                          (8, False, 1)])
def test_steps_an_epoch_follow_from_the_number_of_processes(tiny_data, monkeypatch, world, everyone, steps):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    assert steps_per_epoch(tiny_cfg(tiny_data, tiny_data, FEW_SHOT__TRAIN_OG_EPISODES=everyone)) == steps


# Which checkpoint is tested ------------------------------------------------------------------------------------------

def test_a_finished_run_is_tested_again_but_not_trained(tiny_data, trained, out, log, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained again"))
    for changes in ({}, {"TRAIN__ENABLE": False}):
        result = run(tiny_data, out, **changes)
        assert result["accuracy"] == trained[1]["accuracy"] and result["checkpoint"].endswith("checkpoint_best.pyth")
    assert any("Nothing is left to train: the checkpoint has 2 epochs of 2" in line for line in log())
    assert figures(out) == figures(trained[0])


def test_the_checkpoint_of_an_epoch_can_be_tested(tiny_data, out):
    for epoch in (1, 2):
        result = run(tiny_data, out, TRAIN__ENABLE=False, TEST__TEST_EPOCH_NUM=epoch)
        assert result["checkpoint"] == str(epoch_path(out, epoch))
    assert main(command(tiny_data, out, TRAIN__ENABLE=False, TEST__TEST_EPOCH_NUM=7)) == 2


def test_any_checkpoint_can_be_tested_alone(tiny_data, trained, tmp_path):
    result = trained[1]
    alone = run(tiny_data, tmp_path / "other", TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=result["checkpoint"],
                TEST__SAVE_RESULTS_PATH=tmp_path / "deep/copy.json")
    assert alone["accuracy"] == result["accuracy"] and alone["checkpoint"] == result["checkpoint"]
    assert json.loads((tmp_path / "deep/copy.json").read_text()) == alone
    assert (tmp_path / "other/results.json").is_file() and not checkpoint_dir(tmp_path / "other").exists()


def test_without_any_checkpoint_the_initial_weights_are_tested(tiny_data, tmp_path, log):
    assert run(tiny_data, tmp_path, TRAIN__ENABLE=False)["checkpoint"] == "none (initial weights)"
    assert "There is no checkpoint: testing the initial weights (no training at all)." in log()


def test_without_a_val_split_the_last_checkpoint_is_tested(data, tmp_path, log):
    shutil.rmtree(data / "val")
    result = run(data, tmp_path / "out")
    assert result["checkpoint"] == str(epoch_path(tmp_path / "out", 2))
    assert len([line for line in log() if "no val split" in line or "nothing is selected" in line]) == 1
    assert {r["phase"] for r in figures(tmp_path / "out")} == {"train"}


def test_selecting_on_the_test_split_is_said(tiny_data, tmp_path, log):
    result = run(tiny_data, tmp_path, TRAIN__VAL_SPLIT="test")
    assert sum("selected on 'test', the split that is tested" in line for line in log()) == 1
    validations = [r for r in figures(tmp_path) if r["phase"] == "val"]
    assert {r["split"] for r in validations} == {"test"}
    assert result["accuracy"] == max(r["accuracy"] for r in validations)  # optimistic, as the line says


def test_validation_alone_trains_nothing(tiny_data, trained, out):
    result = run(tiny_data, out, TRAIN__VAL_ONLY=True)
    want = next(r for r in figures(trained[0]) if r["phase"] == "val"
                and r["accuracy"] == load_checkpoint(result["checkpoint"])["best"]["accuracy"])
    assert (result["split"], result["accuracy"], result["interval"]) == ("val", want["accuracy"], want["interval"])
    assert figures(out) == figures(trained[0])


def test_any_split_can_be_tested(tiny_data, tmp_path):
    result = run(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__SPLIT="train")
    assert (result["split"], result["clips"]) == ("train", 24)


def test_several_numbers_of_shots_are_tested_from_one_look(tiny_data, trained, tmp_path, log):
    options = {"TRAIN__ENABLE": False, "TEST__CHECKPOINT_FILE_PATH": epoch_path(trained[0], 2)}
    together = run(tiny_data, tmp_path, TEST__K_SHOTS=[2, 1], **options)
    assert json.loads((tmp_path / "results.json").read_text()) == together
    assert "Episodes    3-way 1-shot, tested with 2, 1 shots; 30 test episodes" in log()
    lines = [line for line in log() if line.startswith("test: 3-way")]
    assert [line[:37] for line in lines] == ["test: 3-way 2-shot accuracy " + line[28:37] for line in lines[:1]] \
        + ["test: 3-way 1-shot accuracy " + line[28:37] for line in lines[1:]]
    for one, k_shot in zip(together["by_k_shot"], (2, 1), strict=True):
        alone = run(tiny_data, tmp_path / str(k_shot), FEW_SHOT__K_SHOT=k_shot, **options)
        assert alone["by_k_shot"] == [one]
        assert one == {key: alone[key] for key in ("k_shot", "accuracy", "interval", "intervals", "clips")}
    assert (together["k_shot"], together["accuracy"]) == (2, together["by_k_shot"][0]["accuracy"])


def test_shots_of_the_test_count_neither_for_validation_nor_for_its_classes(tiny_data, tmp_path, no_model):
    run = prepare(tiny_cfg(tiny_data, tmp_path, TEST__K_SHOTS=[2]), CPU)
    assert {name: list(e.plans) for name, e in run.evaluators.items()} == {"val": [1], "test": [2]}
    with pytest.raises(ValueError, match=r"The test split: class '.*' has 3 clips, an episode takes 4"):
        prepare(tiny_cfg(tiny_data, tmp_path, TEST__K_SHOTS=[1, 3]), CPU)


def test_the_weights_named_for_training_are_tested_where_none_were_trained(tiny_data, trained, tmp_path):
    path = str(epoch_path(trained[0], 1))
    assert run(tiny_data, tmp_path, TRAIN__ENABLE=False, TRAIN__CHECKPOINT_FILE_PATH=path)["checkpoint"] == path


@pytest.mark.parametrize("section", ["TRAIN", "TEST"])
def test_a_checkpoint_that_is_not_there_is_refused_before_any_work(tiny_data, tmp_path, section):
    with pytest.raises(FileNotFoundError, match=f"No checkpoint at nowhere; correct {section}.CHECKPOINT_FILE_PATH"):
        prepare(tiny_cfg(tiny_data, tmp_path, **{f"{section}__CHECKPOINT_FILE_PATH": "nowhere"}), CPU)


def test_a_run_without_a_source_of_features_is_refused(tiny_data, tmp_path):
    with pytest.raises(ValueError, match=r"MODEL\.FEAT_EXTRACTOR is 'none'"):
        prepare(tiny_cfg(tiny_data, tmp_path, MODEL__APPEARANCE_MODULE_DISABLE=False), CPU)


def test_the_appearance_baseline_scores_the_same_episodes(tiny_data, tmp_path, capsys):
    assert appearance_baseline.main(command(tiny_data, tmp_path, APPEARANCE)) == 0
    assert "over 30 episodes; chance 33.3 %" in capsys.readouterr().out


# What training starts from -------------------------------------------------------------------------------------------

def test_training_goes_on_from_a_checkpoint_of_another_folder(tiny_data, out, tmp_path):
    run(tiny_data, out, SOLVER__MAX_EPOCH=3, TRAIN__KEEP_EVERY=1)
    first = epoch_path(out, 1)
    run(tiny_data, tmp_path / "on", SOLVER__MAX_EPOCH=3, TRAIN__CHECKPOINT_FILE_PATH=first)
    assert list(saved_epochs(tmp_path / "on")) == [2, 3]
    a, b = (load_checkpoint(epoch_path(folder, 3)) for folder in (out, tmp_path / "on"))
    assert all(torch.equal(a["model_state"][name], value) for name, value in b["model_state"].items())
    assert (checkpoint_dir(tmp_path / "on") / "checkpoint_best.pyth").is_file()  # the best of this folder


@pytest.mark.parametrize("kind", ["reset", "published"])
def test_training_starts_anew_from_a_checkpoint_s_weights(tiny_data, trained, tmp_path, kind):
    path = epoch_path(trained[0], 2)
    if kind == "published":
        state = load_checkpoint(path)
        path = tmp_path / "published.pyth"
        save_checkpoint(path, {key: state[key] for key in ("epoch", "model_state", "optimizer_state", "cfg")})
    run(tiny_data, tmp_path / "out", TRAIN__CHECKPOINT_FILE_PATH=path, TRAIN__CHECKPOINT_EPOCH_RESET=kind == "reset")
    assert list(saved_epochs(tmp_path / "out")) == [1, 2]
    before, after = figures(trained[0])[0], figures(tmp_path / "out")[0]
    assert (after["epoch"], after["lr"]) == (before["epoch"], before["lr"]) and after["loss"] != before["loss"]


def test_a_run_in_its_own_folder_goes_on_whatever_it_started_from(tiny_data, trained, out):
    epoch_path(out, 2).unlink()
    run(tiny_data, out, TRAIN__CHECKPOINT_FILE_PATH=epoch_path(trained[0], 2))
    assert_same_run(trained[0], out)


def test_a_run_that_goes_on_with_other_options_says_so(tiny_data, out, log):
    run(tiny_data, out, SOLVER__MAX_EPOCH=3, LOG_PERIOD=1, FEW_SHOT__TEST_EPISODES=20)
    lines = [line for line in log() if "other values" in line]
    assert len(lines) == 1 and lines[0].endswith("was trained with other values of FEW_SHOT.TEST_EPISODES, "
                                                 "SOLVER.MAX_EPOCH.")


def test_a_fresh_run_does_not_mix_with_an_old_one(tiny_data, out, capsys, no_model):
    assert main(command(tiny_data, out, TRAIN__AUTO_RESUME=False)) == 2
    assert "holds the checkpoints of another run, and TRAIN.AUTO_RESUME is False" in capsys.readouterr().err
    assert list(saved_epochs(out)) == [1, 2]


# What is refused -----------------------------------------------------------------------------------------------------

def test_all_problems_with_the_data_are_told_at_once_before_a_model_is_built(data, tmp_path, capsys, no_model):
    clips = [path.relative_to(data) for path in sorted(data.glob("*/*/*.mp4"))]
    (tmp_path / "clips.csv").write_text("path,label,split\n" + "".join(
        f"{clip},{clip.parent.name},{clip.parts[0]}\n" for clip in clips
        if clip.parent.name != "zigzag" or clip.stem == "0"))  # one clip of a val class
    (data / "train/translate_up/0.mp4").unlink()
    gone = sorted(points_dir(data).glob("test__*"))[:2]
    for path in gone:
        path.unlink()
    code = main(command(data, tmp_path / "out", APPEARANCE, DATA__SPLIT_CSV=tmp_path / "clips.csv"))
    error = capsys.readouterr().err
    assert code == 2 and "Traceback" not in error
    assert "1 of 24 videos of the train split" in error and "train__translate_up__0" in error
    assert f"No tracks for 2 of 15 videos of the test split in {points_dir(data)}" in error
    assert gone[0].stem in error
    assert ("The val split: class 'zigzag' has 1 clips, an episode takes 2 (k_shot + n_query) (1 classes too small)."
            in error)
    assert not checkpoint_dir(tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_is_named_in_one_line(tiny_data, tmp_path, capsys):
    (tmp_path / "file").touch()
    for path in ("file", "file/out"):
        assert main(command(tiny_data, tmp_path / path)) == 2
        error = capsys.readouterr().err
        assert str(tmp_path / path) in error and error.count("\n") == 1


def test_a_broken_point_file_ends_in_one_line_though_another_process_reads_it(data, tmp_path, capsys):
    broken = sorted(points_dir(data).glob("test__*"))[0]
    broken.unlink()
    broken.write_bytes(b"half a header")
    code = main(command(data, tmp_path, TRAIN__ENABLE=False, DATA_LOADER__NUM_WORKERS=1))
    error = capsys.readouterr().err
    assert code == 2 and error.startswith(f"ValueError: {broken} cannot be read: ") and error.count("\n") == 1


def test_ctrl_c_outside_of_training_ends_in_one_line(tiny_data, out, capsys, monkeypatch):
    def ctrl_c(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "test", ctrl_c)
    assert main(command(tiny_data, out, TRAIN__ENABLE=False)) == 130
    assert capsys.readouterr().err == ("Interrupted. Checkpoints and caches are kept: the same command goes on from "
                                       "them.\n")


@pytest.mark.parametrize(("owner", "name"), [
    (prepare_module, "read_data"), (run_module, "build_model"), (FeatureStore, "keep"), (Evaluator, "shown"),
    (Evaluator, "answer"), (run_module, "write_results")])
def test_sigterm_outside_of_training_ends_in_one_line_too(tiny_data, tmp_path, capsys, monkeypatch, owner, name):
    before = signal.getsignal(signal.SIGTERM)

    def stopped(*args, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")

    monkeypatch.setattr(owner, name, stopped)
    trains = name in ("keep", "shown")
    assert main(command(tiny_data, tmp_path, APPEARANCE, TRAIN__ENABLE=trains)) == 143
    assert capsys.readouterr().err == ("Stopped. Checkpoints and caches are kept: the same command goes on from "
                                       "them.\n")
    assert signal.getsignal(signal.SIGTERM) is before and signal.set_wakeup_fd(-1) == -1


def test_missing_clips_are_left_out_where_that_is_permitted(data, tmp_path, log):
    gone = sorted(points_dir(data).glob("train__*"))[0]
    gone.unlink()
    assert main(command(data, tmp_path / "a")) == 2
    result = run(data, tmp_path / "b", DATA__ALLOW_MISSING=0.1)
    assert result["clips"] == 15
    assert any("train 23 in 6 classes" in line for line in log())
    assert sum(gone.stem in line and "Going on without" in line for line in log()) == 1


@pytest.mark.parametrize(("changes", "message"), [
    ({"FEW_SHOT__N_WAY": 6}, "The test split has 5 classes, an episode takes 6 (n_way); lower FEW_SHOT.N_WAY."),
    ({"FEW_SHOT__TRAIN_QUERY_PER_CLASS": 4}, "has 4 clips, an episode takes 5 (k_shot + n_query) (6 classes"),
    ({"MODEL__NUM_CLASSES": 5}, "MODEL.NUM_CLASSES"),
    ({"FEW_SHOT__NWAY": 5}, "Unknown option 'FEW_SHOT.NWAY'. Did you mean 'FEW_SHOT.N_WAY'?"),
    ({"DATA__PATH_TO_DATA_DIR": "/nowhere"}, "DATA.PATH_TO_DATA_DIR is '/nowhere'"),
    ({"TRAIN__DATASET": "foldr", "TEST__DATASET": "foldr"}, "Did you mean 'folder'?"),
])
def test_what_cannot_work_is_one_sentence_and_exit_code_2(tiny_data, tmp_path, capsys, no_model, changes, message):
    assert main(command(tiny_data, tmp_path, **changes)) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_there_has_to_be_something_to_evaluate_on(data, tmp_path, capsys, no_model):
    shutil.rmtree(data / "val")
    for changes in ({"TRAIN__VAL_ONLY": True}, {"TEST__SPLIT": "val"}):
        assert main(command(data, tmp_path, **changes)) == 2
        assert "The val split has no clips; check the lists" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_clips_is_told_once(data, tmp_path, capsys, no_model, split):
    shutil.rmtree(data / split)
    (data / split).mkdir()
    assert main(command(data, tmp_path)) == 2
    assert capsys.readouterr().err == (f"ValueError: The {split} split has no clips; check the lists, the layout of "
                                       "DATA.PATH_TO_DATA_DIR, and the splits that TRAIN.VAL_SPLIT and TEST.SPLIT "
                                       "name.\n")


def test_stopping_has_an_exit_code_of_its_own(tiny_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Trainer, "_train_epoch", lambda self: self._ask_to_stop(15, None))
    assert main(command(tiny_data, tmp_path)) == 143
    assert "Stopped after 1 epochs and 0 steps; the same command goes on from there." in capsys.readouterr().err


def test_what_is_left_of_the_command_line_are_options(tiny_data, tmp_path):
    published = ["--init_method", "env://", "--new_dist_init", "--cfg", str(CONFIG),
                 *arguments(tiny_data, tmp_path, TRAIN__ENABLE=False, MASTER_PORT=12345, NUM_GPUS=0)]
    assert main(published) == 0
    assert (tmp_path / "results.json").is_file() and (tmp_path / "log.txt").is_file()
