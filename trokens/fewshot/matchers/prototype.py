"""Prototypes without time: the mean over a clip's frames is compared with that of the class.

Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017 (https://arxiv.org/abs/1703.05175), who use
the squared Euclidean distance.
"""

from __future__ import annotations

from torch import Tensor

from trokens.fewshot.matchers import MATCHERS
from trokens.fewshot.matchers.bi_mhm import token_distance


@MATCHERS.register("prototype_cosine")
def prototype_cosine(query: Tensor, proto: Tensor) -> Tensor:
    """L (1 - cosine) of the means over frames: what :func:`trokens.fewshot.matchers.tsn.tsn` gives for still clips.

    Args:
        query: (..., Q, L, D).
        proto: (..., W, L, D).

    Returns:
        Distances (..., Q, W) in [0, 2 L].
    """
    return query.shape[-2] * token_distance(query.mean(-2), proto.mean(-2))


@MATCHERS.register("prototype_squared")
def prototype_squared(query: Tensor, proto: Tensor) -> Tensor:
    """|x - y|^2 / sqrt(D) of the means over frames, x and y.

    The paper has |x - y|^2; without the root, which keeps the logits within what a softmax takes well, distances of
    Trokens' tokens are about 100.

    Args:
        query: (..., Q, L, D).
        proto: (..., W, L, D).

    Returns:
        Distances (..., Q, W).
    """
    return (query.mean(-2)[..., :, None, :] - proto.mean(-2)[..., None, :, :]).square().sum(-1) / query.shape[-1] ** 0.5
