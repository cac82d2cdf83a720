"""MoLo's long-short contrast: a clip as a whole is to resemble the single frames of its class.

Wang et al., "MoLo: Motion-augmented Long-short Contrastive Learning for Few-shot Action Recognition", CVPR 2023
(https://arxiv.org/abs/2304.00946). Taken from it: the contrast alone, not the motion decoder. The paper's global
feature is a learned token's; here it is the mean over the frames.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from trokens.fewshot.matchers.bi_mhm import token_distance


def long_short_loss(query: Tensor, proto: Tensor, way: Tensor, temperature: float = 1.0) -> Tensor:
    """With g the mean over frames, and cross-entropies over the classes of the episode:

        a_qc = sum_l d(g(x_q), y_cl)        the query as a whole, frames of the class
        b_qc = sum_l d(g(y_c), x_ql)        the class as a whole, frames of the query
        loss = (CE(-a / tau, way) + CE(-b / tau, way)) / 2

    Args:
        query: Features x of query clips, (Q, L, D).
        proto: Class prototypes y, (W, L, D).
        way: Class of each query, (Q,) long in [0, W).
        temperature: tau.

    Returns:
        A scalar, float32.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, proto = query.float(), proto.float()
        a = token_distance(query.mean(-2), proto.flatten(0, 1)).unflatten(-1, proto.shape[:2]).sum(-1)  # (Q, W)
        b = token_distance(proto.mean(-2), query.flatten(0, 1)).unflatten(-1, query.shape[:2]).sum(-1)  # (W, Q)
        return (F.cross_entropy(-a / temperature, way) + F.cross_entropy(-b.T / temperature, way)) / 2
