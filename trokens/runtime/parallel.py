"""One function over many items, in several processes; an item that takes its process with it does not end the rest.

``concurrent.futures`` ends all processes when one dies, and does not tell which item that was. So each process has a
pipe of its own here, holds one item at a time, and is replaced when it dies.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from trokens.runtime.machine import state_of
from trokens.runtime.signals import end_with_parent, handled

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks at workers that give nothing
STOPPED_LOOKS = 6  # number of looks at one that is stopped, before it is killed
ORDERLY_SECONDS = 2.0  # for workers to end in good order
DIED = "the process that read it died (out of memory, or the decoder crashed)"  # said of a file
_NOTHING, _LOST = object(), object()


def parallel_map(function: Callable[[Any], Any], items: Sequence, num_workers: int, if_died: Any = None,
                 set_up: Callable[[], None] | None = None) -> Generator[tuple[Any, Any], None, None]:
    """Yield ``(item, function(item))`` of every item, as the results come.

    An item whose process died is tried once more at the end, when no other one takes memory.

    Args:
        function: Something that can be pickled.
        items: Its arguments.
        num_workers: Processes, each of one thread; 0 does the work in this one.
        if_died: Result of an item whose process died when it was worked on alone.
        set_up: Called once in each process before its first item; something that can be pickled.

    Raises:
        RuntimeError: The processes cannot start.
        Exception: What ``function`` raises; the rest is not worked on.
    """
    if not num_workers:
        yield from ((item, function(item)) for item in items)
        return
    again = []
    with closing(_outcomes(function, items, num_workers, set_up)) as outcomes:
        for item, result in outcomes:
            if result is not _LOST:
                yield item, result
                continue
            if not again:
                logger.warning("A worker process died; what it was working on is tried again at the end, alone.")
            again.append(item)
    with closing(_outcomes(function, again, 1, set_up)) as outcomes:
        yield from ((item, if_died if result is _LOST else result) for item, result in outcomes)


class _Worker:
    """A process, its pipe, and the item that it works on: _NOTHING until it is ready."""

    def __init__(self, function: Callable[[Any], Any], set_up: Callable[[], None] | None):
        context = get_context("spawn")
        self.pipe, other_end = context.Pipe()
        self.process = context.Process(target=_work, args=(other_end, function, set_up), daemon=True)
        self.item, self.stopped_looks = _NOTHING, 0
        with _undisturbed():
            self.process.start()
        other_end.close()  # from now on the pipe tells when the process has died

    def result(self) -> Any:
        """What the process made of its item, or _LOST where it has died."""
        try:
            error, result = self.pipe.recv()
        except (EOFError, OSError):
            return _LOST
        if error is not None:
            raise error from RuntimeError(f"in a worker process:\n{result}")
        return result

    def kill_if_stopped(self) -> None:
        """Kill a process that someone stopped a while ago, which then counts as dead."""
        self.stopped_looks = self.stopped_looks + 1 if state_of(self.process.pid) == "is stopped" else 0
        if self.stopped_looks >= STOPPED_LOOKS:
            self.process.kill()


def _outcomes(function: Callable[[Any], Any], items: Iterable, num_workers: int,
              set_up: Callable[[], None] | None) -> Generator[tuple[Any, Any], None, None]:
    """Each item with its result, or with _LOST where the process that worked on it died."""
    waiting, workers, others = deque(items), [], set(active_children())
    try:
        for _ in range(min(num_workers, len(waiting))):
            workers.append(_Worker(function, set_up))
        while waiting or any(worker.item is not _NOTHING for worker in workers):
            if not workers:
                raise RuntimeError("The worker processes cannot start (out of memory?); give fewer --workers.")
            ready = wait([worker.pipe for worker in workers], LOOK_SECONDS)
            for worker in list(workers):
                if not ready:
                    worker.kill_if_stopped()
                if worker.pipe not in ready:
                    continue
                item, result, worker.item = worker.item, worker.result(), _NOTHING
                if result is _LOST:
                    workers.remove(worker)
                    if waiting and item is not _NOTHING:  # one that dies before its first item is not replaced
                        workers.append(_Worker(function, set_up))
                elif waiting:
                    worker.item = waiting.popleft()
                    with suppress(BrokenPipeError):  # it has just died, which `result` will tell
                        worker.pipe.send(worker.item)
                if item is not _NOTHING:
                    yield item, result
    finally:  # after Ctrl-C too: what is being worked on is given up
        _end(set(active_children()) - others)


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
        with handled(lambda *signal: came.append(signal)):
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        if came:
            number, frame = came[0]
            handler = signal.getsignal(number)  # called directly: sent again it would count as a second request
            handler(number, frame) if callable(handler) else signal.raise_signal(number)


def _work(pipe: Connection, function: Callable[[Any], Any], set_up: Callable[[], None] | None) -> None:
    """A worker's life: it answers (None, result) or (error, traceback) to every item, and (None, None) when ready."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    end_with_parent()
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, whether it comes later or is there already
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if set_up is not None:
        set_up()
    pipe.send((None, None))
    with suppress(EOFError):  # the other end is closed
        while True:
            item = pipe.recv()
            try:
                answer = ForkingPickler.dumps((None, function(item)))
            except Exception as error:
                answer = ForkingPickler.dumps((error, traceback.format_exc()))
            pipe.send_bytes(answer)
