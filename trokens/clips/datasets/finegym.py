"""FineGym."""

from __future__ import annotations

from trokens.clips.classes import check_numbered
from trokens.clips.datasets.published import published_row
from trokens.clips.lists import READERS, Row, Source, inside
from trokens.clips.records import read_rows


@READERS.register("finegym")
def read_finegym(source: Source) -> list[Row]:
    """FineGym: one list of {"id", "label_id", "new_split"}, whose test split is called val."""
    path = source.lists / "finegym" / "master_few_shot.json"
    rows = read_rows(path, ("id", "label_id", "new_split"), lambda record: published_row(
        "finegym", "test" if record["new_split"] == "val" else record["new_split"],
        f"videos/{inside(record['id'])}.mp4", record["label_id"]))
    check_numbered(rows, strict=False)
    return rows
