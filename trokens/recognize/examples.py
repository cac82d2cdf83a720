"""The examples of each action, in folders or a CSV; what is wrong with them is said before anything is computed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trokens.clips.class_folders import class_videos
from trokens.clips.classes import clean, reading
from trokens.clips.records import read_records
from trokens.recognize.cache import content_key
from trokens.recognize.describe import one_line
from trokens.video import VideoError, probe

logger = logging.getLogger(__name__)

_HOW = "give a folder with one subfolder an action, or a CSV with the columns path,label"


class Example(NamedTuple):
    """A clip whose action is known; ``key`` tells its content from any other, once the file was opened."""

    path: str
    label: Any
    key: str = ""


def read_examples(source: str | os.PathLike) -> list[Example]:
    """Find the examples of each action, in the order of the actions and of the files' names.

    Args:
        source: A folder with one subfolder an action, in which videos may lie at any depth; or a CSV (or a JSON list)
            with the columns ``path``, relative to its folder or absolute, and ``label``.

    Raises:
        FileNotFoundError: There is no such folder or list.
        ValueError: It holds no examples, or none of an action.
    """
    source = Path(source)
    if source.is_dir():
        return _from_folder(source)
    if not source.exists():
        raise FileNotFoundError(f"There are no examples at '{source}'; {_HOW}.")
    if source.suffix.lower() not in (".csv", ".json"):
        raise ValueError(f"'{source}' is neither a folder nor a CSV; {_HOW}.")
    return read_labeled(source)


def _from_folder(root: Path) -> list[Example]:
    found = [Example(str(root / video.video), video.class_name) for video in class_videos(root, {})]
    actions = {clean(folder.name) or folder.name: folder for folder in sorted(root.iterdir())
               if folder.is_dir() and not folder.name.startswith(".")}
    if not actions:
        raise ValueError(f"'{root}' holds no folders of actions; {_HOW}.")
    for label in actions.keys() - {example.label for example in found}:
        raise ValueError(f"Action '{label}' has no clip: '{actions[label]}' holds no video; add one, or remove the "
                         "folder.")
    return found


def read_labeled(path: str | os.PathLike, *, all_labels: bool = True) -> list[Example]:
    """Read a CSV (or a JSON list) with the columns ``path``, relative to its folder or absolute, and ``label``.

    Args:
        all_labels: Whether every clip needs one; else it may be None.

    Raises:
        ValueError: It is no such list; the message names the clip.
    """
    path = Path(path)
    columns = ("path", "label") if all_labels else ("path",)
    records = read_records(path, columns, raw=lambda text: (path.parent / text).is_file())
    return [Example(str(path.parent / str(record["path"])), _label(record.get("label"))) for record in records]


def _label(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def gather_examples(X: Sequence | Mapping | str | os.PathLike, y: Sequence | None) -> list[Example]:
    """What `FewShotClassifier.fit` was given, as examples.

    Raises:
        FileNotFoundError, ValueError: It is of no form that it takes.
    """
    if isinstance(X, Mapping):
        if y is not None:
            raise ValueError("fit was given both {action: paths} and labels; give one of them.")
        for label, paths in X.items():
            if isinstance(paths, str | os.PathLike):
                raise ValueError(f"Action '{label}' is given one path, not a list of them; write ['{paths}'].")
            if not len(paths):
                raise ValueError(f"Action '{label}' has no clip; add one, or leave it out.")
        pairs = [(path, label) for label, paths in X.items() for path in paths]
        return as_examples([path for path, _ in pairs], [label for _, label in pairs])
    if isinstance(X, str | os.PathLike):
        if y is not None:
            raise ValueError("fit was given a folder or a CSV and labels too; these have their own.")
        return read_examples(X)
    if y is None:
        raise ValueError("fit needs the action of every clip: it requires y to be passed, but the target y is None.")
    return as_examples(X, y)


def as_examples(paths: Iterable[str | os.PathLike], labels: Iterable) -> list[Example]:
    """Pair clips with their actions.

    Raises:
        ValueError: There are not as many labels as clips, or a path is none.
    """
    paths, labels = list(paths), list(labels)
    if len(paths) != len(labels):
        raise ValueError(f"There are {len(paths)} clips and {len(labels)} labels; every clip needs one.")
    return [Example(path_of(path), label) for path, label in zip(paths, labels, strict=True)]


def path_of(path: Any) -> str:
    """A clip's path as text.

    Raises:
        ValueError: It is something else, such as an array of numbers.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"A clip is given as {type(path).__name__}; expected the path of a video.")
    return os.fspath(path)


def check_examples(examples: Sequence[Example]) -> list[Example]:
    """Open every example; leave out what cannot be read, and what an action has twice, each with a warning.

    Returns:
        The others, with their keys.

    Raises:
        ValueError: There are fewer than two actions, two are called the same, an action has no readable clip, or two
            actions share a clip.
    """
    labels = list(dict.fromkeys(example.label for example in examples))
    if len(labels) < 2:
        shown = f"show one action alone, '{labels[0]}'" if labels else "show no action"
        raise ValueError(f"The examples {shown}; it takes two or more to tell them apart.")
    alike: dict[str, Any] = {}
    for label in labels:
        other = alike.setdefault(reading(str(label)), label)
        if other != label:
            raise ValueError(f"Actions '{other}' and '{label}' are the same but for case, white space or Unicode form; "
                             "write them alike, or rename one.")
    kept: list[Example] = []
    first: dict[str, Example] = {}
    causes: dict[Any, list[str]] = {}
    for example in examples:
        try:
            probe(example.path)
            key = content_key(example.path)
        except (VideoError, OSError) as error:
            causes.setdefault(example.label, []).append(one_line(example.path, error))
            continue
        other = first.setdefault(key, example)
        if other.label != example.label:
            raise ValueError(f"'{other.path}' and '{example.path}' are the same clip, once as '{other.label}' and once "
                             f"as '{example.label}'; remove one of them.")
        if other is example:
            kept.append(example._replace(key=key))
        else:
            logger.warning("An example of '%s' is left out: '%s' is the same clip as '%s'.", example.label,
                           example.path, other.path)
    for label in labels:
        if label not in {example.label for example in kept}:
            raise ValueError(f"Action '{label}' has no readable clip: {causes[label][0]}")
    for label, lines in causes.items():
        for line in lines:
            logger.warning("An example of '%s' is left out: %s", label, line)
    return kept
