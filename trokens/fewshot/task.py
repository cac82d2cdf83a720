"""The training objective of one episode: what DDP wraps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trokens.fewshot.contrast import long_short_loss
from trokens.fewshot.matchers import clip_features, match, prototypes
from trokens.structures import Episode

FIGURES = ("loss", "loss_class", "loss_match", "accuracy")  # of a step, which are logged


class FewShotTask(nn.Module):
    """Embed an episode's clips, match query with support, and add the two losses:

        loss = a CE(class logits / tau, class_id) + b CE(-distances / tau, way)

    The first is over all clips and training classes, the second over query clips and the ways of the episode. Where its
    weight is not 0, MoLo's contrast is added (:mod:`trokens.fewshot.contrast`).

    Args:
        model: Clips to class logits and tokens; its ``matcher``, where it has one, matches.
        matching: Options of :func:`trokens.fewshot.matchers.match`: aggregation, norm, prototype, matcher.
        temperature: tau.
        label_smoothing: Share of the class loss's target that is spread over all classes; 0: plain cross-entropy.
        class_weight: a.
        match_weight: b.
        contrast_weight: Of the contrast.
    """

    def __init__(self, model: nn.Module, *, matching: dict[str, Any], temperature: float = 1.0,
                 label_smoothing: float = 0.1, class_weight: float = 1.0, match_weight: float = 1.0,
                 contrast_weight: float = 0.0):
        super().__init__()
        self.model = model
        self.matching = matching
        self.temperature, self.label_smoothing = temperature, label_smoothing
        self.class_weight, self.match_weight, self.contrast_weight = class_weight, match_weight, contrast_weight

    @classmethod
    def from_config(cls, cfg, model: nn.Module) -> FewShotTask:
        smoothing = cfg.MIXUP.LABEL_SMOOTH_VALUE if cfg.MODEL.LOSS_FUNC == "label_smoothing_cross_entropy" else 0.0
        return cls(model, matching=matching_options(cfg), temperature=cfg.SOLVER.TEMPRATURE,
                   label_smoothing=smoothing, class_weight=cfg.FEW_SHOT.CLASS_LOSS_LAMBDA,
                   match_weight=cfg.FEW_SHOT.Q2S_LOSS_LAMBDA, contrast_weight=cfg.FEW_SHOT.MOLO_LOSS_LAMBDA)

    def forward(self, episode: Episode, patch_features: Tensor | None = None) -> dict[str, Tensor]:
        """Score one episode.

        Args:
            episode: V clips, the support first.
            patch_features: (V, T, S, S, D) where they are known already.

        Returns:
            loss, loss_class, loss_match: scalars; logits: (Q, n_way) float32; accuracy: share of query clips
            whose nearest class is theirs.
        """
        clips, support = episode.clips, episode.num_support
        class_logits, tokens = self.model(clips, patch_features)
        logits = match(tokens[support:], tokens[:support], episode.way[:support], n_way=episode.n_way,
                       **with_own_matcher(self.matching, self.model))
        way = episode.way[support:]
        loss_class = F.cross_entropy(class_logits.float() / self.temperature, clips.class_id,
                                     label_smoothing=self.label_smoothing)
        loss_match = F.cross_entropy(logits / self.temperature, way)
        loss = self.class_weight * loss_class + self.match_weight * loss_match
        if self.contrast_weight:
            aggregation = self.matching["aggregation"]
            proto = prototypes(tokens[:support], episode.way[:support], episode.n_way, aggregation,
                               self.matching["prototype"])
            query = clip_features(tokens[support:], aggregation)
            loss = loss + self.contrast_weight * long_short_loss(query, proto, way, self.temperature)
        return {
            "loss": loss,
            "loss_class": loss_class.detach(),
            "loss_match": loss_match.detach(),
            "logits": logits.detach(),
            "accuracy": (logits.detach().argmax(1) == way).to(torch.float32).mean(),
        }


def matching_options(cfg) -> dict[str, Any]:
    """The keyword arguments of :func:`trokens.fewshot.matchers.match` that a config sets."""
    few_shot = cfg.FEW_SHOT
    return {"aggregation": few_shot.PATCH_TOKENS_AGG, "norm": few_shot.DIST_NORM,
            "prototype": few_shot.PROTOTYPE, "matcher": few_shot.MATCHER}


def with_own_matcher(matching: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """The options of matching with a model's own matcher in place of its name, where it has one."""
    return matching if model.matcher is None else matching | {"matcher": model.matcher}
