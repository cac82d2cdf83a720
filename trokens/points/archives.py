"""Zip files from the internet: unpack what is wanted of them, each file to where it belongs and nowhere else."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trokens.points.pickles import MAX_BYTES
from trokens.runtime.files import remove_unfinished, whole_file


class Unpacked(NamedTuple):
    """How many wanted files of an archive were written, and how many were there before."""

    written: int
    present: int


def unpack(archive: str | os.PathLike, root: str | os.PathLike, place: Callable[[str], str | None], *,
           rerun: bool = False, progress: Callable[[list, int], Iterable] = lambda items, _total: items) -> Unpacked:
    """Unpack a zip file; one that was left half unpacked is gone on with.

    Every file is written whole or not at all, and its checksum is compared. A file of the right size counts as there.

    Args:
        archive: The zip file. Its entries' paths are not trusted: links and paths that lead out are refused.
        root: Folder to write below.
        place: Entry's path, checked -> path below ``root`` to write it to, or None to leave it out.
        rerun: Write again what is there.
        progress: Wraps the list of files to write, given their number.

    Raises:
        ValueError: The archive is broken or unsafe, or needs more than the disk has; nothing was written, but for
            an entry that turned out to be broken.
        OSError: A file cannot be written.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as file:
            wanted = _wanted(archive, file, root, place)
            todo = [(entry, path) for entry, path in wanted.items()
                    if rerun or not path.is_file() or path.stat().st_size != entry.file_size]
            needed, free = sum(entry.file_size for entry, _ in todo), shutil.disk_usage(root).free
            if needed > free:
                raise ValueError(f"{archive} would take {needed >> 20} MiB, and {root} has {free >> 20} MiB left; "
                                 "make room, or choose another folder.")
            remove_unfinished(path for _, path in todo)
            for entry, path in progress(todo, len(todo)):
                with whole_file(path) as unfinished, file.open(entry) as source, open(unfinished, "wb") as target:
                    shutil.copyfileobj(source, target)  # no more than the declared size, then the checksum
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{archive} cannot be unpacked: {str(error).rstrip('.')}; delete it and fetch it again."
                         ) from error
    return Unpacked(len(todo), len(wanted) - len(todo))


def _wanted(archive: str | os.PathLike, file: zipfile.ZipFile, root: Path,
            place: Callable[[str], str | None]) -> dict[zipfile.ZipInfo, Path]:
    """Entries to write, with their files."""
    wanted: dict[zipfile.ZipInfo, Path] = {}
    for entry in file.infolist():
        name = entry.orig_filename.replace("\\", "/")
        if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/") or "\0" in name:
            raise ValueError(f"{archive} is not safe to unpack: its entry {name!r} leads out of the folder.")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{archive} is not safe to unpack: its entry {name!r} is a link or a device.")
        target = None if name.endswith("/") else place(str(PurePosixPath(name)))
        if target is None:
            continue
        if entry.file_size > MAX_BYTES:
            raise ValueError(f"{archive} is not safe to unpack: its entry {name!r} would take "
                             f"{entry.file_size >> 20} MiB, more than any point file ({MAX_BYTES >> 20} MiB).")
        wanted[entry] = root / target
    if len(set(wanted.values())) < len(wanted):
        raise ValueError(f"{archive} is not safe to unpack: several of its entries belong to one file.")
    return wanted
