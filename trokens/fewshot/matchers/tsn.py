"""Frame-by-frame alignment: frame l of the query is compared with frame l of the class.

The few-shot form of temporal segment networks (TSN), whose consensus averages what single frames say: Wang et al., ECCV
2016, https://arxiv.org/abs/1608.00859. As Bi-MHM here, it sums over frames where the field takes their mean.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from trokens.fewshot.matchers import MATCHERS
from trokens.fewshot.matchers.bi_mhm import token_distance


def distance_of_two(x: Tensor, y: Tensor) -> Tensor:
    """The definition, for one query clip and one class: sum_l d(x_l, y_l), L times the mean.

    Args:
        x: Tokens of the query clip, (L, D).
        y: Tokens of the class, (L, D).

    Returns:
        A scalar in [0, 2 L].
    """
    return token_distance(x, y).diagonal().sum()


@MATCHERS.register("tsn")
def tsn(query: Tensor, proto: Tensor) -> Tensor:
    """:func:`distance_of_two` of every query clip and class.

    Args:
        query: (..., Q, L, D).
        proto: (..., W, L, D).

    Returns:
        Distances (..., Q, W).
    """
    d = token_distance(rearrange(query, "... q l d -> ... l q d"), rearrange(proto, "... w l d -> ... l w d"))
    return d.sum(-3)
