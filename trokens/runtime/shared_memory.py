"""Batches lie in shared memory, /dev/shm, on their way from loader processes; a container may have little of it."""

from __future__ import annotations

import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import get_worker_info

PLACE = Path("/dev/shm")
PREFETCH = 2  # batches that a worker reads ahead
_HELD = 2  # by the main process: the one in use, and the one before it
_MORE = "give the container more (docker run --shm-size 8g, or --ipc=host)"
SHARED_FULL = f"shared memory ({PLACE}) is full; {_MORE}, or set DATA_LOADER.NUM_WORKERS 0"


def kept_bytes(batch_bytes: int, num_workers: int) -> int:
    """Most bytes that a loader keeps in shared memory."""
    return batch_bytes * (PREFETCH * num_workers + _HELD) if num_workers else 0


def check_shared_memory(batch_bytes: int, num_workers: int, *, beside: int = 0, processes: int = 1) -> None:
    """Refuse to start what would end, or wait for ever, where shared memory is full.

    Args:
        batch_bytes: Size of a batch of the loader.
        num_workers: Its processes.
        beside: Bytes that another loader keeps at the same time.
        processes: How many of this machine do the same.

    Raises:
        ValueError: So many bytes are not free.
    """
    if not num_workers or not PLACE.is_dir():
        return
    needed, free = processes * (kept_bytes(batch_bytes, num_workers) + beside), shutil.disk_usage(PLACE).free
    if needed > free:
        fits = int(((free / processes - beside) / batch_bytes - _HELD) // PREFETCH)
        raise ValueError(f"Loader processes keep up to {needed / 2**20:.0f} MB of clips in shared memory, and {PLACE} "
                         f"has {free / 2**20:.0f} MB free; {_MORE}, or set DATA_LOADER.NUM_WORKERS {max(fits, 0)}.")


def share(item: Any) -> Any:
    """Move a batch to shared memory where this is a loader process.

    Torch would do so after the work, in a thread whose errors nobody hears: the batch would be waited for for ever.

    Raises:
        ValueError: Shared memory is full.
    """
    if get_worker_info() is not None:
        try:
            _share(item)
        except RuntimeError as error:
            if "shared memory" not in str(error):
                raise
            raise ValueError(f"A loader process found no room for its clips: {SHARED_FULL}.") from error
    return item


def _share(item: Any) -> None:
    if isinstance(item, Tensor):
        item.share_memory_()
    elif is_dataclass(item):
        for field in fields(item):
            _share(getattr(item, field.name))
