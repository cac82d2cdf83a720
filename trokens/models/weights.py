"""Reading weights: from safe files, into a model whose parameters carry the published names."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from trokens.runtime.tensors import not_finite, read_torch_file

logger = logging.getLogger(__name__)

POSITION_EMBEDDINGS = ("space_pos_embed", "time_pos_embed", "spatial_pos_embed")
# which argument of Trokens or HodModule decides a parameter's shape, most specific first
_DECIDED_BY = {
    "cross_motion_module.fc2.c_fc.weight": "num_points", "hod_motion_module.fc2.c_fc.weight": "bins",
    "space_pos_embed": "grid", "spatial_pos_embed": "grid", "time_pos_embed": "num_frames", "head.": "num_classes",
    "blocks.": "mlp_ratio", "dino.": "backbone", "matcher.": "matcher",
}
# and whether it is there
_SWITCHED_BY = {
    ".cross_motion_module.": "cross_motion", ".hod_motion_module.": "hod", ".space_pos_embed": "base_pos_embed",
    ".time_pos_embed": "base_pos_embed", ".spatial_pos_embed": "point_pos_embed", ".blocks.": "depth",
    ".cls_token": "class_token",
    "attn.qkv.bias": "qkv_bias", ".proj.weight": "embed_dim", ".dino.": "train_backbone",
    ".matcher.": "matcher",
}


@dataclass(frozen=True)
class LoadReport:
    """Names of the parameters that were loaded, those the model has but the file lacks, and the reverse."""

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file, or of a PyTorch file without executing anything in it.

    A checkpoint's ``model_state`` (or ``state_dict``, ``model``) is taken out.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is damaged, holds more than tensors and plain values, or numbers that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No weights at {path}.")
    try:
        _check_blob(path.resolve())
        content = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else read_torch_file(path)
    except (ValueError, OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} is not a file of weights, is damaged, or holds more than tensors and plain values: "
                         f"{error}") from error
    state = _model_state(content)
    check_weights(state, path)
    return state


def _check_blob(path: Path) -> None:
    """Compare a file of the Hugging Face cache with its name, its SHA-256; weights there have no other check sum."""
    if path.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", path.name):
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while part := file.read(2**20):
                digest.update(part)
        if digest.hexdigest() != path.name:
            raise ValueError("it is not what was downloaded; remove it and download it again")


def check_weights(state: Mapping[str, Tensor], source: str | Path) -> None:
    """Check that a network can be computed with weights.

    Raises:
        ValueError: Some are not finite; the message names ``source`` and the first such tensor.
    """
    if bad := not_finite(state.items()):
        raise ValueError(f"{source} holds weights that are not finite ({len(bad)} tensors, the first is {bad[0]}); "
                         "give other ones.")


def _model_state(checkpoint: Mapping) -> dict[str, Tensor]:
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"Weights are a {type(checkpoint).__name__}; expected a state dict or a checkpoint with one.")
    for key in ("model_state", "state_dict", "model"):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    return {key.removeprefix("module."): value for key, value in checkpoint.items() if isinstance(value, Tensor)}


def load_weights(model: nn.Module, state_dict_or_path: Mapping | str | Path) -> LoadReport:
    """Load weights of ours or of the published code into a model from :func:`trokens.build_model`.

    The report and one log line say what was missing or unexpected. A position embedding that this model does not use
    is neither; nor is a backbone: checkpoints leave a frozen one out, and a model may have been built without.

    Args:
        model: A :class:`trokens.Trokens`.
        state_dict_or_path: A state dict, a checkpoint that holds one, or a path to either (.pyth, .pth, .safetensors).
            ``dino.*`` may have Meta's key format or timm's.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A tensor has another shape than the model's or numbers that are not finite, or nothing in the
            source belongs to the model.
    """
    if isinstance(state_dict_or_path, str | Path):
        state, source = read_state_dict(state_dict_or_path), str(state_dict_or_path)
    else:
        state, source = _model_state(state_dict_or_path), "The source"
    state = _convert_backbone(model, state)
    own = model.state_dict()
    fits = {key: value for key, value in state.items() if key in own}
    check_weights(fits, source)
    if not any(not key.startswith("dino.") for key in fits):
        raise ValueError(f"The source has none of the model's parameters; it has "
                         f"{', '.join(list(state)[:3]) or 'no tensors'}, the model has {', '.join(list(own)[:3])}; "
                         "give weights of this model.")
    odd = [key for key in own if key in fits and fits[key].is_floating_point() != own[key].is_floating_point()]
    if odd:
        raise ValueError(f"{odd[0]} has numbers of {fits[odd[0]].dtype} in the source and of {own[odd[0]].dtype} in "
                         f"the model ({len(odd)} such parameters); give weights that were not converted.")
    wrong = [key for key in own if key in fits and fits[key].shape != own[key].shape]
    if wrong:
        # where nearly everything differs the width does, so name the class token first
        key = "cls_token" if "cls_token" in wrong else wrong[0]
        argument = next((argument for part, argument in _DECIDED_BY.items() if key.startswith(part)), "embed_dim")
        raise ValueError(f"{argument} is not what the source was trained with: {key} is {tuple(fits[key].shape)} in "
                         f"the source and {tuple(own[key].shape)} in the model ({len(wrong)} such parameters).")
    model.load_state_dict(fits, strict=False)
    has_frozen = model.backbone is not None and not model.train_backbone
    missing = [key for key in own if key not in fits and not (has_frozen and key.startswith("dino."))]
    unexpected = [key for key in state if key not in own and key not in POSITION_EMBEDDINGS]
    logger.info("Loaded %d tensors; missing: %s; unexpected: %s.", len(fits), ", ".join(missing) or "none",
                ", ".join(unexpected) or "none")
    return LoadReport(list(fits), missing, unexpected)


def _convert_backbone(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring ``dino.*`` to the key format of the model's backbone, or drop it where there is no backbone."""
    rest = {key: value for key, value in state.items() if not key.startswith("dino.")}
    dino = {key.removeprefix("dino."): value for key, value in state.items() if key.startswith("dino.")}
    if dino and model.backbone is not None:
        rest |= {f"dino.{key}": value for key, value in model.backbone.convert(dino).items()}
    return rest


def backbone_norms(model: nn.Module) -> Tensor | None:
    """What tells a frozen backbone from others, whatever file it came from: the L2 norm of each of its tensors, (K,)
    on the CPU. None where there is none, or where it is trained."""
    if model.backbone is None or model.train_backbone:
        return None
    return torch.stack([x.float().norm() for x in model.backbone.state_dict().values() if x.is_floating_point()]).cpu()


def misfit(missing: Sequence[str], unexpected: Sequence[str], keys: Mapping[str, str]) -> str:
    """What weights and a model do not share, and which arguments make them do, for an error's sentence.

    Args:
        missing, unexpected: Of a :class:`LoadReport`.
        keys: Argument -> the option that a user of configs sets.
    """
    parts = []
    for what, names in (("they lack {} parameters of the model", missing),
                        ("the model leaves out {} of their parameters", unexpected)):
        if names:
            arguments = {argument: None for name in names for part, argument in _SWITCHED_BY.items()
                         if part in (".dino." if name.startswith("dino.") else f".{name}")}
            shown = ", ".join(f"{argument} ({keys[argument]})" for argument in arguments)
            parts.append(f"{what.format(len(names))} (the first is {names[0]}); set "
                         f"{shown or 'the arguments of the model'} as in their training")
    return ", and ".join(parts)
