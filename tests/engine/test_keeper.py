"""Which checkpoints stay: the newest two, the best, what an option asks for, and whatever another rule wrote."""

import os
from functools import partial

import pytest
import torch
from tiny import RANDOM, assert_same_run, command, kill_after, main, stopped_at_every_step, tiny_cfg

from trokens.engine import keeper as keeper_module
from trokens.engine.keeper import CheckpointKeeper, check_sound
from trokens.engine.run import run_experiment
from trokens.models.checkpoint import (
    BEST,
    INTERRUPTED,
    checkpoint_dir,
    epoch_path,
    load_checkpoint,
    save_checkpoint,
    saved_epochs,
)

CPU = torch.device("cpu")
SHORT = RANDOM | {"FEW_SHOT.TRAIN_EPISODES": 1, "SOLVER.MAX_EPOCH": 5}


def run(data, folder, **changes):
    return run_experiment(tiny_cfg(data, folder, SHORT, **changes), CPU)


@pytest.mark.parametrize(("changes", "epochs"), [
    ({}, [4, 5]), ({"TRAIN__KEEP_EVERY": 1}, [1, 2, 3, 4, 5]), ({"TRAIN__KEEP_EVERY": 3}, [3, 4, 5]),
    ({"TRAIN__CHECKPOINT_PERIOD": 2}, [4, 5]), ({"TEST__TEST_EPOCH_NUM": 2}, [2, 4, 5])])
def test_the_newest_two_and_what_is_asked_for_stay(tiny_data, tmp_path, changes, epochs):
    run(tiny_data, tmp_path, **changes)
    assert list(saved_epochs(tmp_path)) == epochs
    names = {path.name for path in checkpoint_dir(tmp_path).iterdir()}
    assert names == {BEST} | {epoch_path(tmp_path, n).name for n in epochs}


def test_what_the_test_names_stays(tiny_data, tmp_path):
    result = run(tiny_data, tmp_path, TEST__ENABLE=True, TEST__CHECKPOINT_FILE_PATH=epoch_path(tmp_path, 1))
    assert list(saved_epochs(tmp_path)) == [1, 4, 5] and result["checkpoint"] == str(epoch_path(tmp_path, 1))


def test_an_epoch_that_is_gone_is_named_with_those_that_are_there(tiny_data, tmp_path, capsys):
    run(tiny_data, tmp_path)
    changes = {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__TEST_EPOCH_NUM": 2}
    assert main(command(tiny_data, tmp_path, SHORT, **changes)) == 2
    assert capsys.readouterr().err == (
        f"FileNotFoundError: No checkpoint at {epoch_path(tmp_path, 2)}, which TEST.TEST_EPOCH_NUM asks for; there are "
        "those of epochs 4, 5 (TRAIN.KEEP_EVERY keeps more).\n")


def test_an_older_one_goes_only_after_the_new_one_is_whole(tiny_data, tmp_path, monkeypatch):
    seen = []

    def save(path, state):
        seen.append(sorted(saved_epochs(tmp_path)))
        save_checkpoint(path, state)

    monkeypatch.setattr(keeper_module, "save_checkpoint", save)
    run(tiny_data, tmp_path)
    assert all(len(epochs) >= min(2, max(epochs, default=0)) for epochs in seen) and seen[-1] == [3, 4]


def test_stopped_and_killed_runs_leave_the_same_files(tiny_data, tmp_path, monkeypatch):
    run(tiny_data, tmp_path / "one")
    assert stopped_at_every_step(lambda: run(tiny_data, tmp_path / "two"))[-1] == "done"
    assert_same_run(tmp_path / "one", tmp_path / "two")
    for _ in range(5):  # after an epoch's checkpoint has its name, before anything else happens
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, keeper_module, "save_checkpoint")
            try:
                run(tiny_data, tmp_path / "three", TRAIN__EVAL_PERIOD=9)
            except BaseException as error:
                assert type(error).__name__ == "Killed"
    run(tiny_data, tmp_path / "three", TRAIN__EVAL_PERIOD=9)
    assert list(saved_epochs(tmp_path / "three")) == [4, 5]


def test_what_a_run_without_this_rule_left_is_never_removed(tiny_data, tmp_path):
    run(tiny_data, tmp_path, TRAIN__KEEP_EVERY=1, SOLVER__MAX_EPOCH=3)
    for path in checkpoint_dir(tmp_path).iterdir():
        state = load_checkpoint(path)
        del state["recent"]  # as an older version wrote them
        save_checkpoint(path, state)
    run(tiny_data, tmp_path, SOLVER__MAX_EPOCH=7)
    assert list(saved_epochs(tmp_path)) == [1, 2, 3, 6, 7]


def sound(**changes) -> dict:
    return {"epoch": 2, "step": 7, "model_state": {"w": torch.ones(2)},
            "optimizer_state": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}, **changes}


@pytest.mark.parametrize(("changes", "message"), [
    ({"model_state": {"a": torch.ones(2), "b": torch.tensor([float("nan")])}},
     r"Weights are beyond 1e\+09 or not finite \(1 tensors, the first is b\) after 3 epochs and 7 steps, so nothing is "
     r"saved; lower SOLVER\.BASE_LR, set SOLVER\.CLIP_GRAD_L2NORM .* or TRAIN\.MIXED_PRECISION False"),
    ({"model_state": {"a": torch.ones(2), "b": torch.tensor([-1e35])}}, r"the first is b\) after 3 epochs"),
    ({"optimizer_state": {"state": {0: {"exp_avg": torch.tensor([float("inf")])}}}},
     r"The optimizer's moments are not finite .*the first is state\.0\.exp_avg")])
def test_what_cannot_go_on_is_never_written(tmp_path, changes, message):
    keeper = CheckpointKeeper(tmp_path, {"cfg": ""})
    check_sound(sound())
    keeper.save_epoch(3, sound())
    before = epoch_path(tmp_path, 3).read_bytes()
    for save in (partial(keeper.save, BEST), partial(keeper.save, INTERRUPTED), partial(keeper.save_epoch, 3)):
        with pytest.raises(FloatingPointError, match=message):
            save(sound(**changes))
    assert os.listdir(checkpoint_dir(tmp_path)) == [epoch_path(tmp_path, 3).name]
    assert epoch_path(tmp_path, 3).read_bytes() == before and not (checkpoint_dir(tmp_path) / INTERRUPTED).exists()
