"""A trained model by one name, wherever it lies: a file, a run, a published folder, the Hugging Face hub."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trokens.config import load_cfg
from trokens.models.build import build_model
from trokens.models.checkpoint import BEST, checkpoint_dir, find_last, load_checkpoint
from trokens.models.hub import published_model
from trokens.models.published import BACKBONE, WEIGHTS
from trokens.models.trokens import Trokens
from trokens.models.weights import load_weights

HUB = "hf:"


def find_pretrained(name: str | os.PathLike) -> Path:
    """The file of a trained model's weights.

    Args:
        name: A checkpoint or a published ``model.safetensors``; or the OUTPUT_DIR of a run, whose best checkpoint it
            is; or a folder that ``trokens publish`` wrote; or "hf:owner/name", one on the Hugging Face hub.

    Raises:
        FileNotFoundError: The folder holds none, or the hub has no such model or cannot be reached.
        ValueError: None of a run's checkpoints is whole.
    """
    if isinstance(name, str) and name.startswith(HUB):
        return published_model(name.removeprefix(HUB)) / WEIGHTS
    path = Path(name)
    if not path.is_dir() or path.suffix == ".pyth":  # a folder in a file's place: who reads it says so
        return path
    for file in (path / WEIGHTS, path / BEST, checkpoint_dir(path) / BEST):
        if file.is_file():
            return file
    last = find_last(path).path
    if last is None:
        raise FileNotFoundError(f"'{path}' holds no checkpoint; give the folder that OUTPUT_DIR named, one of trokens "
                                "publish, or a file.")
    return last


def from_pretrained(name: str | os.PathLike) -> Trokens:
    """A trained model on the CPU, in eval mode, as the config that is kept with its weights describes it.

    Args:
        name: As :func:`find_pretrained` takes it.

    Raises:
        FileNotFoundError, ValueError: There is none, or it is damaged or keeps no config.
    """
    path = find_pretrained(name)
    return build_pretrained(path, load_checkpoint(path))[1]


def build_pretrained(path: Path, state: Mapping[str, Any]) -> tuple[Any, Trokens]:
    """The config of a checkpoint that was read from ``path``, and its model.

    Raises:
        ValueError: It keeps no config, or lacks parameters of the model.
    """
    cfg = kept_cfg(path, state)
    model = build_model(cfg)
    if missing := load_weights(model, state).missing:
        raise ValueError(f"{path} lacks {len(missing)} parameters of its model (first: {missing[0]}); give a "
                         "checkpoint that training wrote.")
    return cfg, model.eval()


def kept_cfg(path: Path, state: Mapping[str, Any]):
    """The config that a checkpoint keeps, for the CPU, with its number of classes; a backbone that was published with
    the weights is its own.

    Raises:
        ValueError: There is none.
    """
    if not state.get("cfg"):
        raise ValueError(f"{path} keeps no config, so its model cannot be built; give a checkpoint that training "
                         "wrote.")
    overrides: list[Any] = ["NUM_GPUS", 0]
    if path.with_name(BACKBONE).is_file():
        overrides += ["MODEL.BACKBONE_WEIGHTS", str(path.with_name(BACKBONE))]
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "checkpoint.yaml"
        text.write_text(state["cfg"], encoding="utf-8")
        cfg = load_cfg(text, overrides)
    if cfg.MODEL.NUM_CLASSES == 0:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.NUM_CLASSES = len(state["model_state"]["head.bias"])
        cfg.freeze()
    return cfg
