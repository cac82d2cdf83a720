"""What a split list says of a clip, and the id by which its point file is known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trokens.registry import Registry

READERS = Registry("dataset")  # filled by trokens.clips.datasets
DEFAULT_FPS = 10.0  # frames a second at which points are extracted
FPS = {"ssv2": 12.0}  # where it is another rate
SPLITS = ("train", "val", "test")
SPLIT_NAMES = {name: split for split, names in {  # of folders, in lower case
    "train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}.items()
    for name in names}
_SHORT_NAMES = {"k400": lambda name: name[:11],
                **dict.fromkeys(("ssv2", "hmdb51", "ucf101", "finegym"), lambda name: name.split(".")[0])}


class Row(NamedTuple):
    """One clip of a split list: its split, video (below the folder of the videos), label and id."""

    split: str
    video: str
    class_id: int
    class_name: str
    id: str


@dataclass(frozen=True)
class Source:
    """What a reader may read.

    Attributes:
        videos: Folder of the videos.
        lists: Folder of the published split lists (``few_shot_info``).
        ssv2_split: Folder below ``lists`` of Something-Something's lists.
        split_csv: CSV ``path,label,split`` of a folder dataset, or "".
    """

    videos: Path
    lists: Path
    ssv2_split: str = ""
    split_csv: str = ""


def check_ids(rows: Sequence[Row]) -> None:
    """Check that no two clips share an id, and so a point file.

    Raises:
        ValueError: Two do; the message names both videos.
    """
    seen: dict[str, str] = {}
    for row in rows:
        if row.id in seen:
            raise ValueError(f"Two clips have the id '{row.id}' and would share one point file: {seen[row.id]} and "
                             f"{row.video}; rename or drop one of them.")
        seen[row.id] = row.video


def clip_id(path: str | os.PathLike, root: str | os.PathLike, dataset: str = "folder") -> str:
    """Id of a clip, for extraction and training alike.

    In the published datasets it is the file's name up to its first dot, in Kinetics the 11 characters of the YouTube
    id; in all others the path below ``root`` without suffix, ``/`` written ``__``.

    Raises:
        ValueError: ``path`` does not lie below ``root``.
    """
    if shorten := _SHORT_NAMES.get(dataset.lower()):
        return shorten(os.path.basename(path))
    return os.path.splitext(below(path, root))[0].replace(os.sep, "__")


def inside(path: str | int) -> str:
    """A relative path that stays below its root."""
    if str(path).startswith("/") or ".." in str(path).split("/"):
        raise ValueError(f"'{path}' does not lie below the folder of the videos.")
    return str(path)


def below(path: str | os.PathLike, root: str | os.PathLike) -> str:
    relative = os.path.relpath(path, root)
    if relative.split(os.sep)[0] in ("..", "."):
        raise ValueError(f"'{path}' does not lie below the folder of the videos, {root}.")
    return relative
