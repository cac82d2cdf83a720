"""Large models on small GPUs: work in chunks, smaller ones where memory does not suffice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class Chunks:
    """Runs a function over chunks of rows; where memory does not suffice, chunks are halved and tried again.

    Args:
        size: Rows in a chunk; once halved it stays so.
        what: What the rows are, for the log.
    """

    def __init__(self, size: int, what: str):
        self.size, self.what = size, what

    def run(self, function: Callable[[Tensor], Any], rows: Tensor) -> list[Any]:
        """Call ``function`` for one chunk of ``rows`` after the other and return what it returned.

        Raises:
            RuntimeError: Memory does not suffice for a single row, or another error of ``function``.
        """
        results, start = [], 0
        while start < len(rows):
            chunk = rows[start:start + self.size]
            try:
                results.append(function(chunk))
                start += len(chunk)
                continue
            except RuntimeError as error:
                if len(chunk) == 1 or not _is_out_of_memory(error):
                    raise
            self._halve(len(chunk))  # not in the handler: there the error holds on to its tensors
        return results

    def run_together(self, function: Callable[[tuple[Tensor, ...]], Any], rows: Tensor) -> Any:
        """Call ``function`` once with all chunks of ``rows``, and return what it returned.

        Raises:
            RuntimeError: As :meth:`run`.
        """
        while True:
            chunks = rows.split(self.size)
            try:
                return function(chunks)
            except RuntimeError as error:
                if len(chunks[0]) == 1 or not _is_out_of_memory(error):
                    raise
            self._halve(len(chunks[0]))

    def _halve(self, size: int) -> None:
        self.size = size // 2
        logger.warning("Out of memory with %d %s at once; going on with %d.", size, self.what, self.size)
        torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error)


class ChunkedEncoder(nn.Module):
    """Encodes frames in chunks, and remembers the features of the last clip, also for the clip played backward.

    Args:
        encoder: Frames (n, 3, H, W) to features (n, ...), each frame by itself.
        chunks: Sizes to encode in.
    """

    def __init__(self, encoder: nn.Module, chunks: Chunks):
        super().__init__()
        self.encoder, self.chunks = encoder, chunks
        self.frames: Tensor | None = None
        self.features: Tensor | None = None

    def forward(self, frames: Tensor) -> Tensor:
        """Features (n, ...) of frames (n, 3, H, W)."""
        known = frames[:0] if self.frames is None else self.frames
        if torch.equal(known, frames.flip(0)):
            self.frames, self.features = frames, self.features.flip(0)
        elif not torch.equal(known, frames):
            self.frames = self.features = known = None  # their memory is wanted
            self.frames, self.features = frames, torch.cat(self.chunks.run(self.encoder, frames))
        return self.features
