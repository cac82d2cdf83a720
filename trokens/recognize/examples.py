"""The examples of each action, in folders or a CSV; what is wrong with them is said before anything is computed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trokens.clips.class_folders import class_videos
from trokens.clips.classes import clean, reading
from trokens.clips.records import read_records
from trokens.recognize.cache import content_of
from trokens.recognize.describe import Described, Describer, describe_all, describe_one, one_line, path_of
from trokens.recognize.description import Description
from trokens.recognize.options import UNKNOWN
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
    labels = [record.get("label") for record in records]
    return [Example(str(path.parent / str(record["path"])), None if label in (None, "") else str(label))
            for record, label in zip(records, labels, strict=True)]


def gather_examples(X: Sequence | Mapping | str | os.PathLike, y: Sequence | None) -> list[Example]:
    """The examples that `FewShotClassifier.fit` was given, in any of the forms that it takes.

    Raises:
        FileNotFoundError, ValueError: They have none of these forms.
    """
    if isinstance(X, Mapping):
        if y is not None:
            raise ValueError("fit was given both {action: paths} and labels; give one of them.")
        for label, paths in X.items():
            if isinstance(paths, str | os.PathLike):
                raise ValueError(f"Action '{label}' is given one path, not a list of them; write ['{paths}'].")
            if not len(paths):
                raise ValueError(f"Action '{label}' has no clip; add one, or leave it out.")
        return [Example(path_of(path), label) for label, paths in X.items() for path in paths]
    if isinstance(X, str | os.PathLike):
        if y is not None:
            raise ValueError("fit was given a folder or a CSV and labels too; these have their own.")
        return read_examples(X)
    if y is None:
        raise ValueError("fit needs the action of every clip: it requires y to be passed, but the target y is None.")
    paths, labels = list(X), list(y)
    if len(paths) != len(labels):
        raise ValueError(f"There are {len(paths)} clips and {len(labels)} labels; every clip needs one.")
    return [Example(path_of(path), label) for path, label in zip(paths, labels, strict=True)]


def check_examples(examples: Sequence[Example]) -> list[Example]:
    """Open every example; leave out what cannot be read, and what an action has twice, each with a warning.

    Returns:
        The others, with their keys.

    Raises:
        ValueError: The labels cannot tell two actions apart, an action has no readable clip, or two actions share one.
    """
    _check_labels([example.label for example in examples])
    kept: list[Example] = []
    first: dict[str, Example] = {}
    causes: dict[Any, list[str]] = {}
    for example in examples:
        try:
            probe(example.path)
            key = content_of(example.path).key
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
    _check_none_lost(kept, {label: lines[0] for label, lines in causes.items()})
    for label, lines in causes.items():
        for line in lines:
            logger.warning("An example of '%s' is left out: %s", label, line)
    return kept


def _check_labels(labels: Sequence) -> None:
    """Refuse labels that cannot tell two actions apart."""
    kinds = {"texts": str, "numbers": Number | np.bool_}
    first: dict[str, Any] = {}
    for label in labels:
        kind = next((name for name, types in kinds.items() if isinstance(label, types)), None)
        if kind is None:
            raise ValueError(f"A label is {label!r}, of type {type(label).__name__}; expected a text or a number.")
        first.setdefault(kind, label)
    if len(first) > 1:
        raise ValueError(f"Some labels are texts, such as {str(first['texts'])!r}, and some are numbers, such as "
                         f"{first['numbers']}; give all of one kind.")
    labels = list(dict.fromkeys(labels))
    if len(labels) < 2:
        shown = f"show one action alone, '{labels[0]}'" if labels else "show no action"
        raise ValueError(f"The examples {shown}; it takes two or more to tell them apart.")
    alike: dict[str, Any] = {}
    for label in labels:
        other = alike.setdefault(reading(str(label)), label)
        if other != label:
            raise ValueError(f"Actions '{other}' and '{label}' are the same but for case, white space or Unicode form; "
                             "write them alike, or rename one.")


def _check_none_lost(kept: Sequence[Example], causes: Mapping[Any, str]) -> None:
    """Refuse to go on without an action; ``causes`` say by label why an example of it is lost."""
    there = {example.label for example in kept}
    for label, cause in causes.items():
        if label not in there:
            raise ValueError(f"Action '{label}' has no readable clip: {cause}")


def check_counts(examples: Sequence[Example], reject: float | None) -> None:
    """Tell what keeps ``reject`` from being measured.

    Raises:
        ValueError: An action has one example, or the name of what is none of them.
    """
    if reject is None:
        return
    labels, counts = np.unique([str(example.label) for example in examples], return_counts=True)
    if UNKNOWN in labels:
        raise ValueError(f"An action is called '{UNKNOWN}', which is what reject calls a clip of none; rename it.")
    if counts.min() < 2:
        raise ValueError(f"reject is {reject:g}, but action '{labels[counts.argmin()]}' has one example: the distance "
                         "beyond which a clip is unknown is measured by leaving examples out, so every action needs "
                         "two.")


def describe_examples(
        examples: Sequence[Example], describer: Describer, workers: int | None, further: Sequence[str] = (),
) -> tuple[list[Example], list[Description], Iterator[tuple[str, Described]]]:
    """Describe the examples; those that cannot be are left out with a warning, unless an action has no other.

    Args:
        examples: Opened ones.
        describer, workers: As `describe_all` takes them.
        further: Clips that the same processes, which take seconds to start, describe too.

    Returns:
        The examples that are kept, their descriptions, and the further clips as they are done, each with its path.

    Raises:
        ValueError: An action has no example that could be described.
    """
    paths = dict.fromkeys(example.path for example in examples)
    stream = describe_all(list(dict.fromkeys((*paths, *further))), describer, workers)
    found: dict[str, Described] = {}
    early: dict[str, Described | None] = {}  # None for what is in the cache: there may be thousands
    while len(found) < len(paths):
        path, described = next(stream)
        if path in paths:
            found[path] = described
        else:
            early[path] = None if described.description is not None and not described.seconds else described
    kept = [example for example in examples if found[example.path].description is not None]
    lost = [(example.label, found[example.path].error) for example in examples if found[example.path].error]
    _check_none_lost(kept, dict(reversed(lost)))
    for label, error in lost:
        logger.warning("An example of '%s' is left out: %s", label, error)

    def others() -> Iterator[tuple[str, Described]]:
        yield from ((path, found[path]) for path in dict.fromkeys(further) if path in found)
        yield from ((path, described or describe_one((path, None), describer)) for path, described in early.items())
        yield from stream

    return kept, [found[example.path].description for example in kept], others()
