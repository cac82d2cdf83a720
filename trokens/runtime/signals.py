"""How a process ends: in good order at a first signal, at once at a second one, and with the one that started it."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children, parent_process

logger = logging.getLogger(__name__)

# The last one comes where a terminal is closed, or its connection is lost.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
COPY_SECONDS = 2.0  # a launcher and a scheduler both send what is one request
GRACE_SECONDS = 1.0  # after a second request, for what may yet end in good order
LOOK_SECONDS = 0.5  # between two looks at the parent
STARTED_BY = "TROKENS_STARTED_BY"  # the environment's name for the process whose end is that of its child
ORDERLY_SECONDS = 30.0  # for the step that runs, and its checkpoint; as long as torchrun waits

_ending = threading.Event()  # the process ends in good order already


class Stopped(BaseException):
    """SIGTERM or SIGHUP came. As with KeyboardInterrupt, nothing that deals with errors takes it for one."""


class Requests:
    """Tells a second request to end from a copy of the first."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def is_second(self, number: int) -> bool:
        """Take note of a signal; True where another one was a request already.

        Who presses Ctrl-C twice means it, except that a launcher passes on what its terminal sends to all.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = number, now
            return False
        may_be_copy = number != signal.SIGINT or "RANK" in os.environ
        return not (may_be_copy and number == self._first[0] and now - self._first[1] < COPY_SECONDS)


def raise_stop(number: int, _frame=None) -> None:
    """The handler of all signals: KeyboardInterrupt for SIGINT, Stopped for the others."""
    if not _ending.is_set():
        raise KeyboardInterrupt if number == signal.SIGINT else Stopped


def already_ending() -> None:
    """Pass over further signals: the work has stopped, as another process was asked to, and this one will be too."""
    _ending.set()


def end_quietly() -> None:
    """Let signals end this process at once, without a word, while it starts and after it has said its last."""
    for number in _heeded():
        signal.signal(number, lambda number, _frame: end_at_once(128 + number))


def _heeded() -> list[int]:
    """The signals that end a command: nohup lets it go on when its terminal is closed."""
    return [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Call ``handler(number, frame)`` at SIGTERM, SIGINT, SIGHUP in the block; no thread but the main one can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _ending.clear()
    before = {number: signal.signal(number, handler) for number in _heeded()}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def ends_on_signals(at_once: str) -> Iterator[None]:
    """Let a command end on signals: at the first one :func:`raise_stop` is called, or the handler that the block sets
    instead; a second one ends the process and its children within a second or two.

    Python calls handlers between two steps of the main thread, which may be waiting for another process or for a disk.
    So a thread of its own counts the signals.

    Args:
        at_once: What to say where the process is cut off by a second signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    ended = threading.Event()
    watcher = threading.Thread(target=_count_signals, args=(ear, ended, at_once), daemon=True)
    watcher.start()
    try:
        with handled(raise_stop):
            yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.write(mouth, b"\0")
        watcher.join()
        os.close(ear)
        os.close(mouth)


def _count_signals(ear: int, ended: threading.Event, at_once: str) -> None:
    requests = Requests()
    while number := os.read(ear, 1)[0]:  # closing the other end would not do: forked processes have it too
        if number in SIGNALS and requests.is_second(number) and not ended.wait(GRACE_SECONDS):
            end_at_once(128 + number, at_once)


def end_at_once(code: int, sentence: str = "") -> None:
    """End this process and its children now, from any thread, and say why."""
    kill_children()
    with suppress(OSError):
        os.write(2, f"{sentence}\n".encode() if sentence else b"")
    os._exit(code)


def kill_children() -> None:
    """End what is left of child processes: Python would wait for ever for one that is stopped."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch raises an error where a loader's process dies
    for child in active_children():
        child.kill()


def end_with_parent() -> None:
    """End this child, a ``multiprocessing`` one, when its parent ends, even where that is killed; from a thread,
    whatever the child is doing."""
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = parent_process()
    is_direct = os.getppid() == parent.pid  # else a fork server stands in between
    while parent.is_alive() and (not is_direct or os.getppid() == parent.pid):  # siblings may keep it from telling
        parent.join(LOOK_SECONDS)
    end_at_once(1)


def end_with_launcher() -> None:
    """Stop this process, as SIGTERM does, when the torchrun or the sweep that started it ends, and at once half a
    minute later.

    Nothing is done in a process that something else started: a shell may end before its commands.
    """
    launcher = "torchrun" if "TORCHELASTIC_RUN_ID" in os.environ else "The sweep"
    if launcher == "torchrun" or os.environ.get(STARTED_BY) == str(os.getppid()):
        threading.Thread(target=_watch_launcher, args=(os.getppid(), launcher), daemon=True).start()


def _watch_launcher(pid: int, name: str) -> None:
    while os.getppid() == pid:
        time.sleep(LOOK_SECONDS)
    logger.warning("%s, which started this process, has ended: stopping.", name)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORDERLY_SECONDS)
    end_at_once(143)
