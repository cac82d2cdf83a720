"""Loader processes: each keeps to one core, ends with the main process, and is ended by it alone.

Schedulers, launchers and terminals signal every process of a run. The main process then finishes its step, for which it
needs the workers. When it fails, it ends them by SIGTERM and waits, so they do heed its own signals.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import threading
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import cv2
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from trokens.runtime.machine import LostProcess, state_of
from trokens.runtime.signals import SIGNALS, end_with_parent

LOOK_SECONDS = 5.0  # between two looks at workers that give nothing
STOPPED_LOOKS = 6  # number of looks at one that is stopped, before it is given up
SHARED_MEMORY = Path("/dev/shm")  # batches lie there on their way; a container may have little of it
PREFETCH = 2  # batches that a worker reads ahead
_HELD = 2  # by the main process: the one in use, and the one before it
_MORE = "give the container more (docker run --shm-size 8g, or --ipc=host)"
_SHARED_FULL = f"shared memory ({SHARED_MEMORY}) is full; {_MORE}, or set DATA_LOADER.NUM_WORKERS 0"
_GOES_ON = "the same command goes on from the last checkpoint"
_DEATH = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) "
                    r"(?:exited unexpectedly|is killed by signal: (.+?)\. )")


class SteadyLoader(DataLoader):
    """A DataLoader whose workers keep to one core and heed signals of the main process alone, from the first moment.

    Args:
        patience: Seconds that a batch is waited for; 0 waits for ever.
        args, options: Of the DataLoader.
    """

    def __init__(self, *args, patience: float = 0, **options):
        super().__init__(*args, worker_init_fn=_init_worker, **options)
        self.patience = patience

    def __iter__(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a worker inherits it before any handler acts
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _get_iterator(self):
        return _Watched(self) if self.num_workers and self.patience else super()._get_iterator()


class _Watched(_MultiProcessingDataLoaderIter):
    """Gives up a worker that is stopped, or gives no batch in time.

    Torch waits for ever, or for a time after which nothing can be read any more. So this looks at all workers in
    between.
    """

    def __init__(self, loader: SteadyLoader):
        self._patience, self._silent, self._stopped = loader.patience, 0.0, 0
        super().__init__(loader)

    def _try_get_data(self, _timeout: float = 0):
        found, data = super()._try_get_data(LOOK_SECONDS)
        if found:
            self._silent, self._stopped = 0.0, 0
        else:
            self._silent += LOOK_SECONDS
            self._look()
        return found, data

    def _look(self) -> None:
        states = {f"loader process {number} (pid {worker.pid})": state_of(worker.pid)
                  for number, worker in enumerate(self._workers)}
        stopped = [who for who, state in states.items() if state == "is stopped"]
        self._stopped = self._stopped + 1 if stopped else 0
        silence = f"No batch came for {self._silent:.0f} s"
        if self._stopped >= STOPPED_LOOKS:
            raise LostProcess(f"{silence}, and {' and '.join(stopped)} is stopped (SIGSTOP); {_GOES_ON}.")
        if self._silent >= self._patience:
            doing = ", ".join(f"{who} {state or 'is unknown'}" for who, state in states.items())
            raise LostProcess(f"{silence}, the limit of DATA_LOADER.TIMEOUT, while {doing}; check the disk of the "
                              f"videos, or raise DATA_LOADER.TIMEOUT: {_GOES_ON}.")


def lost_worker(error: BaseException) -> LostProcess | None:
    """The error to show in place of torch's about a worker that has died; None for another error."""
    death = _DEATH.search(str(error)) if isinstance(error, RuntimeError) else None
    if death is None:
        return None
    if death[2] == "Bus error":
        return LostProcess(f"A loader process (pid {death[1]}) found no room for its clips: {_SHARED_FULL}.")
    how = f"was killed by a signal ({death[2]})" if death[2] else "has ended"
    memory = ", as the system does where memory is short: lower DATA_LOADER.NUM_WORKERS" if death[2] == "Killed" else ""
    return LostProcess(f"A loader process (pid {death[1]}) {how}{memory}; {_GOES_ON}.")


def _init_worker(_worker: int) -> None:
    cv2.setNumThreads(1)  # PyTorch does the same for its own
    signal.set_wakeup_fd(-1)  # of the main process, which counts its own signals there
    end_with_parent()
    # SIGINT is not heeded at all, and SIGTERM only where the main process sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if hasattr(signal, "sigwaitinfo"):
        main = multiprocessing.parent_process().pid
        threading.Thread(target=_end_when_asked, args=(main,), daemon=True).start()
    else:  # macOS does not tell who sent a signal
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _end_when_asked(main: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != main:
        pass
    os._exit(0)


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
    if not num_workers or not SHARED_MEMORY.is_dir():
        return
    needed, free = processes * (kept_bytes(batch_bytes, num_workers) + beside), shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        fits = int(((free / processes - beside) / batch_bytes - _HELD) // PREFETCH)
        raise ValueError(f"Loader processes keep up to {needed / 2**20:.0f} MB of clips in shared memory, and "
                         f"{SHARED_MEMORY} has {free / 2**20:.0f} MB free; {_MORE}, or set DATA_LOADER.NUM_WORKERS "
                         f"{max(fits, 0)}.")


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
            raise ValueError(f"A loader process found no room for its clips: {_SHARED_FULL}.") from error
    return item


def _share(item: Any) -> None:
    if isinstance(item, Tensor):
        item.share_memory_()
    elif is_dataclass(item):
        for field in fields(item):
            _share(getattr(item, field.name))
