"""Checkpoints: written whole or not at all, found again after a crash."""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from trokens.config.values import shown
from trokens.fewshot.task import FIGURES
from trokens.models.published import read_published
from trokens.runtime.files import whole_file
from trokens.runtime.tensors import not_finite, read_torch_file, tensors_in

INTERRUPTED = "checkpoint_interrupted.pyth"
BEST = "checkpoint_best.pyth"
MOST = 1e9  # a weight beyond it is not sound


def checkpoint_dir(output_dir: str | Path) -> Path:
    """Where a run keeps its checkpoints."""
    return Path(output_dir) / "checkpoints"


def epoch_path(output_dir: str | Path, num_epochs: int) -> Path:
    """File of the state after ``num_epochs`` whole epochs."""
    return checkpoint_dir(output_dir) / f"checkpoint_epoch_{num_epochs:05d}.pyth"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` so that a crash at any moment leaves either the old file or the new one.

    Raises:
        WriteError: The disk does not take it; the old file is still there.
    """
    with whole_file(path) as unfinished, open(unfinished, "wb") as file:
        torch.save(state, file)


def trained_state(model: nn.Module) -> dict[str, Any]:
    """The model's state without a frozen backbone, which is the same file on every disk."""
    trains_backbone = any(p.requires_grad for name, p in model.named_parameters() if name.startswith("dino."))
    return {name: value for name, value in model.state_dict().items()
            if trains_backbone or not name.startswith("dino.")}


def load_checkpoint(path: str | Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a whole checkpoint, or a published model's file of weights (:mod:`trokens.models.published`), onto the CPU
    without executing anything in it; with ``mapped``, a checkpoint's tensors stay on the disk until they are used.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a checkpoint, is damaged, or has weights that are not finite.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(f"No checkpoint at {path}.")
    try:
        if path.is_symlink() and not path.exists():
            raise ValueError(f"it is a link to {os.readlink(path)}, which is not there")
        if not path.is_file():
            raise ValueError(f"it is a {'folder' if path.is_dir() else 'device or a pipe'}")
        published = path.suffix == ".safetensors"
        state = read_published(path) if published else read_torch_file(path, mapped=mapped)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a checkpoint ({error}); give another one, or "
                         "remove it to go on without it.") from error
    if not isinstance(state, dict) or not isinstance(state.get("model_state"), dict):
        raise ValueError(f"{path} is not a checkpoint (it has no 'model_state'); give another one.")
    if bad := not_finite(tensors_in(state["model_state"])):
        raise ValueError(f"{path} holds weights that are not finite ({len(bad)} tensors, the first is {bad[0]}): its "
                         "training had failed; give another checkpoint.")
    return state


def saved_epochs(output_dir: str | Path) -> dict[int, Path]:
    """Whole-epoch checkpoints by number of epochs, ascending."""
    found = {int(m[1]): p for p in checkpoint_dir(output_dir).glob("checkpoint_epoch_*.pyth")
             if (m := re.fullmatch(r"checkpoint_epoch_(\d+)\.pyth", p.name))}
    return dict(sorted(found.items()))


class LastCheckpoint(NamedTuple):
    """The furthest state that a run can go on from.

    Attributes:
        path: Its file; None where there is none.
        head: What the file holds besides weights and the optimizer's state.
        damaged: Files that would have come before it, and what is wrong with each.
    """

    path: Path | None
    head: dict[str, Any]
    damaged: dict[Path, str]


def find_last(output_dir: str | Path) -> LastCheckpoint:
    """Find the furthest whole state: an interruption after the last epoch, or that epoch, or one before.

    Where one of these is damaged and none is whole, the best checkpoint, a whole state too, is the last resort.

    Raises:
        ValueError: There are checkpoints, and training can go on from none of them.
    """
    damaged: dict[Path, str] = {}
    heads: dict[Path, dict[str, Any]] = {}

    def is_whole(path: Path, epochs: int = 0) -> bool:
        try:
            heads[path] = {"epoch": epochs - 1, **read_head(path, to_go_on=True)}
        except ValueError as error:
            damaged[path] = str(error).partition(";")[0]
        return path in heads

    # Whole epochs, further steps, and of the same ones an interruption before an epoch:
    reached = {path: (epochs, 0, False) for epochs, path in saved_epochs(output_dir).items()}
    folder = checkpoint_dir(output_dir)
    if os.path.lexists(interrupted := folder / INTERRUPTED) and is_whole(interrupted):
        head = heads[interrupted]
        reached[interrupted] = (head["epoch"] + 1, head.get("step", 0), True)
    for path in sorted(reached, key=reached.__getitem__, reverse=True):
        if path in heads or is_whole(path, reached[path][0]):
            return LastCheckpoint(path, heads[path], damaged)
    if not damaged:
        return LastCheckpoint(None, {}, {})
    if os.path.lexists(best := folder / BEST) and is_whole(best):
        return LastCheckpoint(best, heads[best], damaged)
    raise ValueError(f"{'; '.join(damaged.values())}: no checkpoint in {folder} can be gone on from; remove them to "
                     "start anew, or choose another output folder.")


def read_head(path: str | Path, *, to_go_on: bool = False) -> dict[str, Any]:
    """Check a whole checkpoint, and read what it holds besides weights and the optimizer's state, which is checked too
    where training is ``to_go_on`` from it.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_checkpoint`; or what :func:`out_of_range` finds.
    """
    state = load_checkpoint(path, mapped=True)
    if to_go_on and (bad := out_of_range(state)):
        raise ValueError(f"{bad} in {path}; give another checkpoint.")
    if to_go_on and (bad := malformed(state)):
        raise ValueError(f"{path} is not a checkpoint of Trokens ({bad}); give another one.")
    heavy = ("model_state", "optimizer_state")
    return {key: copy.deepcopy(value) for key, value in state.items() if key not in heavy}  # no part of the file


def out_of_range(state: dict[str, Any]) -> str:
    """Why training cannot go on from a state, or "": weights or moments are not finite, or weights are so large that
    their products overflow."""
    for key, what, most in (("model_state", f"Weights are beyond {MOST:g} or", MOST),
                            ("optimizer_state", "The optimizer's moments are", math.inf)):
        if bad := not_finite(tensors_in(state.get(key)), most):
            return f"{what} not finite ({len(bad)} tensors, the first is {bad[0]})"
    return ""


def malformed(state: dict[str, Any]) -> str:
    """Which entry of a state is not as training here writes it, or ""; another code may use the same keys."""
    for key, is_sound in _SOUND.items():
        if key in state and not is_sound(state[key]):
            return f"its '{key}' is {shown(state[key])}"
    if len(state.get("pending", ())) > state.get("step", 0):
        return f"it has figures of {len(state['pending'])} steps behind step {state.get('step', 0)}"
    return ""


def _is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value < 2**31


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_SOUND: dict[str, Callable[[Any], bool]] = {
    "epoch": lambda value: _is_count(value, -1),
    "step": _is_count,
    "best": lambda value: isinstance(value, dict) and _is_number(value.get("accuracy")) and _is_count(
        value.get("epoch"), -1),
    "pending": lambda value: isinstance(value, list) and all(
        isinstance(step, dict) and all(_is_number(step.get(key)) for key in FIGURES) for step in value),
    "recent": lambda value: isinstance(value, list) and all(_is_count(epochs) for epochs in value),
    "scaler_state": lambda value: value is None or isinstance(value, dict),
}
