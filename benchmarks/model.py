"""The models that the figures are about, and their head: random weights cost what trained ones do."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from trokens.models.backbone import DinoV2
from trokens.models.trokens import Trokens

MATCHING = {"aggregation": "spatial", "norm": "none", "prototype": "published", "matcher": "bi_mhm"}


def vit_s(depth: int = 12, **options) -> DinoV2:
    """A ViT-S/14 of so many blocks with random weights; the options are those of :class:`DinoV2`.

    Its position embedding makes 4 x 4 large patches, so that clustering finds as many parts as in a picture.
    """
    torch.manual_seed(0)
    backbone = DinoV2(embed_dim=384, depth=depth, num_heads=6, **options)
    torch.nn.init.normal_(backbone.cls_token, std=0.02)  # timm leaves the embeddings to who loads weights
    patches = F.interpolate(torch.randn(1, 384, 4, 4), size=backbone.trained_grid)
    torch.nn.init.normal_(backbone.pos_embed, std=0.02)
    backbone.pos_embed.data[:, 1:] += patches.flatten(2).transpose(1, 2)
    return backbone.eval()


def vit_s_model(backbone: DinoV2, **options) -> Trokens:
    """The paper's model on a ViT-S/14: 8 frames, 256 points, all modules on, but for the options."""
    return Trokens(64, backbone=backbone, **{"hod": {}} | options).eval()
