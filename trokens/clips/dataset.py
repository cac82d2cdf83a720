"""What there is to know of a dataset: how its lists are read and written, and what its clips and points are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trokens.registry import Registry

DATASETS = Registry("dataset", package="trokens.clips.datasets")
SPLITS = ("train", "val", "test")
SPLIT_NAMES = {name: split for split, names in {  # of folders, in lower case
    "train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}.items()
    for name in names}
FPS = 10.0  # frames a second at which points are extracted, where a dataset has no rate of its own
LISTS = "few_shot_info"  # folder of the published split lists, below that of the point data


class Row(NamedTuple):
    """One clip of a split list: its split, video (below the folder of the videos), label, class name and id."""

    split: str
    video: str
    class_id: int
    class_name: str
    id: str = ""  # given by `Dataset.rows`


@dataclass(frozen=True)
class Source:
    """What a dataset is read from.

    Attributes:
        videos: Folder of the videos.
        lists: Folder of the published split lists.
        variant: Which of a dataset's lists, where it has several.
        split_csv: CSV ``path,label,split`` of a folder dataset, or "".
    """

    videos: Path
    lists: Path
    variant: str = ""
    split_csv: str = ""


@dataclass(frozen=True)
class Dataset:
    """A dataset, as one file of `trokens.clips.datasets` describes it.

    Attributes:
        name: In TRAIN.DATASET, and of the folder of its point files.
        read: Reads its lists: a row for every clip of all splits, without ids.
        form: Name of its lists' form, for `trokens splits --format`.
        write: Writes rows in that form to a path.
        place: Where such a list belongs below DATA.PATH_TO_TROKEN_PT_DATA.
        videos: Where its videos are looked for below DATA.PATH_TO_DATA_DIR, in words.
        short_id: From a file's name to a clip's id; None takes the path below the folder of the videos.
        fps: Frames a second at which its points are extracted.
        archive: Pattern of what folders and archives of its published points are called by; "": none are published.
        variants: Its lists, where it has several.
    """

    name: str
    read: Callable[[Source], list[Row]]
    form: str
    write: Callable[[Path, Sequence[Row]], None]
    place: str
    videos: str = "the paths in it"
    short_id: Callable[[str], str] | None = None
    fps: float = FPS
    archive: str = ""
    variants: tuple[str, ...] = ("",)

    def clip_id(self, path: str | os.PathLike, root: str | os.PathLike) -> str:
        """Id of a clip, for extraction and training alike; see `clip_id`."""
        return self.short_id(os.path.basename(path)) if self.short_id else clip_id(path, root)

    def rows(self, source: Source) -> list[Row]:
        """Every clip of all splits; a ValueError or FileNotFoundError tells of a list that is broken or missing."""
        return [row._replace(id=self.clip_id(row.video, "")) for row in self.read(source)]

    def write_list(self, path: Path, rows: Sequence[Row]) -> None:
        """Write a list; a ValueError tells that two clips would share an id, or that its form cannot hold the rows."""
        check_ids([row._replace(id=self.clip_id(row.video, "")) for row in rows])
        self.write(path, rows)


def add_dataset(dataset: Dataset) -> None:
    """Make a dataset known by its name."""
    DATASETS.register(dataset.name)(dataset)


def clip_id(path: str | os.PathLike, root: str | os.PathLike) -> str:
    """Id of one's own clip: its path below ``root`` without suffix, ``/`` written ``__``.

    Raises:
        ValueError: ``path`` does not lie below ``root``.
    """
    return os.path.splitext(below(path, root))[0].replace(os.sep, "__")


def below(path: str | os.PathLike, root: str | os.PathLike) -> str:
    """The path of a file from a folder that it has to lie below."""
    relative = os.path.relpath(path, root)
    if relative.split(os.sep)[0] in ("..", "."):
        raise ValueError(f"'{path}' does not lie below the folder of the videos, {root}.")
    return relative


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
