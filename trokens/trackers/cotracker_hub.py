"""Where CoTracker comes from: torch.hub, or a local checkout. Its code is never part of this project."""

from __future__ import annotations

import hashlib
import logging
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from multiprocessing import parent_process
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn

from trokens.runtime.tensors import read_torch_file

logger = logging.getLogger(__name__)

REPOSITORY = "facebookresearch/co-tracker:main"  # a named branch: what is in torch.hub's cache needs no network
WEIGHTS = {name: f"https://huggingface.co/facebook/cotracker3/resolve/main/{file}"
           for name, file in (("cotracker3_offline", "scaled_offline.pth"), ("cotracker3_online", "scaled_online.pth"))}


def load_predictor(name: str, source: str = "", weights: str = "") -> tuple[nn.Module, str]:
    """Load a predictor of CoTracker3 (license: CC-BY-NC 4.0, not for commercial use).

    Args:
        name: "cotracker3_offline" or "cotracker3_online".
        source: Folder of a checkout of facebookresearch/co-tracker; "" takes torch.hub's.
        weights: A file; "" takes torch.hub's, ``checkpoints/scaled_offline.pth`` or ``scaled_online.pth``.

    Returns:
        The predictor, and the first 16 digits of its weights' SHA-256.

    Raises:
        FileNotFoundError: A file is not there, and cannot be downloaded.
        ValueError: The file does not hold this model's weights.
    """
    _say_license()
    if source and not (Path(source) / "hubconf.py").is_file():
        raise FileNotFoundError(f"'{source}' is no checkout of facebookresearch/co-tracker: it has no hubconf.py.")
    if weights and not Path(weights).is_file():
        raise FileNotFoundError(f"There is no file '{weights}' of {name}'s weights.")
    hub = Path(torch.hub.get_dir())
    try:
        lock: AbstractContextManager = nullcontext()
        if not (source and weights):
            (hub / "checkpoints").mkdir(parents=True, exist_ok=True)
            lock = FileLock(hub / "cotracker.lock")  # torch.hub unpacks in place
        with lock, torch.random.fork_rng(devices=[]):  # CoTracker's modules seed torch when they are imported
            predictor = torch.hub.load(source or REPOSITORY, name, source="local" if source else "github",
                                       trust_repo=True, skip_validation=True, pretrained=False)
            file = Path(weights) if weights else hub / "checkpoints" / Path(WEIGHTS[name]).name
            if not file.is_file():
                logger.info("Downloading %s.", WEIGHTS[name])
                torch.hub.download_url_to_file(WEIGHTS[name], str(file), progress=False)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(f"{name} cannot be loaded ({error}): run once with network, or give a checkout of "
                                "facebookresearch/co-tracker as source and a local file as weights.") from error
    try:
        state = read_torch_file(file)
        predictor.model.load_state_dict(state.get("model", state))
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} does not hold the weights of {name}: {error}") from error
    return predictor, hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@cache
def _say_license() -> None:
    if parent_process() is None:  # else the process that started this one has said it
        logger.warning("CoTracker's code and weights are licensed under CC-BY-NC 4.0: not for commercial use.")
