"""A run whose newest checkpoints are damaged goes on from the one before, says so, and writes over none of them."""

import logging
import os
import shutil

import pytest
import torch
from damaged import flip, place_of
from processes import in_processes
from tiny import assert_same_run, command, main, run

from trokens.models.checkpoint import (
    BEST,
    INTERRUPTED,
    checkpoint_dir,
    epoch_path,
    find_last,
    load_checkpoint,
    save_checkpoint,
)


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folder of a finished run of three epochs, all of whose checkpoints are kept."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    run(tiny_data, folder, SOLVER__MAX_EPOCH=3, TRAIN__KEEP_EVERY=1)
    return folder


@pytest.fixture
def out(trained, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(trained, tmp_path / "out")


def spoil(path) -> bytes:
    """Flip a bit of a checkpoint's weights; returns what it is now."""
    flip(path, place_of(path, "data/0") + 5)
    return path.read_bytes()


def train(data, out, **changes):
    return run(data, out, SOLVER__MAX_EPOCH=3, TRAIN__KEEP_EVERY=1, **changes)


def restore(path) -> None:
    """Give a damaged file that was put away its name again: whatever is there under that name has to be the same."""
    path.with_name(path.name + ".damaged").unlink()


@pytest.mark.parametrize("count", [1, 2])
def test_training_goes_on_from_the_one_before_and_ends_like_an_undisturbed_run(tiny_data, trained, out, caplog, count):
    damaged = {epoch_path(out, 3 - i): spoil(epoch_path(out, 3 - i)) for i in range(count)}
    train(tiny_data, out)
    for path, content in damaged.items():
        kept = path.with_name(path.name + ".damaged")
        assert kept.read_bytes() == content
        line, = (r.getMessage() for r in caplog.records if kept.name in r.getMessage())
        assert line == (f"{path} cannot be read as a checkpoint (its record 0 does not match its check sum); it is now "
                        f"{kept.name}, and training goes on from {epoch_path(out, 3 - count)}.")
        restore(path)
    assert_same_run(trained, out)


@pytest.mark.parametrize("what", ["weights", "moments", "large"])
def test_a_checkpoint_that_cannot_go_on_is_passed_over(tiny_data, trained, out, caplog, what):
    path = epoch_path(out, 3)
    state = load_checkpoint(path)
    if what != "moments":
        state["model_state"]["norm.weight"][3] = float("nan") if what == "weights" else 1e30
    else:
        state["optimizer_state"]["state"][2]["exp_avg"].view(-1)[0] = float("inf")
    save_checkpoint(path, state)
    train(tiny_data, out)
    message = {"weights": f"{path} holds weights that are not finite (1 tensors, the first is norm.weight)",
               "moments": f"The optimizer's moments are not finite (1 tensors, the first is state.2.exp_avg) in {path}",
               "large": f"Weights are beyond 1e+09 or not finite (1 tensors, the first is norm.weight) in {path}"}
    assert message[what] in caplog.text
    restore(path)
    assert_same_run(trained, out)


def test_nothing_is_put_away_where_nothing_is_left_to_train(tiny_data, out, caplog):
    content = spoil(epoch_path(out, 3))
    run(tiny_data, out, SOLVER__MAX_EPOCH=2)
    assert epoch_path(out, 3).read_bytes() == content
    assert f"does not match its check sum); so {epoch_path(out, 2)} counts." in caplog.text


def test_a_second_damaged_file_does_not_take_the_first_ones_place(tiny_data, out):
    path = epoch_path(out, 3)
    first = spoil(path)
    train(tiny_data, out)
    path.write_bytes(b"second")
    train(tiny_data, out)
    names = [path.with_name(path.name + end) for end in (".damaged", ".damaged2")]
    assert [name.read_bytes() for name in names] == [first, b"second"]


def test_an_interruption_that_is_damaged_falls_back_to_the_epoch(tiny_data, trained, out, caplog):
    epoch_path(out, 3).unlink()
    interrupted = checkpoint_dir(out) / INTERRUPTED
    interrupted.write_bytes(epoch_path(out, 2).read_bytes())
    spoil(interrupted)
    train(tiny_data, out)
    assert f"training goes on from {epoch_path(out, 2)}" in caplog.text
    restore(interrupted)
    assert_same_run(trained, out)


def test_an_interruption_comes_before_an_older_epoch(tmp_path):
    state = {"model_state": {"w": torch.ones(2)}, "epoch": 1, "step": 7}
    save_checkpoint(checkpoint_dir(tmp_path) / INTERRUPTED, state)
    for epochs in (2, 3):
        save_checkpoint(epoch_path(tmp_path, epochs), {**state, "epoch": epochs - 1, "step": 0})
    spoil(epoch_path(tmp_path, 3))
    last = find_last(tmp_path)
    assert last.path == checkpoint_dir(tmp_path) / INTERRUPTED and list(last.damaged) == [epoch_path(tmp_path, 3)]
    assert last.head == {"epoch": 1, "step": 7}


def test_the_best_is_the_last_resort(tiny_data, trained, out):
    best = checkpoint_dir(out) / BEST
    shutil.copyfile(epoch_path(out, 1), best)
    for epochs in (1, 2, 3):
        spoil(epoch_path(out, epochs))
    assert find_last(out).path == best
    train(tiny_data, out)
    for epochs in (1, 2, 3):
        restore(epoch_path(out, epochs))
    shutil.copyfile(epoch_path(trained, 1), epoch_path(out, 1))  # behind it
    assert_same_run(trained, out)


def test_a_best_alone_is_gone_on_from_and_not_written_over(tiny_data, trained, out, capsys):
    best = checkpoint_dir(out) / BEST
    shutil.copyfile(epoch_path(out, 2), best)
    for epochs in (1, 2, 3):
        epoch_path(out, epochs).unlink()
    assert main(command(tiny_data, out, SOLVER__MAX_EPOCH=3, TRAIN__AUTO_RESUME=False)) == 2
    assert "holds the checkpoints of another run" in capsys.readouterr().err
    train(tiny_data, out)
    for epochs in (1, 2):
        shutil.copyfile(epoch_path(trained, epochs), epoch_path(out, epochs))
    one, two = (load_checkpoint(epoch_path(folder, 3))["model_state"] for folder in (trained, out))
    assert all(two[name].equal(value) for name, value in one.items())


def test_where_nothing_is_whole_nothing_begins_anew(tiny_data, out, capsys):
    contents = {path: spoil(path) for path in checkpoint_dir(out).iterdir()}
    assert main(command(tiny_data, out, SOLVER__MAX_EPOCH=3)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "checkpoint_epoch_00003.pyth cannot be read" in error
    assert error.endswith(f"no checkpoint in {checkpoint_dir(out)} can be gone on from; remove them to start anew, or "
                          "choose another output folder.\n")
    assert {path: path.read_bytes() for path in checkpoint_dir(out).iterdir()} == contents


def test_a_damaged_best_is_replaced_by_its_epoch_or_chosen_anew(tiny_data, trained, out, tmp_path, caplog):
    best, number = checkpoint_dir(out) / BEST, load_checkpoint(checkpoint_dir(out) / BEST)["epoch"] + 1
    accuracy = load_checkpoint(best)["best"]["accuracy"]
    other = shutil.copytree(out, tmp_path / "other")
    spoil(best)
    run(tiny_data, out, SOLVER__MAX_EPOCH=4, TRAIN__KEEP_EVERY=1)
    assert f"{epoch_path(out, number)}, the same state, takes its place" in caplog.text
    for path in (checkpoint_dir(other) / BEST, *([epoch_path(other, number)] if number < 3 else [])):
        path.unlink()
    if number < 3:
        run(tiny_data, other, SOLVER__MAX_EPOCH=4)
        assert (f"{checkpoint_dir(other) / BEST} is gone, which epoch {number} had left ({100 * accuracy:.2f} %): the "
                "best is chosen among the epochs from now on.") in caplog.text
        assert load_checkpoint(checkpoint_dir(other) / BEST)["best"]["epoch"] == 4


def test_a_damaged_checkpoint_is_never_tested(tiny_data, out, capsys):
    spoil(checkpoint_dir(out) / BEST)
    for changes in ({}, {"TEST__CHECKPOINT_FILE_PATH": checkpoint_dir(out) / BEST}):
        assert main(command(tiny_data, out, TRAIN__ENABLE=False, **changes)) == 2
        assert f"{BEST} cannot be read as a checkpoint (its record 0" in capsys.readouterr().err


def test_without_a_best_the_test_falls_back_and_says_so(tiny_data, out, caplog):
    (checkpoint_dir(out) / BEST).unlink()
    content = spoil(epoch_path(out, 3))
    result = run(tiny_data, out, TRAIN__ENABLE=False)
    assert result["checkpoint"] == str(epoch_path(out, 2)) and epoch_path(out, 3).read_bytes() == content
    assert f"its check sum); so {epoch_path(out, 2)} is tested." in caplog.text


def test_a_file_that_may_not_be_read_is_not_called_damaged(out, monkeypatch):
    def refuse(path, *args):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match="checkpoint_epoch_00003"):
        find_last(out)


def train_here(own: int, data, out) -> list[str]:
    """Train in this process, where files look whole to all but the first one; returns the warnings."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("trokens").addHandler(handler)
    train(data, out)
    return [line for line in lines if "damaged" in line]


def test_all_processes_go_on_from_the_same_checkpoint(tiny_data, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    in_processes(2, train_here, tiny_data, whole)
    shutil.copytree(whole, out)
    spoil(epoch_path(out, 3))
    first, second = in_processes(2, train_here, tiny_data, out)
    assert len(first) == 1 and not second
    os.unlink(str(epoch_path(out, 3)) + ".damaged")
    assert_same_run(whole, out)


SOUND = {"loss": 1.0, "loss_class": 1.0, "loss_match": 1.0, "accuracy": 0.5}


@pytest.mark.parametrize(("key", "value", "told"), [
    ("epoch", "last", "'last'"), ("epoch", None, "None"), ("epoch", -5, "-5"), ("epoch", 1.5, "1.5"),
    ("step", "x", "'x'"), ("step", -1, "-1"), ("best", None, "None"), ("best", 0.83, "0.83"), ("best", {}, "{}"),
    ("best", {"accuracy": "x", "epoch": 1}, "{'accuracy': 'x', 'epoch': 1}"), ("recent", 5, "5"),
    ("recent", ["a"], "['a']"), ("pending", None, "None"), ("pending", [{"loss": 1.0}], "[{'loss': 1.0}]"),
    ("scaler_state", 5, "5")])
def test_a_state_under_whose_keys_something_else_lies_is_passed_over(tiny_data, trained, out, caplog, key, value, told):
    """As a checkpoint of another code that has keys of these names."""
    path = epoch_path(out, 3)
    torch.save({**load_checkpoint(path), key: value}, path)
    train(tiny_data, out)
    assert f"{path} is not a checkpoint of Trokens (its '{key}' is {told}); it is now" in caplog.text
    restore(path)
    assert_same_run(trained, out)


def test_figures_of_more_steps_than_there_were_are_noticed(tiny_data, trained, out, caplog):
    path = epoch_path(out, 3)
    torch.save({**load_checkpoint(path), "pending": [SOUND]}, path)
    train(tiny_data, out)
    assert "(it has figures of 1 steps behind step 0); it is now" in caplog.text
    restore(path)
    assert_same_run(trained, out)


@pytest.mark.parametrize("value", [5, {"state": 5, "param_groups": []}, {"state": {}, "param_groups": [5]}])
def test_an_optimizers_state_that_is_none_starts_fresh(tiny_data, out, caplog, value):
    path = epoch_path(out, 3)
    torch.save({**load_checkpoint(path), "optimizer_state": value}, path)
    run(tiny_data, out, SOLVER__MAX_EPOCH=4)
    assert f"The optimizer's state of {path} is not taken (" in caplog.text


def stand_in(path, kind: str) -> str:
    """Put something else in a file's place; what is then said of it."""
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/nowhere/x.pyth" if kind == "link" else path.name)
    return {"folder": "it is a folder", "pipe": "it is a device or a pipe", "loop": f"it is a link to {path.name}",
            "link": "it is a link to /nowhere/x.pyth, which is not there"}[kind]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "loop"])
@pytest.mark.parametrize("name", ["epoch", "interrupted"])
def test_what_stands_in_for_the_newest_checkpoint_is_put_away(tiny_data, trained, out, caplog, kind, name):
    path = epoch_path(out, 3) if name == "epoch" else checkpoint_dir(out) / INTERRUPTED
    if name == "interrupted":
        epoch_path(out, 3).unlink()
    what = stand_in(path, kind)
    train(tiny_data, out)
    assert f"{path} cannot be read as a checkpoint ({what}" in caplog.text
    kept = path.with_name(path.name + ".damaged")
    assert kept.is_symlink() or not kept.is_file()
    kept.rmdir() if kind == "folder" else kept.unlink()
    assert_same_run(trained, out)


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_no_other_checkpoint_is_tested_in_place_of_a_best_that_is_not_there(tiny_data, out, capsys, kind):
    best = checkpoint_dir(out) / BEST
    what = stand_in(best, kind)
    for changes in ({}, {"TEST__CHECKPOINT_FILE_PATH": best}):
        assert main(command(tiny_data, out, TRAIN__ENABLE=False, **changes)) == 2
        assert capsys.readouterr().err == (f"ValueError: {best} cannot be read as a checkpoint ({what}); give another "
                                           "one, or remove it to go on without it.\n")


def test_a_foreign_checkpoint_lends_its_weights_alone(tiny_data, out, tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "foreign.pyth"
    torch.save({**load_checkpoint(epoch_path(out, 3)), "epoch": "last", "best": 0.83}, path)
    options = {"TRAIN__CHECKPOINT_FILE_PATH": path}
    assert main(command(tiny_data, tmp_path / "new", **options)) == 2
    assert capsys.readouterr().err == (
        f"ConfigError: {path} is not a checkpoint of Trokens that training can go on from (its 'epoch' is 'last'); set "
        "TRAIN.CHECKPOINT_EPOCH_RESET True to start from its weights alone.\n")
    run(tiny_data, tmp_path / "new", TRAIN__CHECKPOINT_EPOCH_RESET=True, **options)
    assert f"Starting at epoch 1 from the weights of {path}; its own epochs and" in caplog.text
