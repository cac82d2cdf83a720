"""A small model, what it is trained on, and the combinations of its parts."""

import torch

from trokens import Trokens
from trokens.structures import Clips, Episode

WAYS, CLASSES, T, N, S, D = 3, 5, 4, 6, 3, 16
MATCHING = {"aggregation": "spatial", "norm": "none", "prototype": "published", "matcher": "bi_mhm"}


def episode(width: int = D) -> tuple[Episode, torch.Tensor]:
    """A random 3-way 1-shot episode of 9 clips, and patch features for it."""
    g = torch.Generator().manual_seed(0)
    way = torch.tensor([0, 1, 2, 0, 0, 1, 1, 2, 2])
    clips = Clips(video=None, tracks=torch.rand(9, T, N, 2, generator=g) * 2 - 1,
                  visibility=torch.rand(9, T, N, generator=g) > 0.3,
                  query_mask=(torch.arange(T)[:, None] >= torch.arange(N) % T).expand(9, -1, -1),
                  class_id=way + 1, index=torch.arange(9))
    return Episode(clips, way, WAYS, WAYS), torch.randn(9, T, S, S, width, generator=g)


def model(**options) -> Trokens:
    torch.manual_seed(0)
    return Trokens(CLASSES, **({"embed_dim": D, "grid": S, "num_frames": T, "num_points": N, "num_heads": 2,
                                "hod": {"bins": 8}} | options))


COMBINATIONS = {
    "everything": {},
    "appearance alone": {"hod": None, "cross_motion": False},
    "without HoD": {"hod": None},
    "without cross-motion": {"cross_motion": False},
    "motion alone": {"appearance": False},
    "HoD alone": {"appearance": False, "cross_motion": False},
    "cross-motion alone": {"appearance": False, "hod": None},
    "positions at the points": {"base_pos_embed": False},
    "no positions": {"base_pos_embed": False, "point_pos_embed": False},
    "projected features": {"feature_dim": 10},
    "HoD over the clip": {"hod": {"bins": 8, "per_frame": False}},
    "HoD pyramid": {"hod": {"bins": 8, "pyramid_levels": 3}},
    "query mask": {"mask": "query"},
    "visibility mask": {"mask": "visibility"},
    "bilinear": {"sample_mode": "bilinear"},
    "three blocks with every dropout": {"depth": 3, "drop_path": 0.2, "drop": 0.1, "attn_drop": 0.1, "pos_drop": 0.1,
                                        "head_drop": 0.1},
}
