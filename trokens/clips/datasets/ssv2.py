"""Something-Something V2."""

from __future__ import annotations

from trokens.clips.classes import check_numbered
from trokens.clips.datasets.published import published_row
from trokens.clips.lists import READERS, SPLITS, Row, Source, inside
from trokens.clips.records import read_rows


@READERS.register("ssv2")
def read_ssv2(source: Source) -> list[Row]:
    """Something-Something V2: a list of {"id", "label"} for each split; that of val may be absent."""
    folder, rows = source.lists / source.ssv2_split, []
    for split in SPLITS:
        path = folder / f"{split}_few_shot.json"
        if split != "val" or path.exists() or not folder.is_dir():
            rows += read_rows(path, ("id", "label"), lambda record, split=split: published_row(
                "ssv2", split, f"20bn-something-something-v2/{inside(record['id'])}.webm", record["label"]))
    check_numbered(rows, strict=False)
    return rows
