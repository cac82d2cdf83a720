"""Tokens or features of clips in a file, a row for each clip: for the processes of a node, and for later runs."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trokens.clips.split import Clip
from trokens.runtime.files import refuse_device, write_text, writing
from trokens.runtime.tensors import check_sum

logger = logging.getLogger(__name__)

_SCHEMA = 1  # part of every key; raise it when a change of the code gives other rows for the same weights
_DTYPES = {torch.float32: np.float32, torch.float16: np.float16}


class RowFile:
    """Rows of numbers, one for each clip of a split, in a file that any number of processes read and write.

    ``NAME-KEY.bank`` holds the numbers. ``NAME-KEY.json`` holds for each row the stamp of its clip and the check sum of
    its numbers, or null. An entry is set to null before its row is written, and filled in afterward: a row counts only
    when it is whole.

    Args:
        folder: Where the two files lie.
        name: What the rows are, such as the name of the split.
        key: From :func:`row_key`; names all that the rows depend on, except the contents of the clips' files.
        clips: The clip of each row.
        shape: Shape of a row.
        dtype: torch.float32 or torch.float16.
        replaces: Remove the files that have this name and another key.
        if_full: What to do where the disk is full, for messages.
    """

    def __init__(self, folder: Path, name: str, key: str, clips: Sequence[Clip], shape: Sequence[int],
                 dtype: torch.dtype, *, replaces: bool = False, if_full: str = "choose another folder"):
        self.name, self.stamps = name, [_clip_stamp(clip) for clip in clips]
        self.replaces, self.if_full = replaces, if_full
        self.data, self.index = folder / f"{name}-{key}.bank", folder / f"{name}-{key}.json"
        self.shape, self.dtype = (len(clips), *shape), _DTYPES[dtype]
        self.row_bytes = int(np.prod(shape)) * self.dtype().itemsize

    def _made(self, *, tell: bool = False) -> list[tuple[str, int] | None]:
        """The stamp and the check sum of each row; None for all of them where the index cannot be read, which is logged
        where ``tell`` is true."""
        count = len(self.stamps)
        if not self.index.is_file() or not self.data.is_file() or self.data.stat().st_size != count * self.row_bytes:
            return [None] * count
        try:
            made = json.loads(self.index.read_bytes())
        except (ValueError, RecursionError):
            made = None
        if isinstance(made, list) and len(made) == count:
            return [tuple(one) if isinstance(one, list) and len(one) == 2 else None for one in made]
        if tell:
            logger.warning("%s is damaged: its rows are made again.", self.index)
        return [None] * count

    def missing(self, rows: Sequence[int], part: int = 0, parts: int = 1) -> list[int]:
        """Those of the rows that are not in the file, were made from other files than there are now, or are damaged.

        Every ``parts``-th row from ``part`` on is read and compared with its check sum; other processes compare the
        others.
        """
        made = self._made(tell=True)
        lacking = {row for row in rows if made[row] is None or made[row][0] != self.stamps[row]}
        there = [row for row in rows if row not in lacking][part::parts]
        if len(there) * self.row_bytes > 2**31:
            logger.info("%s: comparing check sums, of %.0f GB.", self.data, len(there) * self.row_bytes / 2**30)
        values = self.values().numpy() if there else None
        if damaged := {row for row in there if check_sum(values[row]) != made[row][1]}:
            logger.warning("%s: %d of %d rows do not match their check sums, so they are made again.", self.data,
                           len(damaged), len(there))
        return [row for row in rows if row in lacking or row in damaged]

    def open(self, rows: Sequence[int]) -> None:
        """Make room for rows that are to be written.

        Raises:
            ValueError: The disk is too full, or a quota is used up.
            WriteError: The folder cannot be written to.
        """
        with writing(self.data, self.if_full):
            self.data.parent.mkdir(parents=True, exist_ok=True)
            refuse_device(self.data)
            for path in self.data.parent.glob(f"{self.name}-*"):
                if self.replaces and path not in (self.data, self.index):
                    path.unlink(missing_ok=True)
            size = self.row_bytes * len(self.stamps)
            taken = self.data.stat().st_blocks * 512 if self.data.is_file() else 0
            free = shutil.disk_usage(self.data.parent).free
            if size - taken > free:
                raise ValueError(f"{self.data} needs {size / 2**30:.1f} GB of a disk that has {free / 2**30:.1f} GB "
                                 f"free; {self.if_full}.")
            self._stamp(rows, [None] * len(rows))
            with open(self.data, "ab") as file:
                file.truncate(size)
                try:  # else a disk that others fill ends the run hours later, or kills it at a read
                    if taken < size and hasattr(os, "posix_fallocate"):  # which macOS lacks
                        os.posix_fallocate(file.fileno(), 0, size)
                except OSError as error:
                    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # else this disk cannot do it
                        self.data.unlink()  # what it did take would fill it
                        raise ValueError(f"{self.data} needs {size / 2**30:.1f} GB, which its disk refuses "
                                         f"({error.strerror}); {self.if_full}.") from error

    def write(self, rows: Sequence[int], values: Tensor) -> list[int]:
        """Put ``values`` (len(rows), ...) into the file; returns their check sums, for :meth:`commit`."""
        values = values.contiguous().numpy()
        with writing(self.data, self.if_full), open(self.data, "r+b") as file:
            for row, value in zip(rows, values, strict=True):
                file.seek(row * self.row_bytes)
                file.write(value)
        return [check_sum(value) for value in values]

    def commit(self, rows: Sequence[int], sums: Sequence[int]) -> None:
        """Make these rows count, whichever process wrote them."""
        with writing(self.data, self.if_full), open(self.data, "rb") as file:
            os.fsync(file.fileno())
        self._stamp(rows, [(self.stamps[row], sum) for row, sum in zip(rows, sums, strict=True)])

    def _stamp(self, rows: Sequence[int], stamps: Sequence[tuple[str, int] | None]) -> None:
        made = self._made()
        for row, stamp in zip(rows, stamps, strict=True):
            made[row] = stamp
        write_text(self.index, json.dumps(made))

    def values(self) -> Tensor:
        """All rows (C, ...), mapped: read from the disk, or from the system's memory of it, when they are used."""
        return torch.from_numpy(np.memmap(self.data, self.dtype, "r+", shape=self.shape))


def row_key(model: nn.Module, options: str, clips: Sequence[Clip], shape: Sequence[int], dtype: torch.dtype) -> str:
    """16 hex digits that follow from a model's weights, frozen ones included, and from what else its rows depend on.

    Args:
        model: Makes the rows.
        options: The options that the rows depend on, as text.
        clips: The clip of each row. They are part of the key, so that a run with other clips has another file and
            does not write over rows that this run reads.
        shape: Shape of a row.
        dtype: Type of the numbers in the file.
    """
    files = [(clip.id, str(clip.tracks), str(clip.video)) for clip in clips]
    digest = hashlib.sha256(repr((_SCHEMA, options, files, tuple(shape), dtype)).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype} ".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _clip_stamp(clip: Clip) -> str:
    """A clip's id with the sizes and times of its files: another text where one of them was replaced."""
    def of(path: Path | None) -> str:
        status = path.stat() if path is not None and path.is_file() else None
        return f"{path} {status.st_size} {status.st_mtime_ns}" if status else "-"

    return f"{clip.id} {of(clip.tracks)} {of(clip.video)}"
