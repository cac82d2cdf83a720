"""Bi-MHM, the bidirectional mean Hausdorff metric, with sums in place of its means.

Wang et al., "Hybrid Relation Guided Set Matching for Few-shot Action Recognition", CVPR 2022
(https://arxiv.org/abs/2204.13423).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from trokens.fewshot.matchers import MATCHERS
from trokens.fewshot.prototypes import CHUNK


def token_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 - <x, y> / (|x||y| + 0.01) of every pair: (..., L, D) and (..., M, D) -> (..., L, M).

    The 0.01 is the published code's; tokens of zeros have distance 1 to all.
    """
    norms = x.norm(dim=-1)[..., :, None] * y.norm(dim=-1)[..., None, :]
    return 1 - x @ y.transpose(-1, -2) / (norms + 0.01)


def distance_of_two(x: Tensor, y: Tensor) -> Tensor:
    """The definition, for one query clip and one class: every token pays for the nearest token of the other side.

        sum_l min_m d(x_l, y_m) + sum_m min_l d(x_l, y_m)

    Args:
        x: Tokens of the query clip, (L, D).
        y: Tokens of the class, (M, D).

    Returns:
        A scalar.
    """
    d = token_distance(x, y)  # (L, M)
    return d.amin(1).sum() + d.amin(0).sum()


def of_token_distances(reduce: Callable[[Tensor], Tensor], query: Tensor, proto: Tensor) -> Tensor:
    """What ``reduce`` makes of the token distances (..., Q, L, W, M) of all clips and classes, as many clips at once as
    256 MB hold.

    Args:
        reduce: Gives distances (..., Q, W).
        query: (..., Q, L, D).
        proto: (..., W, M, D).
    """
    pairs_of_clip = query.shape[:-3].numel() * query.shape[-2] * proto.shape[-3:-1].numel()
    found = []
    for part in query.split(max(1, CHUNK // pairs_of_clip), dim=-3):
        d = token_distance(rearrange(part, "... q l d -> ... (q l) d"), rearrange(proto, "... w m d -> ... (w m) d"))
        found.append(reduce(rearrange(d, "... (q l) (w m) -> ... q l w m", q=part.shape[-3], w=proto.shape[-3])))
    return torch.cat(found, dim=-2)


@MATCHERS.register("bi_mhm")
def bi_mhm(query: Tensor, proto: Tensor) -> Tensor:
    """:func:`distance_of_two` of every query clip (..., Q, L, D) and class (..., W, M, D): (..., Q, W)."""
    return of_token_distances(lambda d: d.amin(-1).sum(-2) + d.amin(-3).sum(-1), query, proto)
