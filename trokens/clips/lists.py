"""What a split list says of a clip, and the id by which its point file is known."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trokens.registry import Registry

READERS = Registry("dataset")  # filled by trokens.clips.datasets
SPLITS = ("train", "val", "test")
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


def read_rows(path: Path, columns: Sequence[str], make: Callable[[dict[str, Any]], Row]) -> list[Row]:
    """Read a CSV or a JSON list and make a row of every record."""
    if not path.is_file():
        raise FileNotFoundError(f"No split list {path}; DATA.PATH_TO_TROKEN_PT_DATA (DATA.SPLIT_CSV for a folder) has "
                                "to lead to it; tools/get_points.py gets the benchmarks' lists, tools/make_splits.py "
                                "writes one for a folder.")
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            records = json.load(file) if path.suffix == ".json" else list(csv.DictReader(file))
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path} cannot be read as a split list: {error}.") from error
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise ValueError(f"{path} lists no clips; it needs records with {', '.join(columns)}.")
    rows = []
    for number, record in enumerate(records, 1):
        if lacking := [column for column in columns if record.get(column) in (None, "")]:
            raise ValueError(f"{path}: clip {number} has no '{lacking[0]}'; it needs {', '.join(columns)}.")
        try:
            rows.append(make(record))
        except ValueError as error:
            raise ValueError(f"{path}: clip {number}: {error}") from error
        if rows[-1].split not in SPLITS or rows[-1].class_id < 0:
            raise ValueError(f"{path}: clip {number} has split '{rows[-1].split}' and label {rows[-1].class_id}; "
                             f"expected {', '.join(SPLITS)} and a label from 0 on.")
    return rows


def published_rows(path: Path, dataset: str) -> list[Row]:
    return read_rows(path, ("vid_base_path", "label_id", "split"), lambda record: published_row(
        dataset, record["split"], inside(record["vid_base_path"]), record["label_id"],
        os.path.basename(os.path.dirname(record["vid_base_path"]))))


def published_row(dataset: str, split: str, video: str, label: int | str, class_name: str = "") -> Row:
    """A clip of a published list."""
    return Row(split, video, int(label), class_name or str(label), clip_id(video, "", dataset))


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
