"""Evaluation: embed every clip of the episodes once, and score all episodes from that."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trokens.clips.split import Clip
from trokens.config import config_hash
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodePlan, EpisodeSampler
from trokens.fewshot.matchers import clip_features
from trokens.fewshot.metrics import mean_and_interval
from trokens.fewshot.task import matching_options
from trokens.reuse.embed import ClipEmbedder
from trokens.reuse.row_file import RowFile, row_key
from trokens.runtime.distributed import local_world_size, merge_rows, rank, sum_over_processes, world_size
from trokens.runtime.machine import available_memory
from trokens.structures import Clips

logger = logging.getLogger(__name__)

BANK_DTYPES = {"float": torch.float32, "half": torch.float16}
_IF_FULL = ("set TEST.BANK_DIR to another folder, TEST.BANK_DTYPE half, or FEW_SHOT.PROTOTYPE per_clip and TEST.BANK "
            "memory")


@dataclass(frozen=True)
class BankOptions:
    """Where embedded clips are kept while, and after, episodes are scored.

    Attributes:
        where: "memory", "disk", or "auto": memory where they take less than half of what is available.
        folder: Folder of the banks on disk.
        dtype: Type of the numbers that are kept.
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


@dataclass(frozen=True)
class Evaluator:
    """Scores a model on the episodes of one split.

    The episodes depend on the seed and the split's list alone, never on the number of processes.

    Attributes:
        split: Name of the split, for log lines and results.
        samplers: What drew the episodes of each number of shots, as for a single process.
        plans: All of these episodes.
        matching: Options of :func:`trokens.fewshot.matchers.match`.
        bank: Where embedded clips are kept.
    """

    split: str
    samplers: dict[int, EpisodeSampler]
    plans: dict[int, list[EpisodePlan]]
    matching: dict[str, str]
    bank: BankOptions = BankOptions()

    @classmethod
    def from_config(cls, cfg, clips: Sequence[Clip], *, split: str, k_shots: Sequence[int] = ()) -> Evaluator:
        """Draw the episodes of these numbers of shots, of FEW_SHOT.K_SHOT where none is given."""
        class_ids, n_way = [clip.class_id for clip in clips], cfg.FEW_SHOT.N_WAY
        if split != cfg.TEST.SPLIT and len(set(class_ids)) < n_way:
            n_way = len(set(class_ids))
            logger.info("Split '%s' has %d classes: its episodes are %d-way.", split, n_way, n_way)
        samplers = {k_shot: EpisodeSampler.from_config(cfg, class_ids, split=split, n_way=n_way, k_shot=k_shot)
                    for k_shot in dict.fromkeys(k_shots or [cfg.FEW_SHOT.K_SHOT])}
        plans = {k_shot: list(sampler) for k_shot, sampler in samplers.items()}
        return cls(split, samplers, plans, matching_options(cfg), BankOptions.from_config(cfg))

    def shown(self, k_shots: Sequence[int] = ()) -> list[int]:
        """Rows of the clips in the episodes of these numbers of shots, of all where none is given, ascending."""
        return sorted({row for k_shot in k_shots or self.plans for plan in self.plans[k_shot] for row in plan.indices})

    def run(self, embedder: ClipEmbedder) -> dict[str, Any]:
        """The result for the first number of shots, see :meth:`score`."""
        return self.score(embedder, list(self.samplers)[:1])[0]

    @torch.no_grad()
    def score(self, embedder: ClipEmbedder, k_shots: Sequence[int]) -> list[dict[str, Any]]:
        """Embed, score, average: a result for each number of shots, from one look at every clip.

        Returns:
            split, accuracy, interval (half width, 95 %), chance, episodes, clips, n_way, k_shot, n_query.
        """
        was_training = embedder.model.training
        embedder.model.eval()
        bank = self._bank(embedder, k_shots)
        results = []
        for k_shot in k_shots:
            sampler, plans = self.samplers[k_shot], self.plans[k_shot]
            accuracy = merge_rows(bank.accuracy(plans[rank()::world_size()]), len(plans))
            mean, interval = mean_and_interval(accuracy)
            results.append({"split": self.split, "accuracy": mean, "interval": interval, "chance": 1 / sampler.n_way,
                            "episodes": len(plans), "clips": len(self.shown([k_shot])), "n_way": sampler.n_way,
                            "k_shot": k_shot, "n_query": sampler.n_query})
        embedder.model.train(was_training)
        return results

    def _bank(self, embedder: ClipEmbedder, k_shots: Sequence[int]) -> TokenBank:
        """The smallest bank that serves these numbers of shots; on disk all tokens, for whatever is asked later."""
        aggregation = self.matching["aggregation"]
        rows: Sequence[int] = self.shown(k_shots)
        aggregated = all(TokenBank.can_aggregate(k_shot, self.matching["prototype"]) for k_shot in k_shots)
        clips, dtype, device = embedder.reader.clips, self.bank.dtype, embedder.device
        reader: Any = embedder.reader  # never one of augmented views
        shape = reader.num_frames, reader.num_points, embedder.model.embed_dim
        one = clip_features(torch.zeros(shape), aggregation) if aggregated else torch.zeros(shape)
        on_disk = self.bank.is_on_disk(len(rows) * one.numel() * dtype.itemsize)

        def embed(batch: Clips) -> Tensor:
            tokens = embedder.tokens(batch)  # (B, T, N, D)
            kept = (clip_features(tokens, aggregation) if aggregated and not on_disk else tokens).to(dtype)
            return embedder.checked(kept, batch, f"In {str(dtype).removeprefix('torch.')} tokens are",
                                    "they are too large for it: set TEST.BANK_DTYPE float")

        if on_disk:
            key = row_key(embedder.model, self.bank.options, clips, shape, dtype)
            file = RowFile(self.bank.folder, self.split, key, clips, shape, dtype, replaces=True, if_full=_IF_FULL)
            new = embedder.fill(file, embed, rows)
            logger.info("Token bank %s: %d clips embedded, %d were there.", file.data, new, len(rows) - new)
            stored, rows, aggregated = file.values(), range(len(clips)), False
        else:
            stored = embedder.collect(embed, rows)
        if device.type == "cuda" and 2 * stored.nbytes < torch.cuda.mem_get_info(device)[0]:
            stored = stored.to(device)
        return TokenBank(stored, rows, is_aggregated=aggregated, device=device, names=[clip.id for clip in clips],
                         **self.matching)
