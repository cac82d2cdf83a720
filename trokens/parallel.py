"""One function over many items, in several processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

import torch

_CHUNK = 16  # most items sent to a process at a time


def parallel_map(function: Callable[[Any], Any], items: Sequence, num_workers: int) -> Iterator:
    """Yield ``function(item)`` of every item, in their order.

    Args:
        function: Something that can be pickled; it is pickled once for every few items.
        items: Its arguments.
        num_workers: Processes, each of one thread; with 1 this process does the work.

    Raises:
        RuntimeError: A process died, for example for lack of memory.
        Exception: What ``function`` raises.
    """
    num_workers = min(num_workers, len(items))
    if num_workers <= 1:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(num_workers, get_context("spawn"), _start_worker)
    try:
        yield from pool.map(function, items, chunksize=max(1, min(_CHUNK, len(items) // (4 * num_workers))))
    except BrokenProcessPool as error:
        raise RuntimeError("A process died (out of memory?); start again with fewer --workers.") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # A worker whose parent was killed would wait for work forever; Ctrl-C is for the parent to answer.
    threading.Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
