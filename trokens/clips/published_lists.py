"""What the lists of the published benchmarks have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from trokens.clips.classes import check_numbered, clean
from trokens.clips.dataset import LISTS, Dataset, Row, Source
from trokens.clips.records import read_rows
from trokens.runtime.files import write_csv


def to_first_dot(name: str) -> str:
    """Id of a clip: its file's name up to the first dot."""
    return name.split(".")[0]


def stem(row: Row) -> str:
    """Name of the video without its suffix."""
    return os.path.splitext(os.path.basename(row.video))[0]


def inside(path: str | int) -> str:
    """A relative path that stays below its root."""
    if str(path).startswith("/") or ".." in str(path).split("/"):
        raise ValueError(f"'{path}' does not lie below the folder of the videos.")
    return str(path)


def published_row(split: str, video: str, label: int | str, class_name: str = "") -> Row:
    """A clip of a published list; the label as text is its class name where the list has none."""
    if not re.fullmatch(r"-?[0-9]{1,9}", str(label)):
        raise ValueError(f"its label is '{label}'; expected a whole number from 0 on.")
    return Row(split, video, int(label), class_name or str(label))


def path_csv(name: str, list_name: str, **options) -> Dataset:
    """A dataset whose list is a CSV with the columns vid_base_path, label_id and split, in the folder of the lists.

    Args:
        name: Of the dataset.
        list_name: Of the CSV.
        options: Further attributes of the `Dataset`.
    """
    def row(record: dict[str, str]) -> Row:
        path = record["vid_base_path"]
        return published_row(record["split"], inside(path), record["label_id"],
                             clean(os.path.basename(os.path.dirname(path))))

    def read(source: Source) -> list[Row]:
        rows = read_rows(source.lists / list_name, ("vid_base_path", "label_id", "split"), row, source.videos)
        check_numbered(rows)
        return rows

    def write(path: Path, rows: Sequence[Row]) -> None:
        write_csv(path, [("vid_id", "vid_base_path", "label_id", "split"),
                         *((stem(row), row.video, row.class_id, row.split) for row in rows)])

    return Dataset(name, read, write=write, place=f"{LISTS}/{list_name}", **options)
