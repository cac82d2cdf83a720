"""Embed every distinct clip once; score any number of episodes from that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from trokens.data.episodes import EpisodePlan
from trokens.data.loader import ClipReader, clip_batches, clip_loader
from trokens.distributed import merge_rows, rank, world_size
from trokens.fewshot.matchers import clip_features, pairwise_logits
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
        aggregation, norm, matcher: As for :func:`trokens.fewshot.matchers.match`.
    """

    def __init__(self, tokens: Tensor, indices: Sequence[int], *, is_aggregated: bool, aggregation: str, norm: str,
                 matcher: str):
        self.features = tokens if is_aggregated else clip_features(tokens, aggregation)  # (C, L, D)
        self.tokens = None if is_aggregated else tokens
        self.row = {index: row for row, index in enumerate(indices)}
        self.aggregation, self.norm, self.matcher = aggregation, norm, matcher

    @staticmethod
    def can_aggregate(k_shot: int, prototype: str) -> bool:
        """True where the head needs no more of a clip than its aggregated features."""
        return k_shot == 1 or prototype == "per_clip"

    def score(self, plans: Sequence[EpisodePlan], device: torch.device | str = "cpu") -> Tensor:
        """Logits (E, Q, n_way) of episodes of one kind: the same as matching their clips' tokens directly."""
        support, n_way = plans[0].num_support, plans[0].n_way
        rows = torch.tensor([[self.row[index] for index in plan.indices] for plan in plans])  # (E, V)
        shots = rows[:, :support].unflatten(1, (n_way, -1))  # (E, W, K): the support is class-major
        if self.tokens is None:
            classes = self.features[shots].to(device).float().mean(2)  # (E, W, L, D)
        else:
            classes = clip_features(self.tokens[shots].to(device).float().mean(2), self.aggregation)
        return pairwise_logits(self.features[rows[:, support:]].to(device), classes, self.norm, self.matcher)

    def accuracy(self, plans: Sequence[EpisodePlan], device: torch.device | str = "cpu") -> Tensor:
        """Share of right answers in each episode, (E,) float64."""
        scores = [torch.zeros(0, dtype=torch.float64)]
        size = self._batch_size(plans[0]) if plans else 1
        for part in (plans[i:i + size] for i in range(0, len(plans), size)):
            nearest = self.score(part, device).argmax(-1).cpu()  # (E, Q)
            way = torch.tensor([plan.way[plan.num_support:] for plan in part])
            scores.append((nearest == way).double().mean(1))
        return torch.cat(scores)

    def _batch_size(self, plan: EpisodePlan) -> int:
        """Episodes scored at once: as many as keep what is gathered and compared below 256 MB."""
        query, length = len(plan.indices) - plan.num_support, self.features.shape[1]
        source = self.features if self.tokens is None else self.tokens
        largest = max(query * plan.n_way * length**2, len(plan.indices) * source[0].numel())
        return max(1, min(256, 2**26 // largest))
