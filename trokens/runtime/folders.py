"""The files below a folder: every real folder is visited once, whatever links lead to it, also to one above it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Collection
from typing import NamedTuple


class Tree(NamedTuple):
    """What lies below a folder; all paths start from it.

    Attributes:
        files: The files, by their folders in the order of visit.
        hidden: Files and folders whose names start with a dot; they are passed over.
        again: Links to folders that are visited by another name, with that name; and links to folders above ``root``
            or above the link, which are not visited, with their absolute paths.
        lost: What cannot be read: links that lead nowhere, folders that are closed, what is neither file nor folder.
    """

    files: list[str]
    hidden: list[str]
    again: list[tuple[str, str]]
    lost: list[str]


def walk(root: str | os.PathLike, *, first: Collection[str] = (),
         skip: Callable[[Collection[str]], bool] | None = None) -> Tree:
    """List all files below a folder. Links are followed, but no folder is taken by two names, nor one that lies above.

    A folder's own name comes before those that links give it, else the first in alphabetical order counts.

    Args:
        root: The folder.
        first: Folders right below it whose names, and those that links in them give, come before all others.
        skip: Given the names of a folder's subfolders, whether nothing below it is taken.

    Raises:
        OSError: ``root`` itself cannot be read.
    """
    tree, seen, own = Tree([], [], [], []), {}, os.path.realpath(root)
    waiting = [(False, False, "")]  # (is not among the first, is a link, path): the least one is next
    while waiting:
        later, is_link, folder = heapq.heappop(waiting)
        try:
            path = os.path.join(root, folder)
            status = os.stat(path)
            name = seen.get((status.st_dev, status.st_ino)) if folder else None
            if name is None and is_link:
                name = above(path, own)
            if name is not None:
                tree.again.append((folder, name))
                continue
            seen[status.st_dev, status.st_ino] = folder
            with os.scandir(path) as entries:
                kinds = [(entry, kind(entry)) for entry in entries]
        except OSError:
            if not folder:
                raise
            tree.lost.append(folder)
            continue
        if skip and skip({entry.name for entry, what in kinds if what == "folder"}):
            continue
        for entry, what in kinds:
            path = os.path.join(folder, entry.name)
            if entry.name.startswith("."):
                tree.hidden.append(path)
            elif what == "folder":
                heapq.heappush(waiting, (later if folder else entry.name not in first, entry.is_symlink(), path))
            else:
                (tree.files if what == "file" else tree.lost).append(path)
    return tree


def above(link: str | os.PathLike, root: str) -> str | None:
    """Where a link leads, if the folder ``root`` (without links in its path) or the link itself lies in that folder."""
    target = os.path.realpath(link)
    folders = (root, os.path.realpath(os.path.dirname(link)))
    return target if any(os.path.join(x, "").startswith(os.path.join(target, "")) for x in folders) else None


def kind(entry: os.DirEntry) -> str:
    """What an entry of a folder, or what a link in it leads to, is: "folder", "file", or else ""."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link to itself
        return ""
