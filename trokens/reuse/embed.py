"""Apply a model to clips, each once: in batches that the processes of a run share, into memory or into a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trokens.clips.loader import clip_batches, clip_loader, loading_from_config
from trokens.clips.reader import ClipReader
from trokens.models.trokens import Trokens
from trokens.reuse.features import Features, ViewReader
from trokens.reuse.row_file import RowFile
from trokens.runtime.distributed import (
    broadcast,
    in_some,
    local_rank,
    local_world_size,
    rank,
    sum_over_processes,
    world_size,
)
from trokens.runtime.progress import progress
from trokens.structures import Clips

PORTION = 1024  # clips; an interruption costs those since the last portion
Embed = Callable[[Clips], Tensor]  # the clips of a batch to (B, ...), on any device


@dataclass(frozen=True)
class ClipEmbedder:
    """A model and the clips that it is applied to.

    Attributes:
        model: Clips to class logits and tokens.
        reader: Reads the clips.
        device: Where the model is.
        name: Of the clips, for progress lines.
        batch_size: Clips a pass; the same batches are formed for any number of processes.
        features: Patch features of the clips, which are then read without their frames.
        loading: Further arguments of :func:`trokens.clips.loader.clip_loader`.
    """

    model: Trokens
    reader: ClipReader | ViewReader
    device: torch.device
    name: str = ""
    batch_size: int = 8
    features: Features | None = None
    loading: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_config(cls, cfg, model: Trokens, reader: ClipReader | ViewReader, *, device: torch.device,
                    name: str) -> ClipEmbedder:
        batch_size = cfg.MODEL.BACKBONE_BATCH or (1 if device.type == "cpu" else 8)  # a CPU's cache then holds a layer
        return cls(model, reader, device, name, batch_size, loading=loading_from_config(cfg))

    @property
    def with_video(self) -> bool:
        """Whether frames are read."""
        return self.model.appearance and self.features is None

    def checked(self, values: Tensor, batch: Clips, what: str, remedy: str) -> Tensor:
        """Check ``values`` (B, ...), which were computed of a batch, and give them back.

        Raises:
            FloatingPointError: Some are not finite; the message says ``what`` is not, of which clips, and the remedy.
        """
        if not values.sum(dtype=torch.float32).isfinite():  # in one pass; a large sum is looked at again
            rows = zip(batch.index.tolist(), values, strict=True)
            if bad := [self.reader.clips[row] for row, value in rows if not value.isfinite().all()]:
                ids = ", ".join(f"'{clip.id}'" for clip in bad)
                raise FloatingPointError(f"{what} not finite for the clip{'s' * (len(bad) > 1)} {ids} "
                                         f"({bad[0].tracks or bad[0].video}); {remedy}.")
        return values

    def tokens(self, batch: Clips) -> Tensor:
        """Tokens (B, T, N, D) of a batch, float32.

        Raises:
            FloatingPointError: They are not finite.
        """
        features = None if self.features is None else self.features.look(batch.index).to(self.device)
        tokens = self.model(batch.to(self.device), features)[1].float()
        return self.checked(tokens, batch, "Tokens are",
                            "the weights, or what is read of these clips, are out of range")

    def collect(self, embed: Embed, rows: Sequence[int], *, title: str = "Clips") -> Tensor:
        """Apply ``embed`` to every clip once.

        Args:
            embed: Such as :meth:`tokens`.
            rows: Which of the reader's clips, C of them, each once.
            title: What is computed, for progress lines.

        Returns:
            (C, ...) in the order of ``rows``, on the CPU, in every process.
        """
        batches = clip_batches(range(len(rows)), self.batch_size)
        mine = batches[rank()::world_size()] or batches[:1]  # an idle process still has to learn the shape
        values = torch.empty(0)
        for numbers, embedded in self._embedded(embed, rows, mine, title):
            if not len(values):
                values = torch.empty(len(rows), *embedded.shape[1:], dtype=embedded.dtype)  # once: it is large
            values[numbers] = embedded.cpu()
        for number, part in enumerate(values.split(self.batch_size)):
            broadcast(part, source=number % world_size())
        return values

    def fill(self, file: RowFile, embed: Embed, rows: Sequence[int], *, title: str = "Clips") -> int:
        """Apply ``embed`` to those of the clips that a file lacks; the processes of a node share the file.

        Args:
            file: Has a row for every clip of the reader.
            embed, rows, title: As for :meth:`collect`.

        Returns:
            How many clips were embedded.
        """
        lacking = torch.zeros(len(self.reader.clips))
        lacking[file.missing(rows, local_rank(), local_world_size())] = 1
        missing = sum_over_processes(lacking).nonzero().flatten().tolist()  # on any node
        for portion in clip_batches(missing, PORTION):
            self._fill_portion(file, embed, portion, title)
        return len(missing)

    def _fill_portion(self, file: RowFile, embed: Embed, rows: Sequence[int], title: str) -> None:
        in_some(local_rank() == 0, lambda: file.open(rows))
        batches = clip_batches(range(len(rows)), self.batch_size)
        sums = torch.zeros(len(rows), dtype=torch.int64)
        for numbers, embedded in self._embedded(embed, rows, batches[rank()::world_size()], title):
            sums[numbers] = torch.tensor(file.write([rows[number] for number in numbers], embedded.cpu()))
        sums = sum_over_processes(sums)  # which also waits for all of them
        if world_size() > local_world_size():  # other nodes have rows for this node's file
            for source, batch in enumerate(clip_batches(rows, self.batch_size)):
                values = file.values()[batch]
                broadcast(values, source=source % world_size())
                if local_rank() == 0:
                    file.write(batch, values)
        in_some(local_rank() == 0, lambda: file.commit(rows, sums.tolist()))

    @torch.no_grad()
    def _embedded(self, embed: Embed, rows: Sequence[int], batches: Sequence[list[int]], title: str
                  ) -> Iterator[tuple[list[int], Tensor]]:
        """What ``embed`` makes of each batch of ``rows``, given by their numbers; processes read the next ones."""
        reader: Any = self.reader  # both read rows alike
        loader = clip_loader(reader, [[rows[number] for number in batch] for batch in batches],
                             with_video=self.with_video, **self.loading)
        for index, clips in enumerate(progress(loader, len(batches), f"{title} of {self.name}")):
            yield batches[index], embed(clips)
