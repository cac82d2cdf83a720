"""The checkpoints that a training leaves: sound ones only, and no more of them than are needed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trokens.config import dump
from trokens.engine.sources import Sources
from trokens.models.checkpoint import INTERRUPTED, checkpoint_dir, epoch_path, out_of_range, save_checkpoint
from trokens.models.trokens import Trokens
from trokens.models.weights import backbone_norms
from trokens.runtime.distributed import in_main, is_main

NEWEST = 2  # epochs' checkpoints that are kept: where the last one is damaged, a run goes on from the one before
REMEDY = "lower SOLVER.BASE_LR, set SOLVER.CLIP_GRAD_L2NORM (1.0 is usual) or TRAIN.MIXED_PRECISION False"


@dataclass
class CheckpointKeeper:
    """Writes a run's checkpoints, and removes those of older epochs once newer ones are whole.

    It removes only what runs with this rule wrote: each checkpoint lists the epochs written last.

    Attributes:
        output_dir: Gets the checkpoints.
        about: What each of them says of the run: ``cfg``, ``trained`` and ``backbone``.
        keep_every: The checkpoints of every n-th epoch stay; 0 for none but the newest two.
        spared: Epochs whose checkpoints stay in any case.
        recent: Epochs written last, ascending, one more than are kept.
    """

    output_dir: str | Path
    about: dict[str, Any]
    keep_every: int = 0
    spared: Collection[int] = ()
    recent: list[int] = field(default_factory=list)

    def resume(self, recent: list[int]) -> None:
        """Go on from a checkpoint that lists these epochs."""
        self.recent = list(recent)
        self._remove_old()

    def save_epoch(self, epochs: int, state: dict[str, Any]) -> None:
        """Write the state after so many whole epochs, and remove what it makes superfluous."""
        self.recent = [*(number for number in self.recent if number < epochs), epochs][-NEWEST - 1:]
        self.save(epoch_path(self.output_dir, epochs).name, state)
        if is_main():
            (checkpoint_dir(self.output_dir) / INTERRUPTED).unlink(missing_ok=True)
        self._remove_old()

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Write a state under this name: as ``BEST`` what did best in validation, as ``INTERRUPTED`` one within an
        epoch. Errors are those of :func:`check_sound`."""
        check_sound(state)
        in_main(lambda: save_checkpoint(checkpoint_dir(self.output_dir) / name,
                                        {**state, **self.about, "recent": self.recent}))

    def _remove_old(self) -> None:
        for epochs in self.recent[:-NEWEST] if is_main() else ():
            if epochs not in self.spared and not (self.keep_every and epochs % self.keep_every == 0):
                epoch_path(self.output_dir, epochs).unlink(missing_ok=True)


def build_keeper(cfg, sources: Sources, model: Trokens) -> CheckpointKeeper:
    """The keeper of a run; what its test names stays."""
    spared = {cfg.TEST.TEST_EPOCH_NUM}
    spared |= {epochs for epochs in range(1, cfg.SOLVER.MAX_EPOCH + 1) if cfg.TEST.CHECKPOINT_FILE_PATH
               and epoch_path(cfg.OUTPUT_DIR, epochs).resolve() == Path(cfg.TEST.CHECKPOINT_FILE_PATH).resolve()}
    about = {"cfg": dump(cfg), "trained": [one.state() for one in sources.history], "backbone": backbone_norms(model)}
    return CheckpointKeeper(cfg.OUTPUT_DIR, about, keep_every=cfg.TRAIN.KEEP_EVERY, spared=spared)


def check_sound(state: dict[str, Any]) -> None:
    """Check that training can go on from a state.

    Raises:
        FloatingPointError: Weights or the optimizer's state are not finite, or weights are beyond all measure.
    """
    if bad := out_of_range(state):
        raise FloatingPointError(f"{bad} after {state['epoch'] + 1} epochs and {state['step']} steps, so nothing is "
                                 f"saved; {REMEDY}.")
