"""TRX, temporal-relational cross-transformers: tuples of a query's frames against all tuples of a class's shots.

Perrett et al., "Temporal-Relational CrossTransformers for Few-Shot Action Recognition", CVPR 2021
(https://arxiv.org/abs/2101.06184). Taken from it: ordered tuples of 2 and of 3 frames with positional encoding, linear
maps to keys (with LayerNorm) and values, prototypes by attention. The paper's squared distances are sums over the width
of the values; here they are divided by its square root, so that losses start near those of other matchers.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from einops import rearrange
from torch import Tensor, nn

from trokens.fewshot.matchers import MATCHERS

SIZES = (2, 3)  # frames of a tuple
MOST = 32       # frames; more have more than 5000 tuples of three
AMPLITUDE = 0.1  # of the positional encoding, beside features of order 1


class TupleAttention(nn.Module):
    """Distances by the tuples of one size.

    Args:
        dim: Width of the features, D.
        length: Frames, L.
        width: Of keys and values.
        size: Frames of a tuple.
    """

    def __init__(self, dim: int, length: int, width: int, size: int):
        super().__init__()
        frames = torch.tensor(list(combinations(range(length), size)))
        self.register_buffer("frames", frames, persistent=False)  # (P, size)
        self.key, self.value = nn.Linear(size * dim, width), nn.Linear(size * dim, width)
        self.norm = nn.LayerNorm(width)

    def distance_of_two(self, x: Tensor, shots: Tensor) -> Tensor:
        """The definition, for one query clip and one class. With the tuples p of the query and s of all shots:

            a_ps = softmax_s(LN(K p) . LN(K s) / sqrt(width))
            d    = mean_p |V p - sum_s a_ps V s|^2 / sqrt(width)

        Args:
            x: The query clip, (L, D).
            shots: The class, (K, L, D).

        Returns:
            A scalar.
        """
        root = math.sqrt(self.norm.normalized_shape[0])
        seen = [torch.cat([shot[frame] for frame in chosen]) for shot in shots for chosen in self.frames.tolist()]
        keys, values = (torch.stack(part) for part in zip(*((self.norm(self.key(s)), self.value(s)) for s in seen),
                                                          strict=True))
        distances = []
        for chosen in self.frames.tolist():
            p = torch.cat([x[frame] for frame in chosen])
            attention = (keys @ self.norm(self.key(p)) / root).softmax(0)
            distances.append((self.value(p) - attention @ values).square().sum() / root)
        return torch.stack(distances).mean()

    def forward(self, query: Tensor, shots: Tensor) -> Tensor:
        """:meth:`distance_of_two` of every query clip (..., Q, L, D) and class (..., W, K, L, D): (..., Q, W)."""
        keys, values = (rearrange(self._of_tuples(part, shots), "... k p d -> ... (k p) d")
                        for part in (self.key, self.value))
        keys, root = self.norm(keys), math.sqrt(keys.shape[-1])
        scores = torch.einsum("...qpd,...wsd->...qwps", self.norm(self._of_tuples(self.key, query)), keys) / root
        proto = scores.softmax(-1) @ values[..., None, :, :, :]  # (..., Q, W, P, width)
        apart = self._of_tuples(self.value, query)[..., :, None, :, :] - proto
        return apart.square().sum(-1).mean(-1) / root

    def _of_tuples(self, linear: nn.Linear, clips: Tensor) -> Tensor:
        """A linear map of all tuples: (..., L, D) -> (..., P, width). Each frame is mapped once for each place that it
        may have in a tuple, and a tuple's frames are added up."""
        places = linear.weight.chunk(self.frames.shape[1], dim=1)
        mapped = ((clips @ place.T)[..., frames, :] for place, frames in zip(places, self.frames.T, strict=True))
        return sum(mapped, start=linear.bias)


@MATCHERS.register("trx")
class Trx(nn.Module):
    """The mean of :class:`TupleAttention` over the sizes of tuples.

    Args:
        dim: Width of the features, D.
        length: Frames, L.
        width: Of keys and values; 1152 in the paper.

    Raises:
        ValueError: Fewer frames than a tuple has, or too many to compare all tuples.
    """

    def __init__(self, dim: int, length: int, width: int = 1152):
        super().__init__()
        if not SIZES[-1] <= length <= MOST:
            raise ValueError(f"length is {length}; trx compares all triples of {SIZES[-1]} to {MOST} features, "
                             "such as those of a clip's frames.")
        self.width = width
        self.register_buffer("positions", AMPLITUDE * sinusoids(length, dim), persistent=False)
        self.sizes = nn.ModuleList(TupleAttention(dim, length, width, size) for size in SIZES)

    @classmethod
    def from_config(cls, cfg, *, dim: int, length: int) -> Trx:
        return cls(dim, length, cfg.FEW_SHOT.TRX_WIDTH)

    def forward(self, query: Tensor, shots: Tensor) -> Tensor:
        """Distances of (..., Q, L, D) and (..., W, K, L, D): (..., Q, W)."""
        query, shots = query + self.positions, shots + self.positions
        return torch.stack([size(query, shots) for size in self.sizes]).mean(0)


def sinusoids(length: int, dim: int) -> Tensor:
    """Positional encoding: sines and cosines of l / 10000^(2i/D), (L, D) (Vaswani et al., 2017,
    https://arxiv.org/abs/1706.03762)."""
    angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, dim, 2) / dim)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :dim]
