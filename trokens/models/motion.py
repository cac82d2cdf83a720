"""Relational motion: HoD within a trajectory, cross-motion between trajectories, each through an MLP of its own.

Kumar et al., "Trokens: Semantic-Aware Relational Trajectory Tokens for Few-Shot Action Recognition", ICCV 2025
(https://arxiv.org/abs/2508.03695), the motion modules of its method.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from trokens.points.hod import hod, hod_pyramid


def cross_motion(p: Tensor, v: Tensor) -> Tensor:
    """Where all other visible points lie, as seen from each: v_i v_j (p_i - p_j) for point i, concatenated over j.

    The definition; :class:`CrossMotionModule` gives what the layers make of it without forming it.

    Args:
        p: Positions, (B, T, N, 2). A NaN coordinate counts as 0 and invisible.
        v: Visibility, (B, T, N).

    Returns:
        (B, T, N, 2N).
    """
    p, v = _known(p, v)
    relations = v[:, :, :, None] * v[:, :, None] * (p[:, :, :, None] - p[:, :, None])  # (B, T, N, N, 2)
    return rearrange(relations, "b t i j xy -> b t i (j xy)")


def _known(p: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Positions with 0 where they are NaN, (B, T, N, 2), and visibility as 0 or 1 with 0 there, (B, T, N, 1)."""
    known = ~p.isnan().any(-1, keepdim=True)
    return p.where(known, 0.0), (v.bool()[..., None] & known).to(p.dtype)


class MotionMLP(nn.Module):
    """W_2 q(W_1 x + b_1) + b_2 with QuickGELU q(x) = x sigmoid(1.702 x), then LayerNorm in float32.

    The hidden width is 4D. The layers carry their published names.

    Args:
        in_features: Numbers that describe the motion of one point at one frame.
        dim: Width of the tokens, D.
    """

    def __init__(self, in_features: int, dim: int):
        super().__init__()
        self.fc2 = nn.ModuleDict({"c_fc": nn.Linear(in_features, 4 * dim), "c_proj": nn.Linear(4 * dim, dim)})
        self.ln2 = nn.LayerNorm(dim, eps=1e-5)

    def plain(self, x: Tensor) -> Tensor:
        """The definition: (..., in_features) -> (..., D) float32."""
        hidden = self.fc2["c_fc"](x)
        return self.ln2(self.fc2["c_proj"](hidden * torch.sigmoid(1.702 * hidden)).float())

    def embed(self, x: Tensor) -> Tensor:
        """The same, faster."""
        first_weight, first_bias, second_weight = self.folded()
        return self.finish(F.linear(x, first_weight, first_bias), second_weight)

    def folded(self) -> tuple[Tensor, Tensor, Tensor]:
        """The layers with QuickGELU's factor in them: 1.702 W_1, 1.702 b_1 and W_2 / 1.702.

        x sigmoid(1.702 x) is silu(1.702 x) / 1.702. Both factors belong to the small weights: applied to the
        activations, which are the largest tensors of a training step, they would cost six passes over them.
        """
        first, second = self.fc2["c_fc"], self.fc2["c_proj"]
        return 1.702 * first.weight, 1.702 * first.bias, second.weight / 1.702

    def finish(self, hidden: Tensor, second_weight: Tensor) -> Tensor:
        """What follows the first folded layer: (..., 4D) -> (..., D) float32."""
        return self.ln2(F.linear(F.silu(hidden), second_weight, self.fc2["c_proj"].bias).float())


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
    """Relations between trajectories: :func:`cross_motion`, embedded.

    With ``W_j`` the two columns of the first layer that read neighbor j, and c its bias, that layer gives

        sum_j v_i v_j W_j (p_i - p_j) + c = [v_i p_i, v_i, 1] [sum_j v_j W_j; -sum_j v_j W_j p_j; c],

    the row of point i, 4 numbers, times one matrix (4, H) of its frame, H = 4D. So the N x N feature is never formed:
    exact, with about 85 times fewer multiplications at N = 256, and one pass over the layer's output.

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
            raise ValueError(f"num_points is {self.num_points} in the cross-motion module; it cannot read clips of "
                             f"{tracks.shape[2]} points.")
        weight, bias, second_weight = self.folded()
        with torch.autocast(tracks.device.type, enabled=False):  # float32: large sums cancel
            p, v = _known(tracks.float(), visibility)
            # only differences matter, so measure from the visible points' mean: the sums stay small
            p = v * (p - (v * p).sum(2, keepdim=True) / v.sum(2, keepdim=True).clamp(min=1))
            own = v[..., 0] @ rearrange(weight, "h (j xy) -> j (xy h)", xy=2)  # sum_j v_j W_j, axis by axis
            own = rearrange(own, "b t (xy h) -> b t xy h", xy=2)
            others = F.linear(rearrange(p, "b t j xy -> b t 1 (j xy)"), weight)  # sum_j v_j W_j p_j
            of_frame = torch.cat([own, -others, bias.expand_as(others)], dim=2)  # (B, T, 4, H)
            hidden = torch.cat([p, v, torch.ones_like(v)], dim=3) @ of_frame
        return self.finish(hidden, second_weight)
