"""The clips that `trokens predict` is asked about: files, folders, patterns and lists; and what is known of them."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trokens.clips.classes import reading
from trokens.clips.walk import find_videos
from trokens.recognize.cache import content_of
from trokens.recognize.examples import Example, read_labeled

logger = logging.getLogger(__name__)


class Query(NamedTuple):
    """A clip that is asked about, or a word for which there is none.

    Attributes:
        path: The clip; else the word.
        true_action: What it shows, where that is known.
        error: Why there is no clip, in one line.
    """

    path: str
    true_action: str | None = None
    error: str | None = None


def find_queries(words: Sequence[str], actions: Iterable[str]) -> list[Query]:
    """Find the clips that words stand for, in their order, each once.

    A clip shows what a list says, where a label may be empty; or else the action that the innermost folder is called
    like, of those that lead to it from the word's own folder on.

    Args:
        words: Files, folders that are searched to any depth, patterns, and CSV (or JSON) lists with the columns
            ``path`` and ``label``.
        actions: Their names.
    """
    names = _Names(actions)
    found: dict[str, Query] = {}
    for word in words:
        for query in _clips_of(word, names):
            key = os.path.realpath(query.path)
            first = found.setdefault(key, query)
            if first.true_action is None and query.true_action is not None:
                found[key] = first._replace(true_action=query.true_action)
            elif query.true_action not in (None, first.true_action):
                logger.warning("'%s' is given as '%s' and as '%s'; the first counts.", first.path, first.true_action,
                               query.true_action)
    return list(found.values())


class _Names:
    """The actions by how people read their names."""

    def __init__(self, actions: Iterable[str]):
        self._actions = list(dict.fromkeys(map(str, actions)))

    def meant(self, name: str) -> str | None:
        """The action of a name; None where there is none, or several that read alike."""
        if name in self._actions:
            return name
        alike = [action for action in self._actions if reading(action) == reading(name)]
        return alike[0] if len(alike) == 1 else None

    def of_folders(self, path: Path, start: Path) -> str | None:
        """The action that the innermost folder is called like, of those from ``start`` (that too) to a file."""
        inside = [*path.parent.relative_to(start).parts[::-1], start.resolve().name]
        return next(filter(None, map(self.meant, inside)), None)


def _clips_of(word: str, names: _Names) -> Iterator[Query]:
    if not os.path.lexists(word):
        word = os.path.expanduser(word)  # which a shell leaves in quotes
    try:
        if os.path.isdir(word):
            yield from _in_folder(word, names)
        elif os.path.isfile(word) and word.lower().endswith((".csv", ".json")):
            for path, label, _ in read_labeled(word, all_labels=False):
                yield _file(path, label and (names.meant(label) or label))
        elif glob.has_magic(word) and not os.path.lexists(word):
            yield from _of_pattern(word, names)
        else:
            yield _file(word, names.meant(Path(word).resolve().parent.name))
    except (ValueError, OSError) as error:
        yield Query(word, error=" ".join(str(error).split()))


def _file(path: str, action: str | None) -> Query:
    if not os.path.lexists(path):
        return Query(path, action, f"There is no '{path}'.")
    # What is no file, such as a device or a pipe, might be read for ever; a link that leads nowhere is for the reader.
    return Query(path, action, f"'{path}' is no file." if os.path.exists(path) and not os.path.isfile(path) else None)


def _in_folder(folder: str, names: _Names) -> Iterator[Query]:
    found = _below(folder, names)
    yield from found or [Query(folder, error=f"'{folder}' holds no video.")]


def _of_pattern(pattern: str, names: _Names) -> Iterator[Query]:
    if found := _below(pattern, names):
        yield from found
        return
    folders = sorted(filter(os.path.isdir, glob.iglob(pattern, recursive=True)))  # a shell would have made these of it
    if not folders:
        yield Query(pattern, error=f"No video fits '{pattern}'.")
    for folder in folders:
        yield from _in_folder(folder, names)


def _below(source: str, names: _Names) -> list[Query]:
    """The videos in a folder, or of a pattern."""
    paths, root = find_videos(source)
    return [Query(str(path), names.of_folders(path, root)) for path in paths]


def examples_among(paths: Sequence[str], examples: Sequence[Example]) -> int:
    """How many clips have the content of an example."""
    keys = {example.key for example in examples}
    sizes = {os.path.getsize(example.path) for example in examples if os.path.isfile(example.path)}
    return sum(os.path.isfile(path) and os.path.getsize(path) in sizes and content_of(path).key in keys
               for path in paths)
