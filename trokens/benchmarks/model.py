"""The models that the figures are about: random weights cost what trained ones do."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from trokens.models.backbone import DinoV2
from trokens.models.trokens import Trokens


def random_vit_s(depth: int = 12, **options) -> DinoV2:
    """A ViT-S/14 with random weights, in eval mode.

    Its position embedding makes 4 x 4 large patches, so that clustering finds as many parts as in a picture.

    Args:
        depth: Blocks.
        options: Of :class:`DinoV2`.
    """
    torch.manual_seed(0)
    backbone = DinoV2(embed_dim=384, depth=depth, num_heads=6, **options)
    for parameter in backbone.parameters():
        if parameter.ndim > 1:
            torch.nn.init.trunc_normal_(parameter, std=0.02)
    patches = F.interpolate(torch.randn(1, 384, 4, 4), size=backbone.trained_grid)
    backbone.pos_embed.data[:, 1:] = patches.flatten(2).transpose(1, 2)
    return backbone.eval()


def vit_s_model(num_classes: int = 64, **options) -> Trokens:
    """The paper's model with a ViT-S/14: 8 frames, 256 points, all modules on, in eval mode.

    Args:
        num_classes: Classes of the training classifier.
        options: Of :class:`trokens.models.trokens.Trokens`, where they differ.
    """
    options = {"hod": {}} | options
    return Trokens(num_classes, backbone=options.pop("backbone", None) or random_vit_s(), **options).eval()
