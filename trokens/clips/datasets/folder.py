"""Clips of one's own, in class folders or with a CSV."""

from __future__ import annotations

import os
from pathlib import Path

from trokens.clips.class_folders import class_videos, split_folders
from trokens.clips.classes import check_named
from trokens.clips.lists import READERS, SPLITS, Row, Source, below, clip_id
from trokens.clips.records import read_rows
from trokens.clips.walk import say_unlisted


@READERS.register("folder")
def read_folder(source: Source) -> list[Row]:
    """Own clips: ``root/{train,val,test}/<class>``, ``root/<class>`` with a CSV, or without (then all are test).

    Videos lie in the class folders at any depth. Classes are numbered by name, those of train first.
    """
    root = source.videos
    if not root.is_dir():
        raise FileNotFoundError(f"DATA.PATH_TO_DATA_DIR is '{root}', which is no folder; set it to that of the clips.")

    def row(split: str, name: str, video: str) -> Row:
        return Row(split, below(root / video, root), 0, name, clip_id(root / video, root))

    if source.split_csv:
        rows = read_rows(Path(source.split_csv), ("path", "label", "split"),
                         lambda record: row(record["split"], str(record["label"]), str(record["path"])), root)
        say_unlisted(root, [row.video for row in rows], os.path.basename(source.split_csv))
    else:
        rows = [row(split or "test", name, video) for split, name, video in class_videos(root, split_folders(root))]
    check_named(rows)
    number: dict[str, int] = {}
    for split in SPLITS:
        names = sorted({row.class_name for row in rows if row.split == split})
        number |= {name: i for i, name in enumerate(names, len(number))}
    return [row._replace(class_id=number[row.class_name]) for row in rows]
