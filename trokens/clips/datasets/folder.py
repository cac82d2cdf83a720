"""Clips of one's own, in class folders or with a CSV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trokens.clips.class_folders import class_videos, split_folders
from trokens.clips.classes import check_named
from trokens.clips.dataset import SPLITS, Dataset, Row, Source, add_dataset, below
from trokens.clips.records import read_rows
from trokens.clips.walk import say_unlisted
from trokens.runtime.files import write_csv


def read(source: Source) -> list[Row]:
    """Own clips: ``root/{train,val,test}/<class>``, ``root/<class>`` with a CSV, or without (then all are test).

    Videos lie in the class folders at any depth. Classes are numbered by name, those of train first.
    """
    root = source.videos
    if not root.is_dir():
        raise FileNotFoundError(f"DATA.PATH_TO_DATA_DIR is '{root}', which is no folder; set it to that of the clips.")
    if source.split_csv:
        rows = read_rows(Path(source.split_csv), ("path", "label", "split"), lambda record: Row(
            record["split"], below(root / str(record["path"]), root), 0, str(record["label"])), root)
        say_unlisted(root, [row.video for row in rows], os.path.basename(source.split_csv))
    else:
        rows = [Row(split or "test", video, 0, name) for split, name, video in class_videos(root, split_folders(root))]
    check_named(rows)
    names = sorted({(SPLITS.index(row.split), row.class_name) for row in rows})
    number = {name: i for i, (_, name) in enumerate(names)}
    return [row._replace(class_id=number[row.class_name]) for row in rows]


def write(path: Path, rows: Sequence[Row]) -> None:
    write_csv(path, [("path", "label", "split"), *((row.video, row.class_name, row.split) for row in rows)])


add_dataset(Dataset("folder", read, form="folder", write=write, place="DATA.SPLIT_CSV"))
