"""Evaluation: every drawn clip is embedded once, all episodes are scored from that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trokens.clips.loader import loading_from_config
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.config import config_hash
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.matchers import clip_features
from trokens.fewshot.metrics import mean_and_interval
from trokens.fewshot.task import matching_options
from trokens.models.trokens import Trokens
from trokens.reuse.embed import check_rows, embed_clips, embed_into
from trokens.reuse.features import Features, FeatureStore, feature_bytes
from trokens.reuse.row_file import BankFile, bank_key
from trokens.runtime.distributed import (
    available_memory,
    local_world_size,
    merge_rows,
    rank,
    sum_over_processes,
    world_size,
)
from trokens.runtime.progress import progress
from trokens.runtime.shared_memory import kept_bytes
from trokens.structures import Clips

logger = logging.getLogger(__name__)

BANK_DTYPES = {"float": torch.float32, "half": torch.float16}
_DISK_FULL = ("set TEST.BANK_DIR to another folder, TEST.BANK_DTYPE half, or FEW_SHOT.PROTOTYPE per_clip and TEST.BANK "
              "memory")


@dataclass(frozen=True)
class BankOptions:
    """Where embedded clips are kept while, and after, episodes are scored.

    Attributes:
        where: "memory", "disk", or "auto": memory where they take less than half of what is available.
        folder: Of banks on disk.
        dtype: Of the numbers kept.
        options: Hash of the options that tokens depend on.
    """

    where: str = "memory"
    folder: Path = Path("bank")
    dtype: torch.dtype = torch.float32
    options: str = ""

    @classmethod
    def from_config(cls, cfg) -> BankOptions:
        return cls(cfg.TEST.BANK, Path(cfg.TEST.BANK_DIR or Path(cfg.OUTPUT_DIR) / "bank"),
                   BANK_DTYPES[cfg.TEST.BANK_DTYPE], config_hash(cfg, "tokens"))

    def is_on_disk(self, num_bytes: int) -> bool:
        """Whether a bank of this size goes to the disk; every process of a run gets the same answer."""
        if self.where != "auto":
            return self.where == "disk"
        fits = 2 * num_bytes * local_world_size() < available_memory()
        return sum_over_processes(torch.tensor(float(not fits))).item() > 0


class Evaluator:
    """Scores a model on the episodes of one split.

    The episodes depend on the seed and the split's list alone, never on the number of processes.

    Args:
        reader: Reads the split's clips.
        samplers: All episodes, on one process's terms (rank 0 of 1); one for each number of shots.
        split: Name of the split, for log lines and results.
        matching: Options of :func:`trokens.fewshot.matchers.match`.
        device: Where clips are embedded and episodes scored.
        bank: Where embedded clips are kept.
        batch_size: Clips embedded at a time; 0 for 8, or 1 on a CPU, whose cache then holds what a layer computes.
        loading: How the loader works, see :func:`trokens.clips.loader.loading_from_config`.
    """

    def __init__(self, reader: ClipReader, samplers: Sequence[EpisodeSampler], *, split: str,
                 matching: dict[str, str], device: torch.device, bank: BankOptions = BankOptions(),
                 batch_size: int = 0, **loading):
        self.reader, self.split, self.matching, self.device, self.bank = reader, split, matching, device, bank
        self.samplers = {sampler.k_shot: sampler for sampler in samplers}
        self.plans = {k_shot: list(sampler) for k_shot, sampler in self.samplers.items()}
        self.loading = {"batch_size": batch_size or (1 if device.type == "cpu" else 8), **loading}
        self._store: FeatureStore | None = None
        self._features: Features | None = None

    @classmethod
    def from_config(cls, cfg, clips: Sequence[Clip], *, split: str, device: torch.device,
                    k_shots: Sequence[int] = ()) -> Evaluator:
        """Draw the episodes of these numbers of shots, of FEW_SHOT.K_SHOT where none is given."""
        few_shot = cfg.FEW_SHOT
        class_ids = [clip.class_id for clip in clips]
        n_way = few_shot.N_WAY
        if split != cfg.TEST.SPLIT and len(set(class_ids)) < n_way:
            n_way = len(set(class_ids))
            logger.info("Split '%s' has %d classes: its episodes are %d-way.", split, n_way, n_way)
        samplers = [EpisodeSampler.from_config(cfg, class_ids, split=split, n_way=n_way, k_shot=k_shot)
                    for k_shot in dict.fromkeys(k_shots or [few_shot.K_SHOT])]
        return cls(ClipReader.from_config(cfg, clips, augment=False), samplers, split=split,
                   matching=matching_options(cfg), device=device, bank=BankOptions.from_config(cfg),
                   batch_size=cfg.MODEL.BACKBONE_BATCH, **loading_from_config(cfg))

    def shared_bytes(self, model: Trokens) -> int:
        """Shared memory that a validation's loader processes take."""
        with_video = model.appearance and self._store is None
        size = self.reader.batch_bytes(self.loading["batch_size"], with_video=with_video)
        return kept_bytes(size, self.loading.get("num_workers", 0))

    def drawn(self, k_shots: Sequence[int]) -> list[int]:
        """Rows of the split that the episodes of these numbers of shots show, ascending."""
        return sorted({index for k_shot in k_shots for plan in self.plans[k_shot] for index in plan.indices})

    def keep_features(self, model: Trokens, store: FeatureStore) -> bool:
        """Keep a frozen backbone's features between runs, if the store has a place for them; returns whether."""
        size = len(self.drawn(self.plans)) * feature_bytes(model, self.reader.num_frames, self.reader.size)
        self._store = store if store.takes(size) else None
        return self._store is not None

    def run(self, model: Trokens) -> dict[str, Any]:
        """The result for the first number of shots, see :meth:`score`."""
        return self.score(model, list(self.samplers)[:1])[0]

    @torch.no_grad()
    def score(self, model: Trokens, k_shots: Sequence[int]) -> list[dict[str, Any]]:
        """Embed, score, average: a result for each number of shots, from one look at every clip.

        Returns:
            split, accuracy, interval (half width, 95 %), chance, episodes, clips, n_way, k_shot, n_query.
        """
        was_training = model.training
        model.eval()
        bank = self._bank(model, k_shots)
        results = []
        for k_shot in k_shots:
            sampler, plans = self.samplers[k_shot], self.plans[k_shot]
            accuracy = merge_rows(bank.accuracy(plans[rank()::world_size()]), len(plans))
            mean, interval = mean_and_interval(accuracy)
            results.append({"split": self.split, "accuracy": mean, "interval": interval, "chance": 1 / sampler.n_way,
                            "episodes": len(plans), "clips": len(self.drawn([k_shot])), "n_way": sampler.n_way,
                            "k_shot": k_shot, "n_query": sampler.n_query})
        model.train(was_training)
        return results

    def _bank(self, model: Trokens, k_shots: Sequence[int]) -> TokenBank:
        """The smallest form that serves these numbers of shots; on disk all tokens, for whatever is asked later."""
        aggregation, indices = self.matching["aggregation"], self.drawn(k_shots)
        aggregated = all(TokenBank.can_aggregate(k_shot, self.matching["prototype"]) for k_shot in k_shots)
        shape = self.reader.num_frames, self.reader.num_points, model.embed_dim
        kept = clip_features(torch.zeros(shape), aggregation) if aggregated else torch.zeros(shape)
        on_disk = self.bank.is_on_disk(len(indices) * kept.numel() * self.bank.dtype.itemsize)
        embed = self._embedding(model, aggregation if aggregated and not on_disk else None)
        loading = self.loading | {"with_video": model.appearance and self._features is None}
        if on_disk:
            clips, dtype = self.reader.clips, self.bank.dtype
            key = bank_key(model, self.bank.options, clips, shape, dtype)
            file = BankFile(self.bank.folder, self.split, key, clips, shape, dtype, only=True, remedy=_DISK_FULL)
            new = embed_into(file, embed, self.reader, indices, progress=self._progress("Clips"), **loading)
            logger.info("Token bank %s: %d clips embedded, %d were there.", file.data, new, len(indices) - new)
            stored, indices, aggregated = file.values(), range(len(clips)), False
        else:
            stored = embed_clips(embed, self.reader, indices, progress=self._progress("Clips"), **loading)
        if self.device.type == "cuda" and 2 * stored.nbytes < torch.cuda.mem_get_info(self.device)[0]:
            stored = stored.to(self.device)
        return TokenBank(stored, indices, is_aggregated=aggregated, device=self.device,
                         names=[clip.id for clip in self.reader.clips], **self.matching)

    def _embedding(self, model: Trokens, aggregation: str | None) -> Callable[[Clips], Tensor]:
        """Clips to what the bank keeps of them: tokens, or their features where an aggregation is given."""
        if self._store is not None and self._features is None:
            self._features = self._store.compute(model, self.reader, self.drawn(self.plans), name=self.split,
                                                 device=self.device, progress=self._progress("Backbone features"))

        def embed(clips: Clips) -> Tensor:
            features = None
            if self._features is not None:
                features = self._features[clips.index].to(self.device)
            own = [self.reader.clips[index] for index in clips.index.tolist()]
            tokens = model(clips.to(self.device), features)[1].float()  # (B, T, N, D)
            check_rows(tokens, own, "Tokens are", "the weights, or what is read of these clips, are out of range")
            kept = (tokens if aggregation is None else clip_features(tokens, aggregation)).to(self.bank.dtype)
            return check_rows(kept, own, f"In {str(kept.dtype).removeprefix('torch.')} tokens are",
                              "they are too large for it: set TEST.BANK_DTYPE float")

        return embed

    def _progress(self, what: str) -> Callable:
        return lambda batches, total: progress(batches, total, f"{what} of {self.split}")

