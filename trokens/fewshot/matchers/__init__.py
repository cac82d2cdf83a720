"""Matchers: compare query clips with class prototypes, token by token. One file of this package adds one.

A matcher is a function (query, proto) -> distances, registered by name: query features (..., Q, L, D) and prototypes
(..., W, L, D) give (..., Q, W), smaller for more similar. It has no parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trokens.fewshot.prototypes import clip_features, prototypes
from trokens.registry import Registry
from trokens.structures import check_choice

__all__ = ["MATCHERS", "NORMS", "clip_features", "match", "pairwise_logits", "prototypes"]

MATCHERS = Registry("matcher", package=__name__)
NORMS = {
    "none": lambda distance: distance,
    "max_div": lambda distance: distance / distance.amax(-1, keepdim=True),
    "max_sub": lambda distance: distance - distance.amax(-1, keepdim=True),
}


def pairwise_logits(query: Tensor, proto: Tensor, norm: str = "none", matcher: str = "bi_mhm") -> Tensor:
    """Logits of query clips against class prototypes; float32 whatever the caller's precision.

    Args:
        query: From :func:`clip_features`, (Q, L, D), or (E, Q, L, D) for E episodes at once.
        proto: From :func:`prototypes`, (W, L, D), or (E, W, L, D).
        norm: "none", "max_div" (divide a query's distances by their maximum) or "max_sub" (subtract it).
        matcher: A name in ``MATCHERS``.

    Returns:
        (Q, W) or (E, Q, W): minus the distance; larger is more similar.
    """
    check_choice("norm", norm, NORMS)
    with torch.autocast(query.device.type, enabled=False):
        return -NORMS[norm](MATCHERS.get(matcher)(query.float(), proto.float()))


def match(query_tokens: Tensor, support_tokens: Tensor, support_way: Tensor, n_way: int = 5,
          aggregation: str = "spatial", norm: str = "none", prototype: str = "published",
          matcher: str = "bi_mhm") -> Tensor:
    """Compare query clips with the classes that the support clips show (the few-shot part of the paper's method).

    Args:
        query_tokens: (Q, T, N, D).
        support_tokens: (S, T, N, D).
        support_way: Class of each support clip within the episode, (S,) long in [0, n_way).
        n_way: Number of classes; each needs a support clip.
        aggregation: "spatial" (one token a frame), "temporal" (one a point) or "no_agg".
        norm: "none", "max_div" or "max_sub".
        prototype: "published" or "per_clip", see :func:`prototypes`.
        matcher: A name in ``MATCHERS``.

    Returns:
        Logits (Q, n_way) float32; larger is more similar.

    Raises:
        ValueError: Shapes that do not fit together, an unknown option, or a class without support.
    """
    if query_tokens.ndim != 4 or query_tokens.shape[1:] != support_tokens.shape[1:]:
        raise ValueError(f"query_tokens are {tuple(query_tokens.shape)} and support_tokens "
                         f"{tuple(support_tokens.shape)}; expected (Q, T, N, D) and (S, T, N, D).")
    if support_way.shape != support_tokens.shape[:1]:
        raise ValueError(f"support_way is {tuple(support_way.shape)}; expected ({len(support_tokens)},), "
                         "one class a support clip.")
    proto = prototypes(support_tokens, support_way, n_way, aggregation, prototype)
    return pairwise_logits(clip_features(query_tokens, aggregation), proto, norm, matcher)
