"""What the lists of the published benchmarks have in common."""

from __future__ import annotations

import os
import re

from trokens.clips.classes import check_numbered
from trokens.clips.lists import Row, Source, clip_id, inside
from trokens.clips.names import clean
from trokens.clips.records import read_rows


def published_rows(source: Source, name: str, dataset: str) -> list[Row]:
    """The clips of a CSV ``name`` with the columns of HMDB51, UCF101 and Kinetics-100."""
    rows = read_rows(source.lists / name, ("vid_base_path", "label_id", "split"), lambda record: published_row(
        dataset, record["split"], inside(record["vid_base_path"]), record["label_id"],
        clean(os.path.basename(os.path.dirname(record["vid_base_path"])))), source.videos)
    check_numbered(rows)
    return rows


def published_row(dataset: str, split: str, video: str, label: int | str, class_name: str = "") -> Row:
    """A clip of a published list."""
    if not re.fullmatch(r"-?[0-9]{1,9}", str(label)):
        raise ValueError(f"its label is '{label}'; expected a whole number from 0 on.")
    return Row(split, video, int(label), class_name or str(label), clip_id(video, "", dataset))
