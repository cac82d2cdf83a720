"""Embed every distinct clip once, in batches that the processes of a run share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from trokens.clips.loader import clip_batches, clip_loader
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.reuse.row_file import BankFile
from trokens.runtime.distributed import (
    broadcast,
    in_some,
    local_rank,
    local_world_size,
    rank,
    sum_over_processes,
    world_size,
)
from trokens.structures import Clips

PORTION = 1024  # clips; an interruption costs those since the last portion


@torch.no_grad()
def embedded_batches(embed: Callable[[Clips], Tensor], reader: ClipReader, batches: Sequence[Sequence[int]], *,
                     progress: Callable[[Iterable, int], Iterable] | None = None,
                     **loading) -> Iterator[tuple[list[int], Tensor]]:
    """Apply ``embed`` to batches of clips, while the loader's processes read the next ones.

    Args:
        embed: Clips of a batch to (batch, ...), on any device.
        reader: Reads the clips.
        batches: Rows of the reader's clips.
        progress: Wraps the batches, given their number.
        loading: Further arguments of :func:`trokens.clips.loader.clip_loader`.

    Yields:
        A batch's rows, and what ``embed`` made of them.
    """
    loader = clip_loader(reader, batches, **loading)
    for clips in loader if progress is None else progress(loader, len(batches)):
        yield clips.index.tolist(), embed(clips)


def check_rows(rows: Tensor, clips: Sequence[Clip], what: str, remedy: str) -> Tensor:
    """Check what was computed of clips, and give it back.

    Args:
        rows: (B, ...), of each of the clips.
        clips: B of them.
        what: They are, with the verb, for the message.
        remedy: What to do.

    Raises:
        FloatingPointError: Some numbers are not finite; the message names the clips.
    """
    if not rows.sum(dtype=torch.float32).isfinite():  # in one pass; a large sum is looked at again
        bad = [clip for clip, row in zip(clips, rows, strict=True) if not row.isfinite().all()]
        if bad:
            ids = ", ".join(f"'{clip.id}'" for clip in bad)
            raise FloatingPointError(f"{what} not finite for the clip{'s' * (len(bad) > 1)} {ids} ({bad[0].tracks}); "
                                     f"{remedy}.")
    return rows


def embed_clips(embed: Callable[[Clips], Tensor], reader: ClipReader, indices: Sequence[int], *, batch_size: int,
                **loading) -> Tensor:
    """Apply ``embed`` to every clip once; processes share the batches and all get the whole.

    Args:
        embed: Clips of a batch to (batch, ...), on any device.
        reader: Reads the clips.
        indices: Which clips, C of them, each once.
        batch_size: Clips a batch. The same batches are formed for any number of processes.
        loading: Further arguments of :func:`embedded_batches`.

    Returns:
        (C, ...) in the order of ``indices``, on the CPU.
    """
    batches, row = clip_batches(indices, batch_size), {index: row for row, index in enumerate(indices)}
    mine = batches[rank()::world_size()] or batches[:1]  # an idle process still has to learn the shape
    rows = torch.empty(0)
    for batch, embedded in embedded_batches(embed, reader, mine, **loading):
        if not len(rows):
            rows = torch.empty(len(indices), *embedded.shape[1:], dtype=embedded.dtype)  # once: it is large
        rows[[row[index] for index in batch]] = embedded.cpu()
    for number, part in enumerate(rows.split(batch_size)):
        broadcast(part, source=number % world_size())
    return rows


def embed_into(file: BankFile, embed: Callable[[Clips], Tensor], reader: ClipReader, indices: Sequence[int], *,
               batch_size: int, **loading) -> int:
    """Embed those of the clips that a file lacks; processes share the batches, and those of a node the file.

    Args:
        file: Has a row for every clip of the reader.
        embed, reader, indices, batch_size, loading: As for :func:`embed_clips`.

    Returns:
        How many clips were embedded.
    """
    lacking = torch.zeros(len(reader.clips))
    lacking[file.missing(indices, local_rank(), local_world_size())] = 1
    missing = sum_over_processes(lacking).nonzero().flatten().tolist()  # on any node
    for portion in clip_batches(missing, PORTION):
        _embed_portion(file, embed, reader, portion, batch_size=batch_size, **loading)
    return len(missing)


def _embed_portion(file: BankFile, embed: Callable[[Clips], Tensor], reader: ClipReader, missing: Sequence[int], *,
                   batch_size: int, **loading) -> None:
    in_some(local_rank() == 0, lambda: file.open(missing))
    batches, place = clip_batches(missing, batch_size), {row: place for place, row in enumerate(missing)}
    sums = torch.zeros(len(missing), dtype=torch.int64)
    for batch, embedded in embedded_batches(embed, reader, batches[rank()::world_size()], **loading):
        sums[[place[row] for row in batch]] = torch.tensor(file.write(batch, embedded.cpu()))
    sums = sum_over_processes(sums)  # which also waits for all of them
    if world_size() > local_world_size():  # other nodes have rows for this node's file
        for number, batch in enumerate(batches):
            rows = file.values()[batch]
            broadcast(rows, source=number % world_size())
            if local_rank() == 0:
                file.write(batch, rows)
    in_some(local_rank() == 0, lambda: file.commit(missing, sums.tolist()))
