"""The features of a clip that are compared, and of a class: all its shots, or their mean, the prototype."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from trokens.structures import check_choice

AGGREGATIONS = {
    "spatial": lambda tokens: tokens.mean(-2),  # one token a frame
    "temporal": lambda tokens: tokens.mean(-3),  # one token a point
    "no_agg": lambda tokens: tokens.flatten(-3, -2),
}
PROTOTYPES = ("published", "per_clip")
CHUNK = 2**26  # numbers gathered or computed at once: 256 MB
_IN_CACHE = 2**18  # the same on a CPU, whose cache then holds them: 1 MB


def clip_features(tokens: Tensor, aggregation: str = "spatial") -> Tensor:
    """The features that are compared: ReLU, then the mean over points ("spatial"), over frames ("temporal"), or all.

    Args:
        tokens: (..., T, N, D).
        aggregation: "spatial", "temporal" or "no_agg".

    Returns:
        (..., L, D) float32, with L = T, N or T*N.
    """
    check_choice("aggregation", aggregation, AGGREGATIONS)
    return AGGREGATIONS[aggregation](tokens.float().relu())


def feature_length(aggregation: str, num_frames: int, num_points: int) -> int:
    """L of :func:`clip_features`."""
    check_choice("aggregation", aggregation, AGGREGATIONS)
    return {"spatial": num_frames, "temporal": num_points, "no_agg": num_frames * num_points}[aggregation]


def shots_of_classes(support_tokens: Tensor, support_way: Tensor, n_way: int, aggregation: str = "spatial") -> Tensor:
    """The features of all shots of each class, in the order of ``support_tokens``.

    Args:
        support_tokens: (S, T, N, D).
        support_way: Class of each clip, (S,) long in [0, n_way); K clips of every class, in any order.

    Returns:
        (n_way, K, L, D) float32.

    Raises:
        ValueError: Classes have other numbers of clips (which clips are whose is checked on the CPU only: elsewhere the
            device would wait).
    """
    counts = support_way.tolist() if support_way.device.type == "cpu" else [i % n_way for i in range(len(support_way))]
    shots = [counts.count(way) for way in range(n_way)]
    if not shots[0] or len(set(shots)) > 1 or sum(shots) < len(support_way):
        raise ValueError(f"support_way gives the classes 0 to {n_way - 1} {shots} of {len(support_way)} clips; a "
                         "matcher that reads all shots needs equally many of each.")
    order = support_way.argsort(stable=True)
    return clip_features(support_tokens[order], aggregation).unflatten(0, (n_way, shots[0]))


def prototypes(support_tokens: Tensor, support_way: Tensor, n_way: int, aggregation: str = "spatial",
               prototype: str = "published") -> Tensor:
    """Class prototypes from support clips (prototypical networks; Snell et al., 2017, https://arxiv.org/abs/1703.05175).

    Args:
        support_tokens: (S, T, N, D).
        support_way: Class of each clip, (S,) long in [0, n_way).
        prototype: "published" averages the shots point by point before the ReLU, although point n of one clip has
            nothing to do with point n of another; "per_clip" averages what :func:`clip_features` gives. For one
            shot they are the same.

    Returns:
        (n_way, L, D) float32.

    Raises:
        ValueError: An unknown option; a class has no clip, or a clip no class (checked on the CPU only: elsewhere the
            device would wait).
    """
    check_choice("prototype", prototype, PROTOTYPES)
    if prototype == "published":
        return clip_features(_class_means(support_tokens, support_way, n_way), aggregation)
    return _class_means(clip_features(support_tokens, aggregation), support_way, n_way)


def _class_means(clips: Tensor, way: Tensor, n_way: int) -> Tensor:
    """Mean of each class: (S, ...) and (S,) -> (n_way, ...) float32."""
    if way.device.type == "cpu" and set(way.tolist()) != set(range(n_way)):
        raise ValueError(f"Support clips show classes {sorted(set(way.tolist()))}; {n_way}-way matching needs at least "
                         f"one clip of each of 0 to {n_way - 1} and no other.")
    member = (way[:, None] == torch.arange(n_way, device=way.device)).float()  # (S, W)
    with torch.autocast(clips.device.type, enabled=False):
        total = member.T @ clips.float().flatten(1)
    return (total / member.sum(0)[:, None]).unflatten(1, clips.shape[1:])


def published_prototypes(tokens: Tensor, shots: Tensor, aggregation: str) -> Tensor:
    """:func:`prototypes` as published, of many classes whose clips lie in one table.

    Every token of every shot is read once, and its sum stays in the processor's cache until it is aggregated:
    frame by frame, unless the aggregation is over frames.

    Args:
        tokens: Of C clips, (C, T, N, D) contiguous.
        shots: Clips of each of P classes, (P, K) long.
        aggregation: As for :func:`clip_features`.

    Returns:
        (P, L, D) float32, where ``tokens`` lie.
    """
    _, frames, points, dim = tokens.shape
    parts = 1 if aggregation == "temporal" else frames
    table = rearrange(tokens, "c (parts t) n d -> (c parts) (t n d)", parts=parts)
    rows = rearrange(shots[:, None] * parts + torch.arange(parts)[:, None], "p parts k -> (p parts) k").to(table.device)
    size = max(1, (_IN_CACHE if table.device.type == "cpu" else CHUNK) // table.shape[1])
    means = (rearrange(F.embedding_bag(some, table, mode="mean"), "r (t n d) -> r t n d", n=points, d=dim)
             for some in rows.split(size))
    features = torch.cat([clip_features(mean, aggregation) for mean in means])  # (P * parts, L / parts, D)
    return rearrange(features, "(p parts) l d -> p (parts l) d", parts=parts)
