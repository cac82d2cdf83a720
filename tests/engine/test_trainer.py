"""The training loop: whatever interrupts it, it ends with what an undisturbed run ends with."""

import os
import signal

import pytest
import torch
from processes import in_processes
from tiny import RANDOM, Killed, assert_same_run, figures, kill_after, stopped_at_every_step, tiny_cfg

from trokens.engine.loggers import RunLog
from trokens.engine.run import run_experiment
from trokens.engine.trainer import Interrupted, Trainer
from trokens.fewshot.task import FewShotTask
from trokens.models.checkpoint import INTERRUPTED, checkpoint_dir, load_checkpoint, saved_epochs

CPU = torch.device("cpu")


def run(data, folder, options=RANDOM, **changes):
    return run_experiment(tiny_cfg(data, folder, options, **changes), CPU)


@pytest.fixture(scope="module")
def undisturbed(tiny_data, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    run(tiny_data, folder)
    return folder


def test_an_undisturbed_run_leaves_its_checkpoints_and_figures(undisturbed):
    names = {path.name for path in checkpoint_dir(undisturbed).iterdir()}
    assert names == {"checkpoint_epoch_00001.pyth", "checkpoint_epoch_00002.pyth", "checkpoint_best.pyth"}
    places = [(r["phase"], r["epoch"], r["step"], r["global_step"]) for r in figures(undisturbed)]
    assert places == [("train", 0, 2, 2), ("train", 0, 3, 3), ("val", 1, 0, 3),
                      ("train", 1, 2, 5), ("train", 1, 3, 6), ("val", 2, 0, 6)]
    assert [r["lr"] for r in figures(undisturbed) if r["phase"] == "train"] == [1e-6, 1e-6, 1e-3, 1e-3]
    state = load_checkpoint(checkpoint_dir(undisturbed) / "checkpoint_epoch_00002.pyth")
    assert {"epoch", "model_state", "optimizer_state", "scaler_state", "cfg"} <= state.keys()
    assert (state["epoch"], state["step"]) == (1, 0) and "N_WAY: 3" in state["cfg"]
    accuracy = {r["epoch"]: r["accuracy"] for r in figures(undisturbed) if r["phase"] == "val"}
    assert state["best"] == {"accuracy": max(accuracy.values()), "epoch": max(accuracy, key=accuracy.get)}


def kill_at(monkeypatch, moment: int) -> None:
    """Kill the run at the given one of the moments before and after each step, record and file operation."""
    left = [moment]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def between(owner, name: str) -> None:
        original = getattr(owner, name)

        def watched(*args, **kwargs):
            tick()
            result = original(*args, **kwargs)
            tick()
            return result

        monkeypatch.setattr(owner, name, watched)

    between(Trainer, "train_step")
    between(RunLog, "write")
    between(torch, "save")
    between(os, "replace")


def test_a_run_killed_at_every_moment_ends_like_an_undisturbed_one(tiny_data, tmp_path, undisturbed):
    """Every restart gets one moment further than the one before, whatever it goes on from."""
    moment = 0
    while moment < 100:
        moment += 1
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, moment)
            try:
                run(tiny_data, tmp_path / "out")
                break
            except Killed:
                continue
    assert 15 < moment < 100
    assert_same_run(undisturbed, tmp_path / "out")


@pytest.mark.parametrize("changes", [{}, {"TRAIN__CHECKPOINT_PERIOD": 2}], ids=["each epoch saved", "only the last"])
def test_a_run_stopped_at_every_step_ends_like_an_undisturbed_one(tiny_data, tmp_path, undisturbed, changes):
    stops = stopped_at_every_step(lambda: run(tiny_data, tmp_path / "out", **changes))
    assert stops == [*(f"Stopped after {e} epochs and {s} steps" for e in (0, 1) for s in (1, 2, 3)), "done"]
    if changes:  # the undisturbed run saved once more
        (checkpoint_dir(tmp_path / "out") / "checkpoint_epoch_00001.pyth").write_bytes(
            (checkpoint_dir(undisturbed) / "checkpoint_epoch_00001.pyth").read_bytes())
    assert_same_run(undisturbed, tmp_path / "out")


@pytest.mark.parametrize("stop", [1, 3])
def test_figures_that_a_checkpoint_carries_are_recorded_once(tiny_data, tmp_path, undisturbed, monkeypatch, stop):
    """The stopped run had them pending; the next one records them, and is killed before it saves anything."""
    def stopped_step(self, episode, step=Trainer.train_step):
        if (self.epoch, self.step) == (0, stop - 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, episode)

    monkeypatch.setattr(Trainer, "train_step", stopped_step)
    with pytest.raises(Interrupted, match=f"after 0 epochs and {stop} steps"):
        run(tiny_data, tmp_path)
    assert len(load_checkpoint(checkpoint_dir(tmp_path) / INTERRUPTED)["pending"]) == 1
    monkeypatch.undo()
    kill_after(monkeypatch, RunLog, "write")
    for _ in range(3):
        with pytest.raises(Killed):
            run(tiny_data, tmp_path)
    assert len(figures(tmp_path)) == (2 if stop == 3 else 1)
    monkeypatch.undo()
    run(tiny_data, tmp_path)
    assert_same_run(undisturbed, tmp_path)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_run_stopped_during_validation_ends_after_it(tiny_data, tmp_path, undisturbed, monkeypatch, epoch):
    out, write = tmp_path / "out", RunLog.write

    def stop(self, record):
        if record["phase"] == "val" and record["epoch"] == epoch:
            os.kill(os.getpid(), signal.SIGTERM)
        write(self, record)

    monkeypatch.setattr(RunLog, "write", stop)
    with pytest.raises(Interrupted, match=f"after {epoch} epochs and 0 steps"):
        run(tiny_data, out)
    assert max(saved_epochs(out)) == epoch and not (checkpoint_dir(out) / INTERRUPTED).exists()
    monkeypatch.undo()
    run(tiny_data, out)
    assert_same_run(undisturbed, out)


def test_the_keyboard_stops_after_the_step_and_at_once_when_asked_twice(tiny_data, tmp_path, monkeypatch):
    step, presses = Trainer.train_step, [1]

    def pressed(self, episode):
        for _ in range(presses[0]):
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, episode)

    monkeypatch.setattr(Trainer, "train_step", pressed)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        run(tiny_data, tmp_path / "once")
    presses[0] = 2
    with pytest.raises(KeyboardInterrupt):
        run(tiny_data, tmp_path / "twice")
    assert signal.getsignal(signal.SIGINT) is before
    assert not list(checkpoint_dir(tmp_path / "twice").glob("*"))


def stopped_in_one_process(own: int, data, folder, at: int | None) -> str:
    """Train in this process, asked to stop at one step if it is process 1."""
    step = Trainer.train_step

    def stopped_step(self, episode):
        if own == 1 and self.step == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, episode)

    Trainer.train_step = stopped_step
    try:
        run(data, folder)
        return "done"
    except Interrupted as stopped:
        return str(stopped).split(";")[0]
    finally:
        Trainer.train_step = step


def test_all_processes_stop_together_and_go_on_bit_for_bit(tiny_data, tmp_path):
    assert in_processes(2, stopped_in_one_process, tiny_data, tmp_path / "one", None) == ["done"] * 2
    # asked for during step 2, agreed on in step 3
    stopped = in_processes(2, stopped_in_one_process, tiny_data, tmp_path / "two", 1)
    assert stopped == ["Stopped after 0 epochs and 3 steps"] * 2
    assert in_processes(2, stopped_in_one_process, tiny_data, tmp_path / "two", None) == ["done"] * 2
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(("part", "figure"), [("class", "loss_class=nan loss_match=1"), ("match", "loss_match=nan")])
def test_a_loss_that_is_not_finite_stops_before_anything_is_saved(tiny_data, tmp_path, monkeypatch, part, figure):
    forward, calls = FewShotTask.forward, []

    def poisoned(self, episode, features=None):
        calls.append(1)
        out = forward(self, episode, features)
        if len(calls) == 5:  # step 2 of epoch 2
            out["loss"], out[f"loss_{part}"] = out["loss"] * float("nan"), out[f"loss_{part}"] * float("nan")
        return out

    monkeypatch.setattr(FewShotTask, "forward", poisoned)
    steps = []
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *a: steps.append(1))
    with pytest.raises(FloatingPointError, match=rf"Loss is nan at epoch 2, step 2: .*{figure}"):
        run(tiny_data, tmp_path)
    assert len(steps) == 4 and list(saved_epochs(tmp_path)) == [1]
    assert not (checkpoint_dir(tmp_path) / INTERRUPTED).exists()


def test_weights_that_turned_infinite_are_never_saved(tiny_data, tmp_path):
    with pytest.raises(FloatingPointError, match="at epoch 2, step"):
        run(tiny_data, tmp_path, SOLVER__BASE_LR=1e38, SOLVER__OPTIMIZING_METHOD="sgd", LOG_PERIOD=100)
    assert list(saved_epochs(tmp_path)) == [1]


def test_a_step_follows_from_its_place_alone(tiny_data, tmp_path):
    """The generator's state before a step does not matter."""
    def first_losses(noise: bool) -> list[float]:
        losses, step = [], Trainer.train_step

        def noisy(self, episode):
            if noise:
                torch.rand(7)
            out = step(self, episode)
            losses.append(out["loss"].item())
            return out

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "train_step", noisy)
            run(tiny_data, tmp_path / str(noise))
        return losses

    assert first_losses(False) == first_losses(True)
