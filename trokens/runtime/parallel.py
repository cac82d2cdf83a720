"""One function over many items, in several processes; an item that takes its process with it does not end the rest."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from typing import Any

from trokens.runtime.parents import end_with_parent
from trokens.runtime.processes import state_of
from trokens.runtime.signals import handled

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks at workers that give nothing
STOPPED_LOOKS = 6  # at one that is stopped, before it is given up
ORDERLY_SECONDS = 2.0  # for workers that are ended
DIED = "the process that read it died (out of memory, or the decoder crashed)"  # to say of a file that was an item


def parallel_map(function: Callable[[Any], Any], items: Sequence, num_workers: int,
                 died: Any = None, set_up: Callable[[], None] | None = None) -> Generator[tuple[Any, Any], None, None]:
    """Yield ``(item, function(item))`` of every item, as the results come.

    Args:
        function: Something that can be pickled.
        items: Its arguments.
        num_workers: Processes, each of one thread; 0 does the work in this one.
        died: Result of an item whose process died when it worked on nothing else.
        set_up: Called once in each process before its first item; something that can be pickled.

    Raises:
        RuntimeError: The processes cannot start.
        Exception: What ``function`` raises; the rest is not worked on.
    """
    if not num_workers:
        yield from ((item, function(item)) for item in items)
        return
    waiting = deque(items)
    while waiting:
        suspects = deque((yield from _until_death(function, waiting, min(num_workers, len(waiting)), set_up)))
        if suspects:
            logger.warning("A worker process died; what was being worked on is tried again, one at a time.")
        while suspects:
            yield from ((item, died) for item in (yield from _until_death(function, suspects, 1, set_up)))


def _until_death(function: Callable[[Any], Any], waiting: deque, num_workers: int,
                 set_up: Callable[[], None] | None) -> Generator[tuple[Any, Any], None, list]:
    """Work off ``waiting``; where a process dies, return the items that were begun and not finished."""
    running, others, looks = {}, set(active_children()), 0
    pool = ProcessPoolExecutor(num_workers, get_context("spawn"), _start_worker, (set_up,))
    try:
        try:
            with _undisturbed():
                first = pool.submit(os.getpid)
            first.result()
        except BrokenProcessPool as error:
            raise RuntimeError("The worker processes cannot start (out of memory?); give fewer --workers.") from error
        while waiting or running:
            while waiting and len(running) < 2 * num_workers - 1:  # one alone has nobody to be confused with
                with _undisturbed():
                    running[pool.submit(_call, function, waiting[0])] = waiting[0]
                waiting.popleft()
            done = wait(running, LOOK_SECONDS, return_when=FIRST_COMPLETED).done
            for future in done:
                result = future.result()
                yield running.pop(future), result
            stopped = [] if done else [worker for worker in set(active_children()) - others
                                       if state_of(worker.pid) == "is stopped"]
            looks = looks + 1 if stopped else 0
            if looks == STOPPED_LOOKS:
                stopped[0].kill()  # which ends the wait for its item as any other death
    except BrokenProcessPool:
        pass
    except BaseException:  # Ctrl-C above all: what is being worked on is given up, a second one need not be pressed
        _end(set(active_children()) - others)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return list(running.values())


def _end(workers: Iterable[BaseProcess]) -> None:
    """End workers, who may first remove the files that they have half written."""
    until = time.monotonic() + ORDERLY_SECONDS
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(max(0, until - time.monotonic()))
        worker.kill()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes started in the block leave Ctrl-C to this one, from their first moment on.

    A signal that comes meanwhile is heeded at its end: a process that was not told yet what it is for would end in a
    traceback. (This thread does not hear Ctrl-C in the block; another one may, and its handler is called in this one.)
    """
    came: list[tuple[int, Any]] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        with handled(lambda number, frame: came.append((number, frame))):
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        if came:
            _heed(*came[0])


def _heed(number: int, frame: Any) -> None:
    """Do what a signal would have done."""
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, frame)
    else:
        signal.raise_signal(number)


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except SystemExit:  # at SIGTERM; the pool would go on with the next item
        os._exit(1)


def _start_worker(set_up: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    end_with_parent()
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, whether it comes later or is there already
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if set_up is not None:
        set_up()
