"""Checkpoints: written whole or not at all, found again after a crash."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trokens.tensors import not_finite, read_torch_file, tensors_in

INTERRUPTED = "checkpoint_interrupted.pyth"
BEST = "checkpoint_best.pyth"


def checkpoint_dir(output_dir: str | Path) -> Path:
    """Where a run keeps its checkpoints."""
    return Path(output_dir) / "checkpoints"


def epoch_path(output_dir: str | Path, num_epochs: int) -> Path:
    """File of the state after ``num_epochs`` whole epochs."""
    return checkpoint_dir(output_dir) / f"checkpoint_epoch_{num_epochs:05d}.pyth"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` so that a crash at any moment leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as f:
        torch.save(state, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(partial, path)


def trained_state(model: nn.Module) -> dict[str, Any]:
    """The model's state without a frozen backbone, which is the same file on every disk."""
    trains_backbone = any(p.requires_grad for name, p in model.named_parameters() if name.startswith("dino."))
    return {name: value for name, value in model.state_dict().items()
            if trains_backbone or not name.startswith("dino.")}


def load_checkpoint(path: str | Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a whole checkpoint onto the CPU without executing anything in it.

    Args:
        path: The file.
        mapped: Leave the tensors on the disk until they are used.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a checkpoint, is damaged, or has weights that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No checkpoint at {path}.")
    try:
        state = read_torch_file(path, mapped=mapped)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a checkpoint ({error}); give another one, or "
                         "remove it to go on without it.") from error
    if not isinstance(state, dict) or "model_state" not in state:
        raise ValueError(f"{path} is not a checkpoint: it has no 'model_state'.")
    if bad := not_finite(tensors_in(state["model_state"])):
        raise ValueError(f"{path} holds weights that are not finite ({len(bad)} tensors, the first is {bad[0]}): its "
                         "training had failed; give another checkpoint.")
    return state


def saved_epochs(output_dir: str | Path) -> dict[int, Path]:
    """Whole-epoch checkpoints by number of epochs, ascending."""
    found = {int(m[1]): p for p in checkpoint_dir(output_dir).glob("checkpoint_epoch_*.pyth")
             if (m := re.fullmatch(r"checkpoint_epoch_(\d+)\.pyth", p.name))}
    return dict(sorted(found.items()))


def last_checkpoint(output_dir: str | Path) -> Path | None:
    """The furthest state a run can go on from: an interruption later than the last whole epoch, or that epoch."""
    epochs = saved_epochs(output_dir)
    interrupted = checkpoint_dir(output_dir) / INTERRUPTED
    if interrupted.is_file() and (not epochs or load_checkpoint(interrupted)["epoch"] + 1 >= max(epochs)):
        return interrupted
    return epochs[max(epochs)] if epochs else None
