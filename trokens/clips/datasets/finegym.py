"""FineGym: one list of {"id", "label_id", "new_split"}, which calls the test split val and has no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from trokens.clips.classes import check_numbered
from trokens.clips.dataset import LISTS, Dataset, Row, Source, add_dataset
from trokens.clips.published_lists import inside, published_row, stem, to_first_dot
from trokens.clips.records import read_rows
from trokens.runtime.files import write_text

LIST = "finegym/master_few_shot.json"


def read(source: Source) -> list[Row]:
    def row(record: dict[str, str]) -> Row:
        split = "test" if record["new_split"] == "val" else record["new_split"]
        return published_row(split, f"videos/{inside(record['id'])}.mp4", record["label_id"])

    rows = read_rows(source.lists / LIST, ("id", "label_id", "new_split"), row)
    check_numbered(rows, strict=False)
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    if any(row.split == "val" for row in rows):
        raise ValueError("FineGym's list calls its test split val and can hold no val split; draw none.")
    names = {"train": "train", "test": "val"}
    write_text(path, json.dumps([{"id": stem(row), "label_id": row.class_id, "new_split": names[row.split]}
                                 for row in rows]))


add_dataset(Dataset("finegym", read, form="finegym", write=write, place=f"{LISTS}/{LIST}", videos="videos/<id>.mp4",
                    short_id=to_first_dot, archive="fine_?gym"))
