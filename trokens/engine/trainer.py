"""The training loop: episodes in, checkpoints out, and the same result however often it was interrupted."""

from __future__ import annotations

import inspect
import logging
import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from trokens.engine.keeper import REMEDY, CheckpointKeeper, check_sound
from trokens.engine.loggers import RunLog
from trokens.engine.optim import clip_gradients, learning_rate_from_config
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.task import FIGURES, FewShotTask
from trokens.models.checkpoint import BEST, INTERRUPTED, trained_state
from trokens.points.sampling import text_seed
from trokens.reuse.features import Features
from trokens.runtime.distributed import StopFlag, rank, world_size
from trokens.runtime.progress import progress
from trokens.runtime.signals import Requests, already_ending, handled, raise_stop
from trokens.structures import Episode

logger = logging.getLogger(__name__)

NO_BEST = {"accuracy": -1.0, "epoch": -1}


class Interrupted(Exception):
    """Training was asked to stop; its state is saved."""


class Trainer:
    """Trains a task for a number of epochs.

    Everything random in a step follows from (seed, epoch, step, process), so a resumed run equals an undisturbed
    one bit for bit.

    Args:
        cfg: Of the run: its seed, schedule, periods, and how gradients are clipped and accumulated. With
            SOLVER.ACCUMULATE, ``step`` counts episodes; an epoch's last group may be smaller, and only between groups
            does training stop.
        task: The model with its losses, on ``device``.
        optimizer: Over the task's trainable parameters.
        loader: This process's training episodes, in the order of ``sampler``.
        sampler: Told the epoch, and how much of it is done.
        keeper, log: Take the checkpoints and the records.
        validate: Returns a result with ``accuracy``; None where there is no validation split.
        clip_ids: Ids of the clips that ``sampler`` numbers, for messages.
        precision: Type for mixed precision, or None.
        features: Patch features of all training clips, or None.
    """

    def __init__(self, cfg, task: FewShotTask, optimizer: torch.optim.Optimizer, loader: DataLoader,
                 sampler: EpisodeSampler, *, keeper: CheckpointKeeper, log: RunLog, device: torch.device,
                 validate: Callable[[], dict] | None, clip_ids: Sequence[str],
                 precision: torch.dtype | None = None, features: Features | None = None):
        self.cfg, self.task, self.optimizer, self.loader, self.sampler = cfg, task, optimizer, loader, sampler
        self.keeper, self.log, self.device, self.validate = keeper, log, device, validate
        self.clip_ids, self.precision, self.features = clip_ids, precision, features
        self.max_epoch, self.num_steps = cfg.SOLVER.MAX_EPOCH, sampler.num_episodes // sampler.world_size
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
        self.epoch, self.step = 0, 0  # where the next step stands
        self.best: dict[str, float] = NO_BEST
        self.pending: list[dict[str, Tensor]] = []  # figures of the steps since the last record, which was then:
        self._since = 0.0
        self.stop, self._requests = StopFlag(), Requests()
        self.ddp = parallel(task, device) if world_size() > 1 else task

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of this run (the caller has loaded the weights and the optimizer's state)."""
        if state["scaler_state"]:
            self.scaler.load_state_dict(state["scaler_state"])
        self.epoch, self.step, self.best = state["epoch"] + 1, state["step"], state["best"]
        self.pending = [{k: torch.tensor(v, device=self.device) for k, v in f.items()} for f in state["pending"]]
        self.keeper.resume(state["recent"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds; ``epoch`` is the last whole one, from 0, and ``step`` the steps done since."""
        return {"epoch": self.epoch - 1, "step": self.step, "best": self.best, "pending": self._figures(),
                "model_state": trained_state(self.task.model), "optimizer_state": self.optimizer.state_dict(),
                "scaler_state": self.scaler.state_dict()}

    def run(self) -> None:
        """Train what is left of the epochs.

        Raises:
            Interrupted: A signal asked to stop; the state is saved.
            KeyboardInterrupt, Stopped: A second signal asked to stop at once.
            FloatingPointError: The loss is not finite.
        """
        with handled(self._ask_to_stop):
            while self.epoch < self.max_epoch:
                self._train_epoch()
                self._finish_epoch()
                self.stop.start()
                if self.stop.result():  # asked for during validation
                    self._interrupt()

    def _ask_to_stop(self, number: int, _frame) -> None:
        if self._requests.is_second(number):  # do not wait for the step
            raise_stop(number)
        if not self.stop.requested:
            logger.info("%s: stopping after this step.", signal.Signals(number).name)
        self.stop.requested = True

    def _train_epoch(self) -> None:
        self.task.train()
        self.sampler.set_epoch(self.epoch, start=self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_from_config(self.cfg, self.epoch)
        self._since = time.perf_counter()
        title = f"Epoch {self.epoch + 1} of {self.max_epoch}"
        for episode in progress(self.loader, len(self.sampler), title, lines=False):
            self.stop.start()
            self.pending.append(self.train_step(episode))
            self.step += 1
            if self.step % self.cfg.LOG_PERIOD == 0:
                self._record()
            if self.stop.result() and self._number_in_group()[0] == 0:
                self._interrupt()
        if self.pending:
            self._record()

    def train_step(self, episode: Episode) -> dict[str, Tensor]:
        """One episode forward and backward; after the last one of a group, a step of the optimizer."""
        number, size = self._number_in_group()
        is_last = number == size - 1
        torch.manual_seed(text_seed(f"{self.cfg.RNG_SEED}/{self.epoch}/{self.step}/{rank()}"))
        features = None
        if self.features is not None:
            features = self.features.look(episode.clips.index, torch.default_generator)  # seeded a line above
            features = features.to(self.device, non_blocking=True)
        with nullcontext() if is_last or self.ddp is self.task else self.ddp.no_sync():
            with torch.autocast(self.device.type, self.precision, enabled=self.precision is not None):
                out = self.ddp(episode.to(self.device), features)
            if self.device.type == "cpu":  # a GPU would have to be waited for: they are checked when they are read
                self._figures([out], self.step + 1)
            if number == 0:
                self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(out["loss"] / size).backward()
        if is_last:
            self.scaler.unscale_(self.optimizer)
            clip_gradients(self.cfg, self.task)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return {k: out[k].detach() for k in FIGURES}

    def _number_in_group(self) -> tuple[int, int]:
        """Number of the next episode within those of its optimizer step, and how many these are."""
        accumulate = self.cfg.SOLVER.ACCUMULATE
        number = self.step % accumulate
        return number, min(accumulate, self.num_steps - self.step + number)

    def _record(self) -> None:
        figures = self._figures()
        seconds = (time.perf_counter() - self._since) / len(figures)
        self.pending, self._since = [], time.perf_counter()
        means = {k: sum(f[k] for f in figures) / len(figures) for k in figures[0]}
        self.log.write({"phase": "train", "epoch": self.epoch, "step": self.step,
                        "global_step": self.epoch * self.num_steps + self.step, **means,
                        "lr": learning_rate_from_config(self.cfg, self.epoch), "seconds_per_step": seconds})
        logger.info("epoch %d step %d/%d  loss %.4f (class %.4f match %.4f)  accuracy %.1f %%  %.2f s/step",
                    self.epoch + 1, self.step, self.num_steps, means["loss"], means["loss_class"],
                    means["loss_match"], 100 * means["accuracy"], seconds)

    def _interrupt(self) -> None:
        if self.step or not self._is_checkpoint_due():
            self.keeper.save(INTERRUPTED, self.state())
        already_ending()
        raise Interrupted(f"Stopped after {self.epoch} epochs and {self.step} steps; the same command goes on from "
                          "there.")

    def _finish_epoch(self) -> None:
        """Validate, then write: a crash in between repeats the epoch and comes to the same files."""
        self.epoch, self.step = self.epoch + 1, 0
        check_sound(self.state())  # the last step's loss says nothing of what it did to the weights
        if self.validate and (self.epoch == self.max_epoch or self.epoch % self.cfg.TRAIN.EVAL_PERIOD == 0):
            result = self.validate()
            self.log.write({"phase": "val", "epoch": self.epoch, "step": 0,
                            "global_step": self.epoch * self.num_steps, **result})
            logger.info("epoch %d  %s accuracy %.2f ± %.2f %%", self.epoch, result["split"],
                        100 * result["accuracy"], 100 * result["interval"])
            if result["accuracy"] > self.best["accuracy"]:
                self.best = {"accuracy": result["accuracy"], "epoch": self.epoch}
                self.keeper.save(BEST, self.state())
        if self._is_checkpoint_due():
            self.keeper.save_epoch(self.epoch, self.state())

    def _is_checkpoint_due(self) -> bool:
        return self.epoch == self.max_epoch or self.epoch % self.cfg.TRAIN.CHECKPOINT_PERIOD == 0

    def _figures(self, steps: list[dict[str, Tensor]] | None = None, last: int | None = None) -> list[dict[str, float]]:
        """The figures of consecutive steps up to the number ``last``, by default the pending ones, as numbers; a GPU is
        waited for once.

        Raises:
            FloatingPointError: A loss is not finite; the message names the first such step and its clips.
        """
        steps, last = self.pending if steps is None else steps, self.step if last is None else last
        if not steps:
            return []
        table = torch.stack([torch.stack([step[k].detach().float() for k in FIGURES]) for step in steps]).tolist()
        figures = [dict(zip(FIGURES, row, strict=True)) for row in table]
        for step, f in enumerate(figures, last - len(figures) + 1):
            if not all(math.isfinite(f[k]) for k in FIGURES[:3]):
                plan = self.sampler[self.sampler.rank + (step - 1) * self.sampler.world_size]
                clips = ", ".join(self.clip_ids[index] for index in plan.indices)
                raise FloatingPointError(
                    f"Loss is {f['loss']} at epoch {self.epoch + 1}, step {step}: loss_class={f['loss_class']:.4g} "
                    f"loss_match={f['loss_match']:.4g}, on the clips {clips}; {REMEDY}, or look at these clips.")
        return figures


def parallel(task: nn.Module, device: torch.device) -> DistributedDataParallel:
    """The task with gradients averaged over all processes; its buffers are constants."""
    options = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in options else "broadcast_buffers"  # its older name
    return DistributedDataParallel(task, device_ids=[device.index] if device.type == "cuda" else None,
                                   **{name: False})
