"""Divided space-time attention over trajectory tokens.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021
(https://arxiv.org/abs/2102.05095), with a trajectory in place of a patch position: time is followed along it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from timm.layers import DropPath, Mlp
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(d)) v, along one of two axes of tokens; masked keys take no part.

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
            raise ValueError(f"num_heads is {num_heads}; tokens of width {dim} cannot be split into so many heads.")
        self.num_heads, self.attn_drop = num_heads, attn_drop
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """Attention along L, apart for each of R rows and M columns.

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
        q, k, v = (rearrange(F.linear(x, weight, bias), "r l m (heads d) -> r (m heads) l d", heads=self.num_heads)
                   for weight, bias in zip(self.qkv.weight.chunk(3), biases, strict=True))
        drop = self.attn_drop if self.training else 0.0
        if keys is None:
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        else:
            # a column without any valid key attends everywhere and is then set to zero: no NaN, forward or backward
            some = keys.any(1, keepdim=True)  # (R, 1, M)
            mask = repeat(keys | ~some, "r l m -> r (m heads) 1 l", heads=self.num_heads)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop)
        out = rearrange(out, "r (m heads) l d -> r l m (heads d)", heads=self.num_heads)
        return out if keys is None else out * some[..., None]


class DividedBlock(nn.Module):
    """Attention along each trajectory, attention within each frame with the class token, MLP; all pre-norm residuals:

        z = z + W temporal_attention(LN(z))
        [c; z] = [c; z] + spatial_attention(LN([c; z])), with a copy of c in each frame; its changes are averaged
        [c; z] = [c; z] + MLP(LN([c; z]))

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
            cls: Class token, (B, 1, D), or none, (B, 0, D).
            tokens: Trajectory tokens, (B, T, N, D).
            mask: True where a token may be attended to, (B, T, N); None for everywhere.

        Returns:
            The new ``cls`` and ``tokens``, in the same shapes.
        """
        tokens = tokens + self.drop_path(self.along_trajectories(self.temporal_norm1(tokens), mask))

        count = cls.shape[1]  # 1, or 0 without a class token
        frame_tokens = torch.cat([repeat(cls, "b c d -> b t c d", t=tokens.shape[1]), tokens], dim=2)  # (B, T, 1+N, D)
        frame_change = self.drop_path(self.within_frames(self.norm1(frame_tokens), mask))
        cls, tokens = cls + frame_change[:, :, :count].mean(1), tokens + frame_change[:, :, count:]

        x = torch.cat([cls, rearrange(tokens, "b t n d -> b (t n) d")], dim=1)
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x[:, :count], rearrange(x[:, count:], "b (t n) d -> b t n d", t=tokens.shape[1])

    def along_trajectories(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Temporal attention, its projection and one more layer: (B, T, N, D) -> (B, T, N, D).

        Without dropout between them, the two linear layers are multiplied into one.
        """
        attention, layer = self.temporal_attn, self.temporal_fc
        if self.training and attention.proj_drop.p > 0:
            return layer(attention(tokens, mask))
        return F.linear(attention.attend(tokens, mask), layer.weight @ attention.proj.weight,
                        layer(attention.proj.bias))

    def within_frames(self, frame_tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Spatial attention of each frame's tokens, the class token first: (B, T, 1+N, D) -> (B, T, 1+N, D)."""
        keys = None
        if mask is not None:
            keys = rearrange(F.pad(mask, (frame_tokens.shape[2] - mask.shape[2], 0), value=True), "b t n -> (b t) n 1")
        out = self.attn(rearrange(frame_tokens, "b t n d -> (b t) n 1 d"), keys)
        return rearrange(out, "(b t) n 1 d -> b t n d", b=len(frame_tokens))
