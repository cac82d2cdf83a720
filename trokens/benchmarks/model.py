"""The model that the figures are about: random weights cost what trained ones do."""

from __future__ import annotations

import torch

from trokens.models.backbone import DinoV2
from trokens.models.trokens import Trokens


def vit_s_model(num_classes: int = 64, **options) -> Trokens:
    """The paper's model with a ViT-S/14: 8 frames, 256 points, all modules on, in eval mode.

    Args:
        num_classes: Classes of the training classifier.
        options: Of :class:`trokens.models.trokens.Trokens`, where they differ.
    """
    torch.manual_seed(0)
    backbone = DinoV2(embed_dim=384, depth=12, num_heads=6)
    return Trokens(num_classes, **({"backbone": backbone, "hod": {}} | options)).eval()
