"""Multi-head attention between rows of features, whatever dimensions stand before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """What each query row gathers from key rows (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762).

    Args:
        dim: Width of the rows, D.
        num_heads: Divides ``dim``.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.heads = nn.MultiheadAttention(dim, num_heads, batch_first=True)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """(..., A, D) from (..., B, D): (..., A, D); the dimensions before are broadcast."""
        lead = torch.broadcast_shapes(query.shape[:-2], keys.shape[:-2])
        query, keys = (rows.expand(*lead, *rows.shape[-2:]).flatten(0, -3) for rows in (query, keys))
        return self.heads(query, keys, keys, need_weights=False)[0].unflatten(0, lead)
