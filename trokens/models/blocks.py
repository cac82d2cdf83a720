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
    """Multi-head self-attention along the first of two axes of tokens, in which masked keys take no part.

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
        """Each of M columns attends within itself.

        Args:
            x: (R, L, M, D); attention runs along L.
            keys: True where a token may be attended to, (R, L, M); None for everywhere.

        Returns:
            (R, L, M, D).
        """
        return self.proj_drop(self.proj(self.attend(x, keys)))

    def attend(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """What :meth:`forward` gives, before the output projection."""
        # three products of one weight, so that columns and heads are neighbors in memory and nothing is copied
        biases = (None,) * 3 if self.qkv.bias is None else self.qkv.bias.chunk(3)
        q, k, v = (F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).flatten(2, 3).transpose(1, 2)
                   for weight, bias in zip(self.qkv.weight.chunk(3), biases, strict=True))  # (R, M*heads, L, d)
        drop = self.attn_drop if self.training else 0.0
        if keys is None:
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        else:
            # a column without any valid key attends everywhere and is then set to zero: no NaN, forward or backward
            some = keys.any(1, keepdim=True)  # (R, 1, M)
            mask = (keys | ~some).transpose(1, 2).repeat_interleave(self.num_heads, 1)  # (R, M*heads, L)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, :, None], dropout_p=drop)
        out = out.transpose(1, 2).reshape(x.shape)
        return out if keys is None else out * some[..., None]


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
            tokens: Trajectory tokens, (B, T, N, D).
            mask: True where a token may be attended to, (B, T, N); None for everywhere.

        Returns:
            The new ``cls`` and ``tokens``, in the same shapes.
        """
        frames, points = tokens.shape[1:3]

        along = self.temporal_attn.attend(self.temporal_norm1(tokens), mask)
        tokens = tokens + self.drop_path(self._project(along))

        scene = torch.cat([cls[:, None].expand(-1, frames, -1, -1), tokens], dim=2)  # (B, T, 1+N, D)
        keys = None if mask is None else F.pad(mask, (1, 0), value=True).flatten(0, 1)[..., None]  # (B*T, 1+N, 1)
        within = self.attn(self.norm1(scene).flatten(0, 1).unsqueeze(2), keys)  # (B*T, 1+N, 1, D)
        of_cls, of_tokens = self.drop_path(within.view_as(scene)).split([1, points], dim=2)
        cls, tokens = cls + of_cls.mean(1), tokens + of_tokens

        x = torch.cat([cls, tokens.flatten(1, 2)], dim=1)  # (B, 1+T*N, D)
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        cls, tokens = x.split([1, frames * points], dim=1)
        return cls, tokens.unflatten(1, (frames, points))

    def _project(self, along: Tensor) -> Tensor:
        """The temporal attention's projection and the layer after it: one layer, where no dropout comes between."""
        attention, layer = self.temporal_attn, self.temporal_fc
        if self.training and attention.proj_drop.p > 0:
            return layer(attention.proj_drop(attention.proj(along)))
        return F.linear(along, layer.weight @ attention.proj.weight, layer(attention.proj.bias))
