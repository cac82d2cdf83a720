"""Checkpoints are written whole or not at all, and found again."""

import os

import pytest
import torch
from torch import nn

from trokens.models.checkpoint import (
    BEST,
    INTERRUPTED,
    checkpoint_dir,
    epoch_path,
    find_last,
    load_checkpoint,
    save_checkpoint,
    saved_epochs,
    trained_state,
)


def save(path, epoch=0, **values):
    save_checkpoint(path, {"model_state": {"w": torch.ones(2)}, "epoch": epoch, **values})


def test_what_is_saved_comes_back(tmp_path):
    path = epoch_path(tmp_path, 7)
    assert path == tmp_path / "checkpoints" / "checkpoint_epoch_00007.pyth"
    save(path, epoch=6, best={"accuracy": 0.5})
    state = load_checkpoint(path)
    assert state["epoch"] == 6 and state["best"] == {"accuracy": 0.5} and state["model_state"]["w"].tolist() == [1, 1]


@pytest.mark.parametrize("stage", ["write", "replace"])
def test_a_crash_while_saving_leaves_the_old_file(tmp_path, monkeypatch, stage):
    path = epoch_path(tmp_path, 1)
    save(path, epoch=0)

    def torn(state, f):
        f.write(b"half a checkpoint")
        raise KeyboardInterrupt

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(*((torch, "save", torn) if stage == "write" else (os, "replace", crash)))
    with pytest.raises(KeyboardInterrupt):
        save(path, epoch=1)
    assert list(checkpoint_dir(tmp_path).iterdir()) == [path]
    assert load_checkpoint(path)["epoch"] == 0
    assert saved_epochs(tmp_path) == {1: path} and find_last(tmp_path).path == path


@pytest.mark.parametrize("name", ["checkpoint_epoch_00003.pyth.partial", ".checkpoint_epoch_00003.pyth.0a0b0c0d.tmp"])
def test_a_partial_file_alone_is_no_checkpoint(tmp_path, name):
    partial = epoch_path(tmp_path, 3).with_name(name)
    partial.parent.mkdir()
    partial.write_bytes(b"half")
    assert find_last(tmp_path).path is None and saved_epochs(tmp_path) == {}


def test_a_run_goes_on_from_its_furthest_state(tmp_path):
    assert find_last(tmp_path / "nothing here").path is None
    for epochs in (2, 10, 9):
        save(epoch_path(tmp_path, epochs), epoch=epochs - 1)
    save(checkpoint_dir(tmp_path) / BEST, epoch=50)
    assert list(saved_epochs(tmp_path)) == [2, 9, 10]
    assert find_last(tmp_path).path == epoch_path(tmp_path, 10)
    interrupted = checkpoint_dir(tmp_path) / INTERRUPTED
    save(interrupted, epoch=8, step=40)  # of an epoch that was finished later
    assert find_last(tmp_path).path == epoch_path(tmp_path, 10)
    save(interrupted, epoch=9, step=3)
    assert find_last(tmp_path).path == interrupted


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(("content", "message"), [
    (b"not a checkpoint", r"cannot be read as a checkpoint \(it was not written by torch\.save\); give another one"),
    (b"", r"cannot be read as a checkpoint \(it is empty\); give another one"),
    ([1, 2], r"is not a checkpoint \(it has no 'model_state'\); give another one\.$"),
    ({"model_state": [1]}, "has no 'model_state'"),
    ({"model_state": {}, "cfg": Evil()}, r"cannot be read as a checkpoint \(.*system"),
])
def test_what_is_no_checkpoint_is_refused(tmp_path, content, message):
    path = tmp_path / "x.pyth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No checkpoint at .*none\.pyth"):
        load_checkpoint(tmp_path / "none.pyth")


def test_a_frozen_backbone_is_left_out_and_a_trained_one_kept():
    model = nn.ModuleDict({"dino": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "head": nn.Linear(2, 2)})
    model["dino"][0].requires_grad_(False)
    assert "dino.0.weight" in trained_state(model) and "dino.1.running_mean" in trained_state(model)
    model["dino"].requires_grad_(False)
    assert set(trained_state(model)) == {"head.weight", "head.bias"}
