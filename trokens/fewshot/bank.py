"""Embed every distinct clip once; score any number of episodes from that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from trokens.data.episodes import EpisodePlan
from trokens.data.loader import ClipReader, clip_batches, clip_loader
from trokens.distributed import merge_rows, rank, world_size
from trokens.fewshot.matchers import class_prototypes, clip_features, pairwise_logits, prototypes
from trokens.structures import Clips


@torch.no_grad()
def embed_clips(embed: Callable[[Clips], Tensor], reader: ClipReader, indices: Sequence[int], *, batch_size: int,
                with_video: bool = True, num_workers: int = 0, pin_memory: bool = False,
                progress: Callable[[Iterable, int], Iterable] | None = None) -> Tensor:
    """Apply ``embed`` to every clip once; processes share the batches and all get the whole.

    Args:
        embed: Clips of a batch to (batch, ...), on any device.
        reader: Reads the clips.
        indices: Which clips, C of them.
        batch_size: Clips a batch. The same batches are formed for any number of processes.
        with_video: False where ``embed`` needs no frames.
        num_workers: Loader processes.
        pin_memory: As for a DataLoader.
        progress: Wraps the batches of this process, given their number.

    Returns:
        (C, ...) in the order of ``indices``, on the CPU.
    """
    batches = clip_batches(indices, batch_size)
    # A last short batch is filled up so that every process's rows have one shape.
    fill = batch_size * len(batches) - len(indices)
    batches[-1] = batches[-1] + [batches[-1][-1]] * fill
    mine = batches[rank()::world_size()] or batches[:1]  # an idle process still has to learn the shape
    loader = clip_loader(reader, mine, with_video=with_video, num_workers=num_workers, pin_memory=pin_memory)
    if progress is not None:
        loader = progress(loader, len(mine))
    rows = torch.empty(0)
    for number, clips in enumerate(loader):
        embedded = embed(clips)
        if number == 0:
            rows = torch.empty(len(mine), *embedded.shape, dtype=embedded.dtype)  # (B, batch, ...), once: it is large
        rows[number] = embedded
    merged = merge_rows(rows[:len(range(rank(), len(batches), world_size()))], len(batches))
    return merged.flatten(0, 1)[:len(indices)]


class TokenBank:
    """The tokens of a split's clips, in the smallest form that the head can score from.

    With one shot, or prototypes averaged per clip, each clip is aggregated on its own and only that is kept;
    the published K-shot prototype averages points over clips first and needs every token.

    Args:
        tokens: Of C clips, (C, T, N, D) float32; or, where ``is_aggregated``, their features (C, L, D).
        indices: The split's row of each.
        aggregation, norm, prototype, matcher: As for :func:`trokens.fewshot.matchers.match`.
    """

    def __init__(self, tokens: Tensor, indices: Sequence[int], *, is_aggregated: bool, aggregation: str, norm: str,
                 prototype: str, matcher: str):
        self.features = tokens if is_aggregated else clip_features(tokens, aggregation)  # (C, L, D)
        self.tokens = None if is_aggregated else tokens
        self.row = {index: row for row, index in enumerate(indices)}
        self.aggregation, self.norm, self.prototype, self.matcher = aggregation, norm, prototype, matcher

    @staticmethod
    def can_aggregate(k_shot: int, prototype: str) -> bool:
        """True where the head needs no more of a clip than its aggregated features."""
        return k_shot == 1 or prototype == "per_clip"

    def score(self, plan: EpisodePlan, device: torch.device | str = "cpu") -> Tensor:
        """Logits (Q, n_way) of one episode: the same as matching its clips' tokens directly."""
        rows = torch.tensor([self.row[index] for index in plan.indices])
        support, query = rows[:plan.num_support], rows[plan.num_support:]
        way = torch.tensor(plan.way[:plan.num_support], device=device)
        if self.tokens is None:
            classes = class_prototypes(self.features[support].to(device), way, plan.n_way)  # (n_way, L, D)
        else:
            classes = prototypes(self.tokens[support].to(device), way, plan.n_way, self.aggregation, self.prototype)
        return pairwise_logits(self.features[query].to(device), classes, self.norm, self.matcher)

    def accuracy(self, plans: Iterable[EpisodePlan], device: torch.device | str = "cpu") -> Tensor:
        """Share of right answers in each episode, (E,) float64."""
        scores = []
        for plan in plans:
            nearest = self.score(plan, device).argmax(1).cpu()  # (Q,)
            scores.append((nearest == torch.tensor(plan.way[plan.num_support:])).double().mean())
        return torch.stack(scores) if scores else torch.zeros(0, dtype=torch.float64)
