"""What a training step costs: averaged episodes, memory given up for time, and a device that is never waited for."""

import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from processes import in_processes
from small_task import MATCHING, episode, model
from tiny import MOTION, assert_same_run, stopped_at_every_step, tiny_cfg

from trokens.config import get_cfg
from trokens.engine.optim import restore_optimizer
from trokens.engine.run import run_experiment
from trokens.engine.trainer import Trainer
from trokens.fewshot.task import FewShotTask
from trokens.models.checkpoint import load_checkpoint, saved_epochs
from trokens.reuse.features import Features

PLAIN = MOTION | {"TEST.ENABLE": False, "FEW_SHOT.TRAIN_OG_EPISODES": True}


def run(data, folder, **changes):
    run_experiment(tiny_cfg(data, folder, PLAIN, **changes), torch.device("cpu"))
    return load_checkpoint(max(saved_epochs(folder).items())[1])


def weights_after(own: int, data, folder, episodes: int, accumulate: int) -> tuple[dict, float]:
    """Weights, as lists, and number of optimizer steps after one epoch."""
    state = run(data, folder, FEW_SHOT__TRAIN_EPISODES=episodes, SOLVER__ACCUMULATE=accumulate, SOLVER__MAX_EPOCH=1,
                SOLVER__WARMUP_EPOCHS=0)
    steps = {s["step"].item() for s in state["optimizer_state"]["state"].values()}
    return {name: value.tolist() for name, value in state["model_state"].items()}, steps.pop()


def test_two_episodes_in_each_of_two_processes_are_four_in_one(tiny_data, tmp_path):
    one, steps = weights_after(0, tiny_data, tmp_path / "one", 8, 4)
    two = in_processes(2, weights_after, tiny_data, tmp_path / "two", 4, 2)
    assert steps == 2 and [count for _, count in two] == [2, 2]
    for name, value in one.items():
        torch.testing.assert_close(torch.tensor(two[0][0][name]), torch.tensor(value), atol=2e-5, rtol=1e-4)
    alone, _ = weights_after(0, tiny_data, tmp_path / "alone", 8, 1)
    assert alone != one


def test_the_last_group_of_an_epoch_may_be_smaller(tiny_data, tmp_path, monkeypatch):
    scales, backward = [], torch.Tensor.backward
    step = Trainer.train_step

    def watched(self, one):
        losses = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "backward", lambda loss: losses.append(loss.item()) or backward(loss))
            out = step(self, one)
        scales.append(round(out["loss"].item() / losses[0]))
        return out

    monkeypatch.setattr(Trainer, "train_step", watched)
    _, steps = weights_after(0, tiny_data, tmp_path, 5, 3)
    assert scales == [3, 3, 3, 2, 2] and steps == 2


def test_a_run_stopped_within_a_group_goes_on_bit_for_bit(tiny_data, tmp_path):
    options = {"FEW_SHOT__TRAIN_EPISODES": 5, "SOLVER__ACCUMULATE": 2, "MF__DROP": 0.1}
    run(tiny_data, tmp_path / "undisturbed", **options)
    stops = stopped_at_every_step(lambda: run(tiny_data, tmp_path / "stopped", **options))
    assert stops == ["Stopped after 0 epochs and 2 steps", "Stopped after 0 epochs and 4 steps",
                     "Stopped after 1 epochs and 0 steps", "Stopped after 1 epochs and 2 steps",
                     "Stopped after 1 epochs and 4 steps", "Stopped after 2 epochs and 0 steps", "done"]
    assert_same_run(tmp_path / "undisturbed", tmp_path / "stopped")


def gradients(**options) -> tuple[dict, dict]:
    """Losses and gradients of a step with dropout."""
    one, features = episode()
    task = FewShotTask(model(drop=0.2, pos_drop=0.2, depth=2, drop_path=0.3, **options), matching=MATCHING).train()
    torch.manual_seed(7)
    out = task(one, features)
    out["loss"].backward()
    return out, {name: parameter.grad for name, parameter in task.named_parameters()}


def test_computing_again_gives_the_same_gradients_and_keeps_less():
    kept = {}

    def bytes_kept(again: bool) -> tuple:
        kept[again] = 0

        def pack(x):
            kept[again] += x.nbytes
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            return gradients(act_checkpoint=again)

    (plain, grads), (again, same) = bytes_kept(False), bytes_kept(True)
    assert torch.equal(plain["loss"], again["loss"])
    for name, gradient in grads.items():
        torch.testing.assert_close(same[name], gradient, msg=name)
    assert kept[True] < kept[False] / 3


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_compiled_blocks_keep_their_names_and_numbers():
    one, features = episode()
    plain, compiled = model().eval(), model(compile_blocks=True).eval()
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    compiled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(compiled(one.clips, features), plain(one.clips, features), atol=1e-5, rtol=1e-5)


def trainer_of(task: FewShotTask, device: str = "cpu", **options) -> Trainer:
    """A trainer for single steps: it has neither a loader nor a log."""
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-3, **options)
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.CLIP_GRAD_L2NORM", 1.0, "SOLVER.ACCUMULATE", 1])
    return Trainer(cfg, task, optimizer, None, SimpleNamespace(rank=0, world_size=1, num_episodes=9), keeper=None,
                   log=None, device=torch.device(device), validate=None, clip_ids=[])


def test_a_step_never_waits_for_the_device(monkeypatch):
    """On the meta device, which has shapes and no numbers: whoever asks for a number there gets an error."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no such device
    one, features = episode()
    task = FewShotTask(model(mask="visibility", depth=2, drop_path=0.3, drop=0.2, act_checkpoint=True),
                       matching=MATCHING).to("meta").train()
    trainer = trainer_of(task, "meta")
    trainer.features = Features(features)
    figures = trainer.train_step(one)
    assert task.model.head.weight.grad.is_meta and trainer.optimizer.state
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        figures["loss"].item()


def test_a_checkpoint_goes_on_with_the_optimizers_own_kernel():
    one, features = episode()
    first, second = (trainer_of(FewShotTask(model(), matching=MATCHING), fused=fused) for fused in (None, True))
    for trainer in (first, second):
        trainer.features = Features(features)
    first.train_step(one)
    assert restore_optimizer(second.optimizer, second.task.model, first.state()) == ""
    assert [group["fused"] for group in second.optimizer.param_groups] == [True]
    second.train_step(one)
    assert {state["step"].item() for state in second.optimizer.state.values()} == {2}
