"""Divided space-time attention over trajectory tokens.

Bertasius et al., "Is space-time attention all you need for video understanding?", ICML 2021, with a trajectory in
place of a patch position: time is followed along the trajectory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention in which masked keys take no part.

    Args:
        dim: Width of the tokens, D.
        num_heads: Heads; must divide ``dim``.
        qkv_bias: Whether the joint projection to queries, keys and values has a bias.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True, attn_drop: float = 0.0,
                 proj_drop: float = 0.0):
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"Tokens of width {dim} cannot be split into {num_heads} heads; change MF.NUM_HEADS.")
        self.num_heads, self.attn_drop = num_heads, attn_drop
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """(R, L, D) -> (R, L, D); ``keys`` (R, L) is True where a token may be attended to, None for everywhere."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (3, R, heads, L, d)
        drop = self.attn_drop if self.training else 0.0
        if keys is None:
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        else:
            # a row without any valid key attends everywhere and is then set to zero: no NaN, forward or backward
            some = keys.any(-1)[:, None, None, None]
            mask = keys[:, None, None, :] | ~some  # (R, 1, 1, L)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop) * some
        return self.proj_drop(self.proj(out.transpose(1, 2).flatten(2)))


class DividedBlock(nn.Module):
    """Attention along each trajectory, attention within each frame, MLP; all pre-norm residuals.

    Args:
        dim: Width of the tokens, D.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLP over ``dim``.
        qkv_bias: See :class:`Attention`.
        drop: Dropout of projections and MLP.
        attn_drop: Dropout of the attention weights.
        drop_path: Probability of leaving out a clip's residual.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0, qkv_bias: bool = True, drop: float = 0.0,
                 attn_drop: float = 0.0, drop_path: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads, qkv_bias, attn_drop, drop)
        self.temporal_norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.temporal_attn = Attention(dim, num_heads, qkv_bias, attn_drop, drop)
        self.temporal_fc = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(Mlp(dim, int(dim * mlp_ratio), drop=drop))
        self.drop_path = DropPath(drop_path)

    def forward(self, cls: Tensor, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One block.

        Args:
            cls: Class token, (B, 1, D).
            tokens: Trajectory tokens, (B, N, T, D).
            mask: True where a token may be attended to, (B, N, T); None for everywhere.

        Returns:
            The new ``cls`` and ``tokens``, in the same shapes.
        """
        batch, points, frames, _ = tokens.shape

        along = self.temporal_attn(self.temporal_norm1(tokens).flatten(0, 1),  # (B*N, T, D)
                                   None if mask is None else mask.flatten(0, 1))
        tokens = tokens + self.drop_path(self.temporal_fc(along).unflatten(0, (batch, points)))

        scene = torch.cat([cls[:, None].expand(-1, frames, -1, -1), tokens.transpose(1, 2)], dim=2)  # (B, T, 1+N, D)
        keys = None if mask is None else F.pad(mask.transpose(1, 2), (1, 0), value=True).flatten(0, 1)  # (B*T, 1+N)
        within = self.drop_path(self.attn(self.norm1(scene).flatten(0, 1), keys).unflatten(0, (batch, frames)))
        cls = cls + within[:, :, 0].mean(1, keepdim=True)
        tokens = tokens + within[:, :, 1:].transpose(1, 2)

        x = torch.cat([cls, tokens.flatten(1, 2)], dim=1)  # (B, 1+N*T, D)
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x[:, :1], x[:, 1:].unflatten(1, (points, frames))
