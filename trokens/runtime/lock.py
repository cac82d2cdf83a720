"""One command in a folder at a time: a lock that the system lets go of when its owner ends, however it ends.

The lock is ``flock`` on a file of the folder, which tells who holds it. On a network file system, locks may end at each
machine, or there are none. There an owner gives a sign of life: the file's time of change.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from trokens.runtime.files import refuse_device, writing

logger = logging.getLogger(__name__)

OTHER_FOLDER = "choose another OUTPUT_DIR"  # the remedy of runs
BEAT_SECONDS = 10.0  # between two signs of life
WATCH_SECONDS = 25.0  # for which another one's signs are awaited
_HELD: set[int] = set()  # open files of this process that are locked


class InUse(ValueError):
    """Another command works in the folder; the message names it."""


class Owner(NamedTuple):
    """Who holds a lock.

    Attributes:
        host: Name of the machine.
        pid: Number of the process there.
        since: Local time at which the lock was taken.
        command: The beginning of its command line.
    """

    host: str
    pid: int
    since: str
    command: str

    @classmethod
    def this(cls) -> Owner:
        """This process."""
        command = textwrap.shorten(shlex.join(sys.argv), 100, placeholder=" ...")
        return cls(socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"), command)

    @classmethod
    def of(cls, file: int) -> Owner | None:
        """Who is written down in an open file."""
        text = os.pread(file, 2**16, 0).decode(errors="replace")
        with suppress(ValueError, TypeError):
            return cls(**json.loads(text))
        return None


@contextmanager
def folder_lock(folder: str | os.PathLike, *, name: str = "run.lock", what: str = "", remedy: str) -> Iterator[None]:
    """Own a folder, which is made, in the block.

    Args:
        folder: Where the lock lies.
        name: Of its file, which is gone after the block.
        what: Beginning of the message to a second command, with a verb; by default "<folder> is in use".
        remedy: End of that message: what to do instead of waiting.

    Raises:
        InUse: Another command owns it.
        WriteError: The folder does not take the file.
    """
    path = Path(folder) / name
    file = _lock(path, what or f"{folder} is in use", remedy)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        with suppress(OSError):
            if _is_there(file, path):
                path.unlink()
        _HELD.discard(file)
        os.close(file)


def refuse_if_locked(folder: str | os.PathLike, *, name: str = "run.lock", what: str = "", remedy: str) -> None:
    """Refuse a folder that a living process of this machine owns, before anything heavy is imported.

    Raises:
        InUse: Such a process owns it. The arguments are those of :func:`folder_lock`.
    """
    path = Path(folder) / name
    if not os.path.isfile(path):  # a pipe may never be opened
        return
    with suppress(OSError), open(path, "rb") as file:
        owner = Owner.of(file.fileno())
        if owner is None or owner.host != socket.gethostname() or not Path(f"/proc/{owner.pid}").exists():
            return  # the lock is not touched for an instant: another one may be about to take it
        if _try_lock(file.fileno(), fcntl.LOCK_SH) == "refused":
            raise InUse(_in_use(path, owner, what or f"{folder} is in use", remedy))


def _lock(path: Path, what: str, remedy: str) -> int:
    while True:
        with writing(path if os.path.lexists(path) else path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            refuse_device(path)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _HELD.add(file)
        try:
            reach = _try_lock(file)
            before = Owner.of(file)
            if reach == "refused":
                raise InUse(_in_use(path, before or _awaited_owner(file), what, remedy))
            if not _is_there(file, path):  # its owner has just ended
                continue
            seen = reach == "locked" and before is not None and before.host == socket.gethostname()
            if before is not None and not seen and _is_alive(path, before):
                raise InUse(_in_use(path, before, what, remedy))
            _write_down(file, path)
            kept, file = file, None
            return kept
        finally:
            if file is not None:
                _HELD.discard(file)
                os.close(file)


def _try_lock(file: int, kind: int = fcntl.LOCK_EX) -> str:
    """Lock an open file: "locked", "refused" where another process has done it, or "none" where there are no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        return "refused" if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else "none"
    return "locked"


def _write_down(file: int, path: Path) -> None:
    try:
        with writing(path):
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(Owner.this()._asdict()).encode(), 0)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _awaited_owner(file: int) -> Owner | None:
    """The owner of a lock that was taken just now, once it is written down."""
    until, owner = time.monotonic() + 1, None
    while owner is None and time.monotonic() < until:
        time.sleep(0.01)
        owner = Owner.of(file)
    return owner


def _is_there(file: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), os.stat(path))
    return False


def _is_alive(path: Path, owner: Owner) -> bool:
    """Whether an owner gives a sign of life, whose lock may not be seen from here."""
    logger.warning("%s was left by process %d on %s: waiting %.0f s for a sign of life.", path, owner.pid, owner.host,
                   WATCH_SECONDS)
    first, until = _changed(path), time.monotonic() + WATCH_SECONDS
    while time.monotonic() < until:
        if _changed(path) != first:
            return True
        time.sleep(min(1, WATCH_SECONDS / 10))
    return False


def _changed(path: Path) -> int:
    with open(path, "rb") as file:  # opening it makes NFS ask the server
        return os.fstat(file.fileno()).st_mtime_ns


def _beat(file: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(file)


def _in_use(path: Path, owner: Owner | None, what: str, remedy: str) -> str:
    if owner is None:
        return f"{what} by another process; wait for it, or {remedy}."
    here = owner.host == socket.gethostname()
    end = f"end it (kill {owner.pid})" if here else f"end it there, or remove {path} if that machine is gone"
    return (f"{what} by process {owner.pid} on {owner.host} since {owner.since} ({owner.command}); wait for it, {end}, "
            f"or {remedy}.")


def _forget() -> None:
    """Let go of the parent's locks in a forked child, which would hold them after the parent's death."""
    for file in _HELD:
        os.close(file)
    _HELD.clear()


os.register_at_fork(after_in_child=_forget)
