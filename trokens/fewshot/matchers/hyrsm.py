"""HyRSM, hybrid relations and set matching: clips are seen in the light of their episode, then compared as sets.

Wang et al., "Hybrid Relation Guided Set Matching for Few-shot Action Recognition", CVPR 2022
(https://arxiv.org/abs/2204.13423). Taken from it: self-attention over the frames of a clip, self-attention over the
episode's clips by their mean frame, both joined by a linear map, prototypes of what comes out, Bi-MHM. Here every
attention and the map are added to what goes in, so that an untrained matcher begins near Bi-MHM; and each query has an
episode of its own, itself and the support, so that queries do not know of each other. Distances are sums, as
:mod:`trokens.fewshot.matchers.bi_mhm` says; the paper has means.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trokens.fewshot.attention import Attention
from trokens.fewshot.matchers import MATCHERS
from trokens.fewshot.matchers.bi_mhm import bi_mhm


@MATCHERS.register("hyrsm")
class Hyrsm(nn.Module):
    """With the frames x of a clip i, of the query q or of the support S:

        a_i = x_i + attention(x_i, x_i)                                        over its frames
        g_i = mean_l a_il
        e_i = g_i + attention(g_i, {g_j, j in {q} and S})                      over the episode's clips
        f_il = a_il + W [a_il, e_i] + b
        d(q, class) = Bi-MHM(f_q, mean of f over the class's shots)

    Args:
        dim: Width of the features, D.
        num_heads: Of both attentions.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.intra, self.inter = Attention(dim, num_heads), Attention(dim, num_heads)
        self.join = nn.Linear(2 * dim, dim)

    @classmethod
    def from_config(cls, cfg, *, dim: int, length: int) -> Hyrsm:  # noqa: ARG003 -- any length
        return cls(dim, cfg.MF.NUM_HEADS)

    def forward(self, query: Tensor, shots: Tensor) -> Tensor:
        """Distances of (..., Q, L, D) and (..., W, K, L, D): (..., Q, W)."""
        ways, num_queries = shots.shape[-4:-2], query.shape[-3]
        clips = torch.cat([query, shots.flatten(-4, -3)], -3)  # (..., Q + S, L, D)
        clips = clips + self.intra(clips, clips)
        query, shots = clips.split([num_queries, ways.numel()], -3)
        support = shots.mean(-2)[..., None, :, :].expand(*query.shape[:-2], -1, -1)  # (..., Q, S, D)
        episode = torch.cat([query.mean(-2)[..., None, :], support], -2)  # (..., Q, 1 + S, D)
        episode = episode + self.inter(episode, episode)
        query = self._joined(query[..., None, :, :], episode[..., :1, :])  # (..., Q, 1, L, D)
        shots = self._joined(shots[..., None, :, :, :], episode[..., 1:, :])  # (..., Q, S, L, D)
        return bi_mhm(query, shots.unflatten(-3, ways).mean(-3))[..., 0, :]

    def _joined(self, frames: Tensor, of_episode: Tensor) -> Tensor:
        """f of frames a (..., L, D) and e (..., D)."""
        of_frame, of_clip = self.join.weight.chunk(2, dim=1)
        return frames + frames @ of_frame.T + (of_episode @ of_clip.T)[..., None, :] + self.join.bias
