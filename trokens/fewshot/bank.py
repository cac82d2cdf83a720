"""Score any number of episodes from clips that were embedded once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from trokens.fewshot.episodes import EpisodePlan
from trokens.fewshot.matchers import pairwise_logits, reads_shots
from trokens.fewshot.prototypes import CHUNK, clip_features, published_prototypes


class TokenBank:
    """The tokens of a split's clips, or as much of them as matching needs.

    With one shot, prototypes averaged per clip, or a matcher that reads all shots, each clip is aggregated on its own
    and only that is read; the published K-shot prototype averages points over clips first and reads every token.

    Args:
        stored: Of C clips, tokens (C, T, N, D); or, where ``is_aggregated``, their features (C, L, D). float32 or
            float16. Tokens are read where they lie.
        indices: Row of each stored clip in the split's list.
        aggregation, norm, prototype, matcher: As for :func:`trokens.fewshot.matchers.match`.
        device: Where features are compared.
        names: Of the clips of the split, for messages.
    """

    def __init__(self, stored: Tensor, indices: Sequence[int], *, is_aggregated: bool, aggregation: str, norm: str,
                 matcher: str | nn.Module, prototype: str = "published", device: torch.device | str = "cpu",
                 names: Sequence[str] = ()):
        self.tokens = None if is_aggregated else stored.contiguous()
        self.features = None  # for no_agg: they would be as large as the tokens
        if is_aggregated:
            self.features = stored.to(device)  # (C, L, D)
        elif aggregation != "no_agg":
            self.features = torch.cat([clip_features(clip[None], aggregation) for clip in stored]).to(device)
        self.row = {index: row for row, index in enumerate(indices)}
        self.aggregation, self.norm, self.prototype, self.matcher = aggregation, norm, prototype, matcher
        self.device, self.names = device, names

    @staticmethod
    def can_aggregate(k_shot: int, prototype: str, matcher: str | nn.Module) -> bool:
        """True where matching needs no more of a clip than its aggregated features."""
        return k_shot == 1 or prototype == "per_clip" or reads_shots(matcher)

    def score(self, plans: Sequence[EpisodePlan]) -> Tensor:
        """Logits (E, Q, n_way) of episodes with the same n_way, shots and queries: what matching all tokens gives."""
        support, n_way = plans[0].num_support, plans[0].n_way
        rows = torch.tensor([[self.row[index] for index in plan.indices] for plan in plans])  # (E, V)
        shots = rearrange(rows[:, :support], "e (w k) -> e w k", w=n_way)  # the support is class-major
        if reads_shots(self.matcher):
            classes = self._clips(shots)  # (E, W, K, L, D)
        elif self.can_aggregate(shots.shape[-1], self.prototype, self.matcher):
            classes = self._clips(shots).mean(2)  # (E, W, L, D)
        else:
            classes = published_prototypes(self.tokens, rearrange(shots, "e w k -> (e w) k"), self.aggregation)
            classes = rearrange(classes, "(e w) l d -> e w l d", w=n_way).to(self.device)
        return pairwise_logits(self._clips(rows[:, support:]), classes, self.norm, self.matcher)

    def _clips(self, rows: Tensor) -> Tensor:
        """Features of single clips: (...) -> (..., L, D)."""
        if self.features is not None:
            return self.features[rows].float()
        return clip_features(self.tokens[rows].to(self.device), self.aggregation)

    def distances(self, plans: Sequence[EpisodePlan]) -> Tensor:
        """Minus the logits of any number of such episodes, (E, Q, n_way) float32 on the CPU.

        Raises:
            FloatingPointError: They are not finite: no class is the nearest one.
        """
        found = []
        size = self._batch_size(plans[0]) if plans else 1
        for part in (plans[i:i + size] for i in range(0, len(plans), size)):
            logits = self.score(part)
            self._check_logits(logits, part)
            found.append(-logits.cpu())
        return torch.cat(found) if found else torch.zeros(0)

    def accuracy(self, plans: Sequence[EpisodePlan]) -> Tensor:
        """Share of right answers in each episode, (E,) float64; errors are those of :meth:`distances`."""
        if not plans:
            return torch.zeros(0, dtype=torch.float64)
        way = torch.tensor([plan.way[plan.num_support:] for plan in plans])
        return (self.distances(plans).argmin(-1) == way).double().mean(1)

    def _check_logits(self, logits: Tensor, plans: Sequence[EpisodePlan]) -> None:
        if logits.sum().isfinite() or logits.isfinite().all():
            return
        bad = [plan for plan, one in zip(plans, logits, strict=True) if not one.isfinite().all()]
        shown = ", ".join(str(self.names[index]) if self.names else f"row {index}" for index in bad[0].indices)
        raise FloatingPointError(f"Distances are not finite in {len(bad)} of {len(plans)} episodes (the first shows "
                                 f"the clips {shown}); matcher '{self._matcher_name()}' cannot compare these tokens.")

    def _matcher_name(self) -> str:
        return self.matcher if isinstance(self.matcher, str) else type(self.matcher).__name__

    def _batch_size(self, plan: EpisodePlan) -> int:
        """Episodes scored at once: as many as keep what is gathered and compared below 256 MB; of a matcher that reads
        shots on a CPU below 16 MB, which its cache nearly holds."""
        query = len(plan.indices) - plan.num_support
        source = self.tokens if self.features is None else self.features
        length, dim = source[0].numel() // source.shape[-1], source.shape[-1]
        largest = max(query * plan.n_way * length**2, len(plan.indices) * length * dim)
        room = CHUNK
        if reads_shots(self.matcher):
            largest = query * plan.num_support * length**2 * max(dim, getattr(self.matcher, "width", 0))
            room = CHUNK // 16 if torch.device(self.device).type == "cpu" else CHUNK
        return max(1, min(256, room // largest))
