"""Evaluation: every drawn clip is embedded once, all episodes are scored from that."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from trokens.data.datasets import Clip
from trokens.data.episodes import EpisodeSampler
from trokens.data.loader import ClipReader
from trokens.distributed import merge_rows, rank, world_size
from trokens.engine.loggers import progress
from trokens.fewshot.bank import TokenBank, embed_clips
from trokens.fewshot.matchers import clip_features
from trokens.fewshot.task import matching_options
from trokens.metrics import mean_and_interval
from trokens.models.trokens import Trokens
from trokens.structures import Clips

logger = logging.getLogger(__name__)


class Evaluator:
    """Scores a model on the episodes of one split.

    The episodes depend on the seed and the split's list alone, never on the number of processes.

    Args:
        reader: Reads the split's clips.
        sampler: All episodes, on one process's terms (rank 0 of 1).
        split: Name of the split, for log lines and results.
        matching: Options of :func:`trokens.fewshot.matchers.match`.
        device: Where clips are embedded and episodes scored.
        batch_size: Clips embedded at a time.
        num_workers: Loader processes.
        pin_memory: As for a DataLoader.
    """

    def __init__(self, reader: ClipReader, sampler: EpisodeSampler, *, split: str, matching: dict[str, str],
                 device: torch.device, batch_size: int = 8, num_workers: int = 0, pin_memory: bool = False):
        self.reader, self.split, self.matching, self.device = reader, split, matching, device
        self.sampler = sampler
        self.plans = list(sampler)
        self.indices = sorted({index for plan in self.plans for index in plan.indices})
        self.loading = {"batch_size": batch_size, "num_workers": num_workers, "pin_memory": pin_memory}
        self._keep_features = False
        self._features: Tensor | None = None

    @classmethod
    def from_config(cls, cfg, clips: Sequence[Clip], *, split: str, device: torch.device) -> Evaluator:
        few_shot = cfg.FEW_SHOT
        class_ids = [clip.class_id for clip in clips]
        n_way = few_shot.N_WAY
        if split != cfg.TEST.SPLIT and len(set(class_ids)) < n_way:
            n_way = len(set(class_ids))
            logger.info("Split '%s' has %d classes: its episodes are %d-way.", split, n_way, n_way)
        sampler = EpisodeSampler(class_ids, n_way=n_way, k_shot=few_shot.K_SHOT,
                                 n_query=few_shot.TEST_QUERY_PER_CLASS, num_episodes=few_shot.TEST_EPISODES,
                                 seed=f"{cfg.RNG_SEED}/{split}")
        return cls(ClipReader.from_config(cfg, clips, augment=False), sampler, split=split,
                   matching=matching_options(cfg), device=device, batch_size=cfg.MODEL.BACKBONE_BATCH or 8,
                   num_workers=cfg.DATA_LOADER.NUM_WORKERS, pin_memory=cfg.DATA_LOADER.PIN_MEMORY)

    def keep_features(self, model: Trokens, room: float) -> float:
        """Keep a frozen backbone's features between runs if they fit into ``room`` bytes; returns the bytes taken."""
        size = len(self.indices) * feature_bytes(model, self.reader.num_frames, self.reader.size)
        self._keep_features = 0 < size <= room
        return size if self._keep_features else 0.0

    @torch.no_grad()
    def run(self, model: Trokens) -> dict[str, float | int | str]:
        """Embed, score, average.

        Returns:
            split, accuracy, interval (half width, 95 %), chance, episodes, clips, n_way, k_shot.
        """
        was_training = model.training
        model.eval()
        bank = self._bank(model)
        accuracy = bank.accuracy(self.plans[rank()::world_size()], self.device)
        accuracy = merge_rows(accuracy, len(self.plans))
        model.train(was_training)
        mean, interval = mean_and_interval(accuracy)
        return {"split": self.split, "accuracy": mean, "interval": interval, "chance": 1 / self.sampler.n_way,
                "episodes": len(self.plans), "clips": len(self.indices), "n_way": self.sampler.n_way,
                "k_shot": self.sampler.k_shot, "n_query": self.sampler.n_query}

    def _bank(self, model: Trokens) -> TokenBank:
        aggregated = TokenBank.can_aggregate(self.sampler.k_shot, self.matching["prototype"])
        if self._keep_features and self._features is None:
            self._features = self._embed(lambda clips: model.patch_features(clips.video), "Backbone features")
        row = {index: row for row, index in enumerate(self.indices)}

        def tokens(clips: Clips) -> Tensor:
            features = None
            if self._features is not None:
                features = self._features[[row[index] for index in clips.index.tolist()]].to(self.device)
            tokens = model(clips, features)[1].float()  # (B, T, N, D)
            return clip_features(tokens, self.matching["aggregation"]) if aggregated else tokens

        with_video = model.appearance and self._features is None
        bank = self._embed(tokens, f"Clips of {self.split}", with_video=with_video)
        head = {name: value for name, value in self.matching.items() if name != "prototype"}
        return TokenBank(bank, self.indices, is_aggregated=aggregated, **head)

    def _embed(self, embed, title: str, with_video: bool = True) -> Tensor:
        return embed_clips(lambda clips: embed(clips.to(self.device)), self.reader, self.indices,
                           with_video=with_video, progress=lambda it, total: progress(it, total, title),
                           **self.loading)


def feature_bytes(model: Trokens, num_frames: int, size: int) -> int:
    """Memory for the backbone features of one clip; 0 where there are none to keep (no backbone, or it learns)."""
    if model.dino is None or model.train_backbone:
        return 0
    return 4 * num_frames * model.dino.grid(size) ** 2 * model.dino.embed_dim
