"""Episodes and batches of clips, which worker processes read ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from trokens.clips.reader import ClipReader
from trokens.fewshot.episodes import EpisodePlan, EpisodeSampler
from trokens.runtime.machine import num_cores
from trokens.runtime.workers import PREFETCH, SteadyLoader, check_shared_memory, share
from trokens.structures import Clips, Episode


def collate(clips: Sequence[Clips]) -> Clips:
    """Join batches along the clips."""
    parts = {name: [getattr(c, name) for c in clips] for name in Clips.__dataclass_fields__}
    return Clips(**{name: None if some[0] is None else torch.cat(some) for name, some in parts.items()})


@dataclass(frozen=True)
class _Episodes(Dataset):
    """Episodes by their plans, on which alone the draws of their clips depend."""

    reader: ClipReader
    with_video: bool

    def __getitem__(self, plan: EpisodePlan) -> Episode:
        clips = [self.reader.read(index, with_video=self.with_video, key=f"{plan.key}/{position}")
                 for position, index in enumerate(plan.indices)]
        return Episode(collate(clips), torch.tensor(plan.way), plan.n_way, plan.num_support)


@dataclass(frozen=True)
class _Batches(Dataset):
    """Clips by their rows; the draws of each depend on the clip alone."""

    reader: ClipReader
    with_video: bool

    def __getitem__(self, rows: Sequence[int]) -> Clips:
        return collate([self.reader.read(row, with_video=self.with_video) for row in rows])


def _loader(items: Dataset, order, batch_bytes: int, *, num_workers: int = 0, pin_memory: bool = False,
            patience: float = 0, keep_workers: bool = False) -> DataLoader:
    num_workers = min(num_workers, num_cores())
    check_shared_memory(batch_bytes, num_workers)
    return SteadyLoader(items, sampler=order, batch_size=None, collate_fn=share, num_workers=num_workers,
                        pin_memory=pin_memory and torch.cuda.is_available(), patience=patience,
                        prefetch_factor=PREFETCH if num_workers else None,
                        persistent_workers=keep_workers and num_workers > 0)


def loading_from_config(cfg) -> dict[str, Any]:
    """How a loader works: the further arguments of :func:`episode_loader` and :func:`clip_loader`."""
    options = cfg.DATA_LOADER
    return {"num_workers": min(options.NUM_WORKERS, num_cores()), "pin_memory": options.PIN_MEMORY,
            "patience": options.TIMEOUT}


def episode_loader(reader: ClipReader, sampler: EpisodeSampler, *, with_video: bool = True, **loading) -> DataLoader:
    """Training episodes in the sampler's order; workers read ahead.

    Args:
        reader: Reads the clips.
        sampler: Gives the plans.
        with_video: False where patch features come from elsewhere.
        loading: num_workers, pin_memory, and patience, see :class:`trokens.runtime.workers.SteadyLoader`.

    Raises:
        ValueError: Shared memory does not hold what the workers read ahead.
    """
    size = reader.batch_bytes(len(sampler[0].indices), with_video=with_video)
    return _loader(_Episodes(reader, with_video), sampler, size, keep_workers=True, **loading)


def clip_batches(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """Cut ``indices`` into batches; which clips share a batch does not depend on the number of processes."""
    return [list(indices[i:i + batch_size]) for i in range(0, len(indices), batch_size)]


def clip_loader(reader: ClipReader, batches: Sequence[Sequence[int]], *, with_video: bool = True,
                **loading) -> Iterator[Clips]:
    """Evaluation clips, batch by batch; further arguments and errors are those of :func:`episode_loader`."""
    size = reader.batch_bytes(max(map(len, batches), default=0), with_video=with_video)
    return iter(_loader(_Batches(reader, with_video), batches, size, **loading))
