"""Files that are whole or absent, whoever is killed when."""

from __future__ import annotations

import csv
import hashlib
import os
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_NAME = 255  # bytes, on nearly every file system


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Give a path to write to, which takes the name ``path`` once the block has ended without an error.

    A reader never sees part of a file, and of several writers the last one wins. The folder is made. A killed process
    leaves its unfinished file behind, hidden, for :func:`remove_unfinished`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{_stem(path.name)}.{secrets.token_hex(4)}.tmp")
    try:
        yield unfinished
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name without the content
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_csv(path: str | os.PathLike, rows: Iterable[Iterable]) -> None:
    """Write a whole CSV, a header being the first of its rows. Names of files may be no UTF-8; their bytes are kept."""
    with whole_file(path) as unfinished, open(unfinished, "w", encoding="utf-8", errors="surrogateescape",
                                              newline="") as file:
        csv.writer(file).writerows(rows)


def remove_unfinished(paths: Iterable[Path]) -> None:
    """Remove what killed writers of these files left in their folders; nobody may be writing them now."""
    stems: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        stems[path.parent].add(_stem(path.name))
    for folder, wanted in stems.items():
        for name in os.listdir(folder) if folder.is_dir() else ():
            if name.startswith(".") and name.endswith(".tmp") and name[1:].rsplit(".", 2)[0] in wanted:
                (folder / name).unlink()


def _stem(name: str) -> str:
    """What an unfinished file is called by: the name, or a hash where that would be too long with what is added."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME - 14 else hashlib.sha256(encoded).hexdigest()
