"""Matchers: compare query clips with class prototypes, token by token. No parameters, no cfg."""

from __future__ import annotations

import torch
from torch import Tensor

from trokens.registry import Registry

MATCHERS = Registry("matcher")
AGGREGATIONS = {
    "spatial": lambda tokens: tokens.mean(-2),  # one token a frame
    "temporal": lambda tokens: tokens.mean(-3),  # one token a point
    "no_agg": lambda tokens: tokens.flatten(-3, -2),
}
NORMS = {
    "none": lambda distance: distance,
    "max_div": lambda distance: distance / distance.amax(-1, keepdim=True),
    "max_sub": lambda distance: distance - distance.amax(-1, keepdim=True),
}
PROTOTYPES = ("published", "per_clip")
_CHUNK = 2 ** 26  # pairs of tokens compared at once: 256 MB


def _choice(option: str, value: str, allowed) -> None:
    if value not in allowed:
        raise ValueError(f"{option} is '{value}'; expected one of {', '.join(allowed)}.")


def clip_features(tokens: Tensor, aggregation: str = "spatial") -> Tensor:
    """What of a clip is compared: ReLU, then the mean over points ("spatial"), over frames ("temporal"), or all.

    Args:
        tokens: (..., T, N, D).
        aggregation: "spatial", "temporal" or "no_agg".

    Returns:
        (..., L, D) float32, with L = T, N or T*N.
    """
    _choice("FEW_SHOT.PATCH_TOKENS_AGG", aggregation, AGGREGATIONS)
    return AGGREGATIONS[aggregation](tokens.float().relu())


def class_prototypes(features: Tensor, way: Tensor, n_way: int) -> Tensor:
    """Mean of each class: (S, ...) and (S,) -> (n_way, ...) float32.

    Raises:
        ValueError: A class has no clip, or a clip no class (checked on the CPU only: elsewhere the device would wait).
    """
    if way.device.type == "cpu" and set(way.tolist()) != set(range(n_way)):
        raise ValueError(f"Support clips show classes {sorted(set(way.tolist()))}; {n_way}-way matching needs at least "
                         f"one clip of each of 0 to {n_way - 1} and no other.")
    member = (way[:, None] == torch.arange(n_way, device=way.device)).float()  # (S, W)
    with torch.autocast(features.device.type, enabled=False):
        total = member.T @ features.float().flatten(1)
    return (total / member.sum(0)[:, None]).unflatten(1, features.shape[1:])


def prototypes(support_tokens: Tensor, support_way: Tensor, n_way: int, aggregation: str = "spatial",
               prototype: str = "published") -> Tensor:
    """Class prototypes from support clips.

    Args:
        support_tokens: (S, T, N, D).
        support_way: Class of each clip, (S,) long in [0, n_way).
        prototype: "published" averages the shots point by point before the ReLU, although point n of one clip has
            nothing to do with point n of another; "per_clip" averages what :func:`clip_features` gives. For one
            shot they are the same.

    Returns:
        (n_way, L, D) float32.
    """
    _choice("FEW_SHOT.PROTOTYPE", prototype, PROTOTYPES)
    if prototype == "published":
        return clip_features(class_prototypes(support_tokens, support_way, n_way), aggregation)
    return class_prototypes(clip_features(support_tokens, aggregation), support_way, n_way)


def token_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 - <x, y> / (|x||y| + 0.01) of every pair: (..., I, D) and (..., J, D) -> (..., I, J)."""
    norms = x.norm(dim=-1)[..., :, None] * y.norm(dim=-1)[..., None, :]
    return 1 - x @ y.transpose(-1, -2) / (norms + 0.01)


@MATCHERS.register("bi_mhm")
def bi_mhm(query: Tensor, proto: Tensor) -> Tensor:
    """Bidirectional Hausdorff distance with sums (bidirectional mean Hausdorff metric; HyRSM, CVPR 2022).

    Every query token pays for its nearest class token, every class token for its nearest query token.

    Args:
        query: (..., Q, L, D).
        proto: (..., W, M, D).

    Returns:
        Distances (..., Q, W).
    """
    ways, tokens = proto.shape[-3:-1]
    chunk = max(1, _CHUNK // (query.shape[-2] * ways * tokens * query.shape[:-3].numel()))
    flat, rows = proto.flatten(-3, -2), []
    for part in query.split(chunk, dim=-3):
        pairs = token_distance(part.flatten(-3, -2), flat)  # (..., Q*L, W*M)
        pairs = pairs.unflatten(-1, (ways, tokens)).unflatten(-3, part.shape[-3:-1])  # (..., Q, L, W, M)
        rows.append(pairs.amin(-1).sum(-2) + pairs.amin(-3).sum(-1))
    return torch.cat(rows, dim=-2)


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
    _choice("FEW_SHOT.DIST_NORM", norm, NORMS)
    with torch.autocast(query.device.type, enabled=False):
        return -NORMS[norm](MATCHERS.get(matcher)(query.float(), proto.float()))


def match(query_tokens: Tensor, support_tokens: Tensor, support_way: Tensor, n_way: int = 5,
          aggregation: str = "spatial", norm: str = "none", prototype: str = "published",
          matcher: str = "bi_mhm") -> Tensor:
    """Compare query clips with the classes that the support clips show (section 3 of the paper).

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
