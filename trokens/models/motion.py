"""The two motion modules: HoD within a trajectory, cross-motion between trajectories."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trokens.points.hod import hod, hod_pyramid

_GELU = 1.702  # of QuickGELU


class MotionMLP(nn.Module):
    """features -> 4D -> D with QuickGELU, then LayerNorm in float32.

    Args:
        in_features: Numbers that describe the motion of one point at one frame.
        dim: Width of the tokens, D.
    """

    def __init__(self, in_features: int, dim: int):
        super().__init__()
        self.fc2 = nn.ModuleDict({"c_fc": nn.Linear(in_features, 4 * dim), "c_proj": nn.Linear(4 * dim, dim)})
        self.ln2 = nn.LayerNorm(dim, eps=1e-5)

    def embed(self, features: Tensor) -> Tensor:
        """(..., in_features) -> (..., D) float32."""
        layer = self.fc2["c_fc"]
        return self._finish(F.linear(features, _GELU * layer.weight, _GELU * layer.bias))

    def _finish(self, hidden: Tensor) -> Tensor:
        """What follows the first layer, from 1.702 times its output: (..., 4D) -> (..., D) float32.

        QuickGELU, x sigmoid(1.702 x), is silu(1.702 x) / 1.702. Both factors belong to the small weights: applied to
        the activations, which are the largest tensors of a training step, they would cost six passes over them.
        """
        layer = self.fc2["c_proj"]
        return self.ln2(F.linear(F.silu(hidden), layer.weight / _GELU, layer.bias).float())


class HodModule(MotionMLP):
    """Motion within a trajectory: its HoD, embedded.

    Args:
        dim: Width of the tokens, D.
        bins: Directions of the histogram.
        per_frame: Keep frames apart; otherwise every frame gets the sum over the clip.
        pyramid_levels: Levels of a temporal pyramid, which every frame gets in place of the histogram; 0 for none.
        binning: "published" or "linear", see :func:`trokens.points.hod.hod`.
    """

    def __init__(self, dim: int, bins: int = 32, per_frame: bool = True, pyramid_levels: int = 0,
                 binning: str = "published"):
        super().__init__((2 ** pyramid_levels - 1) * bins if pyramid_levels else bins, dim)
        self.bins, self.per_frame, self.pyramid_levels, self.binning = bins, per_frame, pyramid_levels, binning
        self.histogram(torch.zeros(1, 2, 2))  # a bad option fails here, not at the first batch

    def histogram(self, tracks: Tensor) -> Tensor:
        """(..., T, 2) -> (..., T, in_features), or (..., 1, in_features) where all frames share it."""
        if self.pyramid_levels:
            return hod_pyramid(tracks, self.bins, self.pyramid_levels, self.binning).unsqueeze(-2)
        hist = hod(tracks, self.bins, self.per_frame, self.binning)
        return hist if self.per_frame else hist.unsqueeze(-2)

    def forward(self, tracks: Tensor) -> Tensor:
        """(B, T, N, 2) -> (B, T, N, D), or (B, 1, N, D) where all frames share it."""
        return self.embed(self.histogram(tracks.transpose(1, 2)).transpose(1, 2))


class CrossMotionModule(MotionMLP):
    """Relations between trajectories: where every other visible point lies, as seen from each point.

    The feature of point i is the concatenation over all j of ``v_i v_j (p_i - p_j)``, 2N numbers. With ``W_j`` the two
    columns of the first layer that read neighbor j, and c its bias, the layer gives

        sum_j v_i v_j W_j (p_i - p_j) + c = [v_i p_i, v_i, 1] [sum_j v_j W_j; -sum_j v_j W_j p_j; c],

    4 numbers a point times a matrix (4, H) a frame. So the N x N feature is never formed: exact, with about 85 times
    fewer multiplications at N = 256, and one pass over the layer's output.

    Args:
        num_points: Points of a clip, N; the first layer has two columns for each.
        dim: Width of the tokens, D.
    """

    def __init__(self, num_points: int, dim: int):
        super().__init__(2 * num_points, dim)
        self.num_points = num_points

    def forward(self, tracks: Tensor, visibility: Tensor) -> Tensor:
        """(B, T, N, 2) and (B, T, N) -> (B, T, N, D) float32. A NaN coordinate counts as 0 and invisible."""
        if tracks.shape[2] != self.num_points:
            raise ValueError(f"Clips have {tracks.shape[2]} points; the cross-motion module was built for "
                             f"{self.num_points}, set POINT_INFO.NUM_POINTS_TO_SAMPLE accordingly.")
        with torch.autocast(tracks.device.type, enabled=False):  # float32: large sums cancel
            layer = self.fc2["c_fc"]
            weight, bias, xy = _GELU * layer.weight.float(), _GELU * layer.bias.float(), tracks.float()
            known = ~xy.isnan().any(-1)
            v = (visibility.bool() & known).float()[..., None]  # (B, T, N, 1)
            xy = xy.where(known[..., None], 0.0)
            # only differences matter, so measure from the visible points' mean: the sums stay small
            xy = v * (xy - (v * xy).sum(2, keepdim=True) / v.sum(2, keepdim=True).clamp(min=1))
            per_axis = weight.unflatten(1, (-1, 2)).permute(1, 2, 0).flatten(1)  # (N, 2H): row j is W_j
            own = (v[..., 0] @ per_axis).unflatten(-1, (2, -1))  # (B, T, 2, H)
            others = F.linear(xy.flatten(2), weight).unsqueeze(2)  # (B, T, 1, H)
            frame = torch.cat([own, -others, bias.expand_as(others)], dim=2)  # (B, T, 4, H)
            hidden = torch.cat([xy, v, torch.ones_like(v)], dim=3) @ frame
        return self._finish(hidden)
