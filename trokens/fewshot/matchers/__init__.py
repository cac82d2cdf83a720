"""Matchers: compare query clips with classes, token by token. One file of this package adds one, registered by name.

A matcher is one of two things. Its distances are smaller for more similar.

- A function (query, proto) -> distances, without parameters: query features (..., Q, L, D) and class prototypes
  (..., W, L, D) give (..., Q, W).
- An nn.Module class that reads all shots: ``forward(query, shots)`` makes of (..., Q, L, D) and (..., W, K, L, D)
  distances (..., Q, W), and ``from_config(cfg, dim=D, length=L)`` builds it. It is a part of the model,
  ``model.matcher``. Where it computes something wider than D for pairs of features, its ``width`` says how wide.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trokens.fewshot.prototypes import clip_features, feature_length, prototypes, shots_of_classes
from trokens.registry import Registry
from trokens.structures import check_choice

__all__ = ["MATCHERS", "NORMS", "build_matcher", "clip_features", "match", "pairwise_logits", "prototypes",
           "reads_shots"]

MATCHERS = Registry("matcher", package=__name__)
NORMS = {
    "none": lambda distance: distance,
    "max_div": lambda distance: distance / distance.amax(-1, keepdim=True),
    "max_sub": lambda distance: distance - distance.amax(-1, keepdim=True),
}


def build_matcher(cfg, dim: int) -> nn.Module | None:
    """The matcher of a config for features of width ``dim``, with random weights; None where it is a function."""
    matcher = MATCHERS.get(cfg.FEW_SHOT.MATCHER)
    if not isinstance(matcher, type):
        return None
    length = feature_length(cfg.FEW_SHOT.PATCH_TOKENS_AGG, cfg.DATA.NUM_FRAMES, cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE)
    build: Any = matcher
    return build.from_config(cfg, dim=dim, length=length)


def reads_shots(matcher: str | nn.Module) -> bool:
    """Whether a matcher reads all shots of a class, not its prototype.

    Raises:
        ValueError: An unknown name, or that of a matcher with parameters, which a name alone does not give.
    """
    if isinstance(matcher, nn.Module):
        return True
    if isinstance(MATCHERS.get(matcher), type):
        raise ValueError(f"matcher is '{matcher}', which has parameters; give the module, such as model.matcher.")
    return False


def pairwise_logits(query: Tensor, proto: Tensor, norm: str = "none", matcher: str | nn.Module = "bi_mhm") -> Tensor:
    """Logits of query clips against classes; float32 whatever the caller's precision.

    Args:
        query: From :func:`clip_features`, (Q, L, D), or (E, Q, L, D) for E episodes at once.
        proto: From :func:`prototypes`, (W, L, D), or (E, W, L, D); for a matcher that reads shots these, from
            :func:`trokens.fewshot.prototypes.shots_of_classes`, (W, K, L, D) or (E, W, K, L, D).
        norm: "none", "max_div" (divide a query's distances by their maximum) or "max_sub" (subtract it).
        matcher: The name of a function in ``MATCHERS``, or a module.

    Returns:
        (Q, W) or (E, Q, W): minus the distance; larger is more similar.
    """
    check_choice("norm", norm, NORMS)
    with torch.autocast(query.device.type, enabled=False):
        distances: Any = matcher if reads_shots(matcher) else MATCHERS.get(str(matcher))
        return -NORMS[norm](distances(query.float(), proto.float()))


def match(query_tokens: Tensor, support_tokens: Tensor, support_way: Tensor, n_way: int = 5,
          aggregation: str = "spatial", norm: str = "none", prototype: str = "published",
          matcher: str | nn.Module = "bi_mhm") -> Tensor:
    """Compare query clips with the classes that the support clips show (the few-shot part of the paper's method).

    Args:
        query_tokens: (Q, T, N, D).
        support_tokens: (S, T, N, D).
        support_way: Class of each support clip within the episode, (S,) long in [0, n_way).
        n_way: Number of classes; each needs a support clip.
        aggregation: "spatial" (one token a frame), "temporal" (one a point) or "no_agg".
        norm: "none", "max_div" or "max_sub".
        prototype: "published" or "per_clip", see :func:`prototypes`.
        matcher: The name of a function in ``MATCHERS``, or a module such as ``model.matcher``; that reads all shots, so
            ``prototype`` plays no part, and every class needs equally many.

    Returns:
        Logits (Q, n_way) float32; larger is more similar.

    Raises:
        ValueError: Shapes that do not fit together, an unknown option, a class without support, or for a module classes
            with different numbers of shots.
    """
    if query_tokens.ndim != 4 or query_tokens.shape[1:] != support_tokens.shape[1:]:
        raise ValueError(f"query_tokens are {tuple(query_tokens.shape)} and support_tokens "
                         f"{tuple(support_tokens.shape)}; expected (Q, T, N, D) and (S, T, N, D).")
    if support_way.shape != support_tokens.shape[:1]:
        raise ValueError(f"support_way is {tuple(support_way.shape)}; expected ({len(support_tokens)},), "
                         "one class a support clip.")
    if reads_shots(matcher):
        proto = shots_of_classes(support_tokens, support_way, n_way, aggregation)
    else:
        proto = prototypes(support_tokens, support_way, n_way, aggregation, prototype)
    return pairwise_logits(clip_features(query_tokens, aggregation), proto, norm, matcher)
