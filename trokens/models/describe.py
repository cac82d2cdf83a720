"""A model in a table: parameters and floating-point operations of each part."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import Tensor, nn

from trokens.models.trokens import Trokens


class _OfOneClip(nn.Module):
    """A model as fvcore can trace it: tensors in, tensors out."""

    def __init__(self, model: Trokens):
        super().__init__()
        self.model = model

    def forward(self, seen: Tensor, tracks: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.patch_features(seen) if self.model.backbone is not None else seen
        return self.model.encode(features, tracks, visibility, visibility)


def describe_model(model: Trokens, image_size: int = 224) -> str:
    """fvcore's table of a model's parts: shapes, parameters, and multiply-adds for one clip.

    The products of queries, keys and values in attention are not counted, as fvcore does not know them. The model and
    the state of random numbers stay as they are.

    Args:
        model: On any device.
        image_size: Side of the frames in pixels.
    """
    device, frames, points = model.head.weight.device, model.num_frames, model.num_points
    shape = (1, frames, 3, image_size, image_size) if model.backbone is not None else (
        1, frames, model.grid, model.grid, model.feature_dim)
    seen = torch.zeros(shape, dtype=torch.uint8 if model.backbone is not None else torch.float32, device=device)
    tracks = torch.zeros(1, frames, points, 2, device=device)
    is_training = model.training
    logging.getLogger("fvcore").setLevel(logging.ERROR)  # it lists what it does not count, such as additions
    try:
        with torch.no_grad(), torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing, and of what torch will drop
            from fvcore.nn import FlopCountAnalysis, flop_count_table  # takes a moment to import

            visibility = torch.ones_like(tracks[..., 0], dtype=torch.bool)
            counted = FlopCountAnalysis(_OfOneClip(model.eval()), (seen, tracks, visibility))
            counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            return flop_count_table(counted, max_depth=3)
    finally:
        model.train(is_training)
