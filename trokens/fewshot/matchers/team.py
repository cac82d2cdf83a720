"""TEAM, matching without temporal alignment: learned patterns gather what they look for, wherever it is in a clip.

Lee et al., "Temporal Alignment-Free Video Matching for Few-shot Action Recognition", CVPR 2025
(https://arxiv.org/abs/2504.05956). Taken from it: a fixed number of pattern tokens, which gather each clip's features
by cross-attention and are compared one with one, whatever the clips' lengths; and that what all classes of an episode
share is removed. There this is learned; here it is the mean over the support. Left out: further tokens for what sets
a class apart from others, and all losses but the match loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trokens.fewshot.attention import Attention
from trokens.fewshot.matchers import MATCHERS
from trokens.fewshot.matchers.tsn import tsn

SCALE = 4.0  # of the mean over patterns; without what is common, cosines differ by more than 1


@MATCHERS.register("team")
class Team(nn.Module):
    """With learned patterns u_p and the features x of a clip i:

        z_i = u + attention(u, x_i)                            (P, D)
        c   = mean of z over all shots of all classes
        d(q, class) = SCALE mean_p d(z_qp - c_p, z_class,p - c_p)     z_class: mean over the class's shots

    Args:
        dim: Width of the features, D.
        patterns: How many, P.
        num_heads: Of the attention.
    """

    def __init__(self, dim: int, patterns: int, num_heads: int):
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(patterns, dim))
        self.gather = Attention(dim, num_heads)

    @classmethod
    def from_config(cls, cfg, *, dim: int, length: int) -> Team:  # noqa: ARG003 -- any length
        return cls(dim, cfg.FEW_SHOT.TEAM_PATTERNS, cfg.MF.NUM_HEADS)

    def forward(self, query: Tensor, shots: Tensor) -> Tensor:
        """Distances of (..., Q, L, D) and (..., W, K, L, D): (..., Q, W)."""
        query, classes = self.patterns_of(query), self.patterns_of(shots).mean(-3)
        common = classes.mean(-3, keepdim=True)
        return SCALE / len(self.patterns) * tsn(query - common, classes - common)

    def patterns_of(self, clips: Tensor) -> Tensor:
        """z of clips: (..., L, D) -> (..., P, D)."""
        return self.patterns + self.gather(self.patterns, clips)
