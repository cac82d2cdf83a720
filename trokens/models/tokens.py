"""Tokens: feature maps read at points, and means. `Trokens.embed_points` adds position and motion."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

SAMPLE_MODES = ("nearest", "bilinear", "bicubic")


def read_map(maps: Tensor, xy: Tensor, mode: str = "nearest") -> Tensor:
    """Read feature maps at points; outside the map (and at NaN) there is zero.

    Args:
        maps: (M, S, S, D).
        xy: Points in [-1, 1], where -1 and 1 are the centers of the first and last cell, (M, K, 2).
        mode: "nearest", "bilinear" or "bicubic".

    Returns:
        (M, K, D) float32.
    """
    read = F.grid_sample(rearrange(maps, "m y x d -> m d y x").float(), xy[:, None].float().nan_to_num(nan=-9.0),
                         mode=mode, padding_mode="zeros", align_corners=True)
    return rearrange(read, "m d 1 k -> m k d")


def sample_features(patch_features: Tensor, tracks: Tensor, mode: str = "nearest") -> Tensor:
    """Appearance of every point at every frame: (B, T, S, S, D) at (B, T, N, 2) -> (B, T, N, D) float32."""
    read = read_map(patch_features.flatten(0, 1), tracks.flatten(0, 1), mode)
    return rearrange(read, "(b t) n d -> b t n d", b=len(tracks))


def sample_positions(maps: Tensor, tracks: Tensor, mode: str = "nearest") -> Tensor:
    """Position embedding of every point at every frame.

    Reading is linear in the map, so an embedding added to the patch features can be read on its own: one map a frame,
    shared by all clips, in place of one map a clip.

    Args:
        maps: (T, S, S, D), or (1, S, S, D) for one map at all frames.
        tracks: (B, T, N, 2).

    Returns:
        (B, T, N, D) float32.
    """
    batch, frames = tracks.shape[:2]
    if len(maps) == 1:
        read = read_map(maps, rearrange(tracks, "b t n xy -> 1 (b t n) xy"), mode)
        return rearrange(read, "1 (b t n) d -> b t n d", b=batch, t=frames)
    read = read_map(maps, rearrange(tracks, "b t n xy -> t (b n) xy"), mode)
    return rearrange(read, "t (b n) d -> b t n d", b=batch)


def mean_token(tokens: Tensor, keys: Tensor | None) -> Tensor:
    """The mean of a clip's tokens (B, T, N, D) where ``keys`` (B, T, N) is True, or of all: (B, D); 0 of none."""
    if keys is None:
        return tokens.mean((1, 2))
    return (tokens * keys[..., None]).sum((1, 2)) / keys.sum((1, 2)).clamp(min=1)[:, None]
