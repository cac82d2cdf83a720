"""Where weights come from: Meta's file under TORCH_HOME, the Hugging Face cache, the Hugging Face hub; and published
models go."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import getproxies

import huggingface_hub
import torch
from huggingface_hub import constants

from trokens.models.published import BACKBONE, CONFIG, TRAINING, WEIGHTS

logger = logging.getLogger(__name__)

_HUB_NAMES = {"s": "small", "b": "base", "l": "large", "g": "giant"}
_PROBE_SECONDS = 3.0
_LOCAL_FILE = "give a local file (MODEL.BACKBONE_WEIGHTS, or --backbone_weights of extract_points.py)"


def dino_weights(name: str) -> Path:
    """The weights of a DINOv2 model, for example "dinov2_vitb14_reg": a file that is here, or a download.

    Raises:
        FileNotFoundError: Neither; the message lists the ways to get them.
    """
    plain, file, repo = _dino_places(name)
    meta = Path(torch.hub.get_dir()) / "checkpoints" / file
    return _find(name, repo, f"put https://dl.fbaipublicfiles.com/dinov2/{plain}/{file} at {meta} (TORCH_HOME "
                             "names the folder above), ", meta)


def dino_weights_here(name: str) -> Path | None:
    """The weights of a DINOv2 model where they are on this machine; nothing is asked of the network."""
    _, file, repo = _dino_places(name)
    meta = Path(torch.hub.get_dir()) / "checkpoints" / file
    return meta if meta.is_file() else _cached(repo)


def _dino_places(name: str) -> tuple[str, str, str]:
    """A DINOv2 model's name without registers, Meta's file, and the repository on the Hugging Face hub."""
    plain, is_reg = name.removesuffix("_reg"), name.endswith("_reg")
    size = _HUB_NAMES[plain.removeprefix("dinov2_vit")[0]]
    return (plain, f"{plain}_{'reg4_' if is_reg else ''}pretrain.pth",
            f"timm/vit_{size}_patch14_{'reg4_' if is_reg else ''}dinov2.lvd142m")


def timm_weights(name: str, repo: str | None) -> Path:
    """The weights of a timm model: from the Hugging Face cache, or a download.

    Raises:
        FileNotFoundError: Neither; the message lists the ways to get them.
    """
    if not repo:
        raise FileNotFoundError(f"timm has no pretrained weights for {name}; {_LOCAL_FILE}.")
    return _find(name, repo)


def published_model(repo: str) -> Path:
    """The folder of a published model's files: the newest on the hub, or what was downloaded before where it is silent.

    Args:
        repo: "owner/name".

    Raises:
        FileNotFoundError: There is no such model, or the hub cannot be reached.
    """
    offline = constants.HF_HUB_OFFLINE or not _hub_answers()
    try:
        return Path(huggingface_hub.snapshot_download(repo, allow_patterns=[WEIGHTS, CONFIG, TRAINING, BACKBONE],
                                                      local_files_only=offline))
    except Exception as error:  # the client's errors have no common base class
        why = "it was not downloaded before, and the hub cannot be reached" if offline else _first_line(error)
        raise FileNotFoundError(f"No model hf:{repo} ({why}); give the owner/name of one on https://huggingface.co, or "
                                "a folder.") from error


def can_upload() -> bool:
    """Whether this machine has a token of the Hugging Face hub."""
    return huggingface_hub.get_token() is not None


def upload_model(folder: Path, repo: str) -> str:
    """Upload a published folder, and return its address; the repository is made where there is none.

    Raises:
        RuntimeError: The hub refuses it, or cannot be reached.
    """
    api = huggingface_hub.HfApi()
    try:
        address = str(api.create_repo(repo, exist_ok=True))
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Publish with Trokens")
    except Exception as error:  # as above
        raise RuntimeError(f"{folder} could not be uploaded to {repo} ({_first_line(error)}); the same command tries "
                           "again.") from error
    return address


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _find(name: str, repo: str, other_remedy: str = "", local: Path | None = None) -> Path:
    # Of several processes that start together one downloads, as the hub's client locks its files. They must not wait
    # for each other here: one that has no work needs no backbone.
    path = local if local is not None and local.is_file() else _cached(repo) or _download(repo)
    if path is None:
        raise FileNotFoundError(
            f"No weights for {name} here, and the Hugging Face hub cannot be reached: {other_remedy}"
            f"{_LOCAL_FILE}, or run once with network (or `hf download {repo}`).")
    return path


def _cached(repo: str) -> Path | None:
    found = huggingface_hub.try_to_load_from_cache(repo, "model.safetensors")
    return Path(found) if isinstance(found, str) else None


def _download(repo: str) -> Path | None:
    if constants.HF_HUB_OFFLINE or not _hub_answers():
        return None
    logger.info("Downloading the weights of %s from the Hugging Face hub.", repo)
    try:
        return Path(huggingface_hub.hf_hub_download(repo, "model.safetensors"))
    except Exception as error:  # the client's errors have no common base class
        logger.warning("The download of %s failed: %s", repo, error)
        return None


def _hub_answers() -> bool:
    """Whether the hub (or the proxy on the way) accepts a connection within 3 s; its client waits much longer."""
    url = urlparse(getproxies().get("https") or constants.ENDPOINT)
    answered = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((url.hostname, url.port or 443), timeout=_PROBE_SECONDS).close()
            answered.set()
        except OSError:
            logger.debug("No answer from %s.", url.hostname)

    probe = threading.Thread(target=connect, daemon=True)  # a thread, since looking up a name has no time limit
    probe.start()
    probe.join(_PROBE_SECONDS)
    return answered.is_set()
