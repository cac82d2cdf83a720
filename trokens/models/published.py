"""The files of a published model: plain numbers and plain text, the same on every machine.

- ``model.safetensors``: the trained weights, as a checkpoint keeps them: without a frozen backbone.
- ``config.yaml``: the config of the training, without what belongs to a machine.
- ``training.json``: what a checkpoint keeps besides: what it was trained on, epochs, and what tells its backbone.
- ``backbone.safetensors``: the backbone's pretrained weights, only where no name stands for them everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from trokens.models.weights import read_state_dict
from trokens.runtime.files import write_bytes, write_json, write_text

WEIGHTS, CONFIG, TRAINING, BACKBONE = "model.safetensors", "config.yaml", "training.json", "backbone.safetensors"


def write_published(folder: Path, config: str, state: Mapping[str, Any], backbone: Path | None) -> None:
    """Write a model.

    Args:
        folder: Is made.
        config: Of the training, as YAML, without what belongs to a machine.
        state: The checkpoint.
        backbone: File of weights that go with it.

    Raises:
        FileNotFoundError, ValueError: The backbone's file cannot be read.
        WriteError: The disk does not take a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_tensors(folder / WEIGHTS, state["model_state"])
    (folder / BACKBONE).unlink(missing_ok=True)  # of what was published here before
    if backbone is not None:
        _write_tensors(folder / BACKBONE, read_state_dict(backbone))
    write_text(folder / CONFIG, config)
    norms = state.get("backbone")
    write_json(folder / TRAINING, {
        "epoch": state.get("epoch", -1), "backbone": None if norms is None else norms.tolist(),
        "trained": [{**one, "clips": one["clips"].tolist()} for one in state.get("trained") or ()]})


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # A copy of each: what shares memory may not be written.
    write_bytes(path, save({name: value.clone().contiguous() for name, value in tensors.items()}, {"format": "pt"}))


def read_published(path: Path) -> dict[str, Any]:
    """Read a published model as the checkpoint that it was, from its file of weights and those beside it, which may be
    absent.

    Raises:
        FileNotFoundError, ValueError: A file is broken; the message is the cause.
    """
    state: dict[str, Any] = {"model_state": read_state_dict(path)}
    if (config := path.with_name(CONFIG)).is_file():
        state["cfg"] = config.read_text(encoding="utf-8")
    if (training := path.with_name(TRAINING)).is_file():
        try:
            about = json.loads(training.read_text(encoding="utf-8"))
            state["epoch"] = about["epoch"]
            state["trained"] = [{**one, "clips": torch.tensor(one["clips"], dtype=torch.int64)}
                                for one in about["trained"]]
            state["backbone"] = None if about["backbone"] is None else torch.tensor(about["backbone"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{training} beside it is broken") from error
    return state
