"""Clips of one's own, in class folders or with a CSV."""

from __future__ import annotations

from pathlib import Path

from trokens.clips.lists import READERS, SPLITS, Row, Source, below, clip_id, read_rows
from trokens.clips.walk import class_videos, folder_names


@READERS.register("folder")
def read_folder(source: Source) -> list[Row]:
    """Own clips: ``root/{train,val,test}/<class>/*``, ``root/<class>/*`` with a CSV, or without (then all are test).

    Classes are numbered by name, those of train first.
    """
    root = source.videos
    if not root.is_dir():
        raise FileNotFoundError(f"DATA.PATH_TO_DATA_DIR is '{root}', which is no folder; set it to that of the clips.")

    def row(split: str, name: str, video: str) -> Row:
        return Row(split, below(root / video, root), 0, name, clip_id(root / video, root))

    if source.split_csv:
        rows = read_rows(Path(source.split_csv), ("path", "label", "split"),
                     lambda record: row(record["split"], record["label"], record["path"]))
    elif any(folder_names(root / split) for split in SPLITS):
        rows = [row(split, name, video) for split in SPLITS for name, video in class_videos(root, split)]
    else:
        rows = [row("test", name, video) for name, video in class_videos(root)]
    number: dict[str, int] = {}
    for split in SPLITS:
        names = sorted({row.class_name for row in rows if row.split == split})
        if shared := [name for name in names if name in number]:
            raise ValueError(f"Class '{shared[0]}' is in the {split} split and in an earlier one ({len(shared)} such "
                             "classes); few-shot splits share no class, see tools/make_splits.py.")
        number |= {name: i for i, name in enumerate(names, len(number))}
    return [row._replace(class_id=number[row.class_name]) for row in rows]
