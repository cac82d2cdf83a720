"""Evaluation: embed every clip of the episodes once, and score all episodes from that."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trokens.clips.split import Clip
from trokens.config import config_hash
from trokens.engine.data import final_split
from trokens.engine.outcome_files import read_plans
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodePlan, EpisodeSampler
from trokens.fewshot.matchers import clip_features
from trokens.fewshot.metrics import mean_and_interval
from trokens.fewshot.outcomes import Outcomes
from trokens.fewshot.task import matching_options, with_own_matcher
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
        plans: The episodes of each number of shots, all of one shape, as for a single process.
        matching: Options of :func:`trokens.fewshot.matchers.match`.
        bank: Where embedded clips are kept.
    """

    split: str
    plans: dict[int, list[EpisodePlan]]
    matching: dict[str, Any]
    bank: BankOptions = BankOptions()

    @classmethod
    def from_config(cls, cfg, clips: Sequence[Clip], *, split: str, k_shots: Sequence[int] = ()) -> Evaluator:
        """Draw the episodes of these numbers of shots, of FEW_SHOT.K_SHOT where none is given; those of the split that
        gives the result may be read from TEST.EPISODES.

        Raises:
            ValueError: The file does not fit the split and its shots.
        """
        k_shots = list(dict.fromkeys(k_shots or [cfg.FEW_SHOT.K_SHOT]))
        matching, bank = matching_options(cfg), BankOptions.from_config(cfg)
        if cfg.TEST.EPISODES and split == final_split(cfg):
            return cls(split, read_plans(cfg.TEST.EPISODES, clips, k_shots), matching, bank)
        class_ids, n_way = [clip.class_id for clip in clips], cfg.FEW_SHOT.N_WAY
        if split != cfg.TEST.SPLIT and len(set(class_ids)) < n_way:
            n_way = len(set(class_ids))
            logger.info("Split '%s' has %d classes: its episodes are %d-way.", split, n_way, n_way)
        plans = {k_shot: list(EpisodeSampler.from_config(cfg, class_ids, split=split, n_way=n_way, k_shot=k_shot))
                 for k_shot in k_shots}
        return cls(split, plans, matching, bank)

    def shown(self, k_shots: Sequence[int] = ()) -> list[int]:
        """Rows of the clips in the episodes of these numbers of shots, of all where none is given, ascending."""
        return sorted({row for k_shot in k_shots or self.plans for plan in self.plans[k_shot] for row in plan.indices})

    def run(self, embedder: ClipEmbedder) -> dict[str, Any]:
        """The result for the first number of shots, see :meth:`result`."""
        k_shot = next(iter(self.plans))
        return self.result(self.answer(embedder, [k_shot])[0])

    @torch.no_grad()
    def answer(self, embedder: ClipEmbedder, k_shots: Sequence[int]) -> list[Outcomes]:
        """Embed every clip once, and answer the queries of each number of shots; the same in every process."""
        was_training = embedder.model.training
        embedder.model.eval()
        bank, clips, found = self._bank(embedder, k_shots), embedder.reader.clips, []
        ids, names = [clip.id for clip in clips], [clip.class_name for clip in clips]
        for k_shot in k_shots:
            plans = self.plans[k_shot]
            mine = bank.distances(plans[rank()::world_size()])
            mine = mine.reshape(-1, len(plans[0].indices) - plans[0].num_support, plans[0].n_way)
            distances = merge_rows(mine, len(plans)).numpy()
            found.append(Outcomes.of(plans, distances, ids, names))
        embedder.model.train(was_training)
        return found

    def result(self, outcomes: Outcomes) -> dict[str, Any]:
        """The figures of one number of shots: split, accuracy, interval (half width over episodes, 95 %), chance,
        episodes, clips, n_way, k_shot, n_query."""
        mean, interval = mean_and_interval(outcomes.accuracy)
        episodes, n_way, n_query = outcomes.query.shape
        return {"split": self.split, "accuracy": mean, "interval": interval, "chance": 1 / n_way, "episodes": episodes,
                "clips": len(np.unique(outcomes.members)), "n_way": n_way, "k_shot": outcomes.k_shot,
                "n_query": n_query}

    def _bank(self, embedder: ClipEmbedder, k_shots: Sequence[int]) -> TokenBank:
        """The smallest bank that serves these numbers of shots; on disk all tokens, for whatever is asked later."""
        matching = with_own_matcher(self.matching, embedder.model)
        aggregation = matching["aggregation"]
        rows: Sequence[int] = self.shown(k_shots)
        aggregated = all(TokenBank.can_aggregate(k_shot, matching["prototype"], matching["matcher"])
                         for k_shot in k_shots)
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
                         **matching)
