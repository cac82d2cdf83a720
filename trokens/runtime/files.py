"""Files that are whole or absent, whoever is killed when, and one sentence where a disk does not take them.

Every file that the package writes goes through :func:`whole_file`, but for three kinds that are no wholes: logs, which
grow by :func:`append_line`; locks and counters, which processes hold open; and rows that are written in place, each
with a check sum (``reuse/row_file.py``).
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import json
import os
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LONGEST_NAME = 255  # bytes, on nearly every file system
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # no reading ends with them
_REMEDY = "free some space there, or choose another folder"
_DENIED = (errno.EACCES, errno.EPERM)
_REMEDIES = {
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or choose a folder on another file system",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENAMETOOLONG: "choose a folder with a shorter path",
    errno.EISDIR: "move the folder that is in the way, or choose another one",
    errno.ENOENT: "choose a folder that is there, or can be made",
    **dict.fromkeys(_DENIED, "change its permissions, or choose another folder"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "move the file that is in the way, or choose another folder"),
}


class WriteError(OSError):
    """A file cannot be written; the message names it, the cause and a remedy."""


def in_words(error: BaseException) -> str:
    """An error's message; for the system's about a path, a sentence with a remedy in place of its number."""
    if isinstance(error, OSError) and error.strerror and error.filename and str(error).startswith("[Errno"):
        remedy = ("change its permissions, or give another path" if error.errno in _DENIED
                  else "correct its path, or what lies there")
        return f"{os.fsdecode(error.filename)} cannot be used ({error.strerror}); {remedy}."
    return str(error)


def refuse_device(path: str | os.PathLike) -> None:
    """Raise a FileExistsError where a device or a pipe is in a file's place: opening it may never return."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise FileExistsError(errno.EEXIST, "it is a device or a pipe")


@contextmanager
def writing(path: str | os.PathLike, remedy: str = _REMEDY) -> Iterator[None]:
    """Turn every OSError of the block into a WriteError about this file or folder.

    Args:
        remedy: What to do where the disk is full.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{path} cannot be written ({error.strerror or error}); "
                         f"{_REMEDIES.get(error.errno, remedy)}.") from error


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Give a path to write to, which takes the name ``path`` once the block has ended without an error.

    A reader never sees part of a file, and of several writers the last one wins. The folder is made. A killed process
    leaves its unfinished file behind, hidden, for :func:`remove_unfinished`.

    Raises:
        WriteError: The disk does not take it, whatever the block made of that; nothing is left of it.
    """
    path = Path(path)
    unfinished = _unfinished(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        mark = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # where the file system has no locks
            fcntl.flock(mark, fcntl.LOCK_EX)  # tells that its writer is alive
        try:
            yield unfinished
        except Exception as error:
            if cause := _cause_in_disk(error, unfinished, path):
                with writing(path):
                    raise cause from error
            raise
        with writing(path):
            with open(unfinished, "rb") as file:
                os.fsync(file.fileno())  # else a power cut may leave the name without the content
            os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    finally:
        os.close(mark)


def _cause_in_disk(error: Exception, unfinished: Path, path: Path) -> OSError | None:
    """The system's error, where the disk is why a writer ended.

    Libraries raise errors of their own then, so the disk is asked. An OSError may also be about what the writer reads.
    """
    if isinstance(error, OSError) and (error.errno in _NO_ROOM or error.filename in map(str, (unfinished, path))):
        return error
    try:
        with open(unfinished, "ab") as file:
            file.write(bytes(2**16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as cause:
        return cause if cause.errno in _NO_ROOM else None
    return None


def check_writable(path: str | os.PathLike) -> None:
    """Find out before the work, and not after it, whether a file can be made there.

    Raises:
        WriteError: It cannot.
    """
    path = Path(path)
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = _unfinished(path)
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        unfinished.unlink()


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a whole file."""
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a whole text, in UTF-8."""
    write_bytes(path, text.encode())


def append_line(path: Path, line: str) -> None:
    """Add a whole line to a file.

    Raises:
        WriteError: The disk does not take it; nothing of it is left.
    """
    rest = f"{line}\n".encode()
    with writing(path), open(path, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[file.write(rest):]  # where only a part has room, the next attempt tells why
        except OSError:
            file.truncate(before)
            raise


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a whole JSON file."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_csv(path: str | os.PathLike, rows: Iterable[Iterable]) -> None:
    """Write a whole CSV, a header being the first of its rows. Names of files may be no UTF-8; their bytes are kept."""
    with whole_file(path) as unfinished, open(unfinished, "w", encoding="utf-8", errors="surrogateescape",
                                              newline="") as file:
        csv.writer(file).writerows(rows)


def remove_unfinished(paths: Iterable[Path]) -> None:
    """Remove what killed writers of these files left unfinished; what a living one is writing stays."""
    stems: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        stems[path.parent].add(_stem(path.name))
    for folder, wanted in stems.items():
        for name in os.listdir(folder) if folder.is_dir() else ():
            if name.startswith(".") and name.endswith(".tmp") and name[1:].rsplit(".", 2)[0] in wanted:
                _remove_abandoned(folder / name)


def remove_all_unfinished(folder: Path) -> None:
    """Remove what killed writers left in a folder, whatever the files' names."""
    for path in [*folder.glob(".*.tmp"), *folder.glob("*.partial")]:  # the second ones by older versions
        _remove_abandoned(path)


def _remove_abandoned(path: Path) -> None:
    with suppress(FileNotFoundError), open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:  # no locks there: as if its writer were gone
            pass
        path.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{_stem(path.name)}.{secrets.token_hex(4)}.tmp")


def _stem(name: str) -> str:
    """The file's name as a part of its unfinished one; a hash where that would be too long."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME - 14 else hashlib.sha256(encoded).hexdigest()
