"""Something-Something V2: in the folder of each variant, a list of {"id", "label"} for each split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from trokens.clips.classes import check_numbered
from trokens.clips.dataset import LISTS, SPLITS, Dataset, Row, Source, add_dataset
from trokens.clips.published_lists import inside, published_row, stem, to_first_dot
from trokens.clips.records import read_rows
from trokens.runtime.files import write_text

VIDEOS = "20bn-something-something-v2"


def read(source: Source) -> list[Row]:
    folder, rows = source.lists / source.variant, []
    for split in SPLITS:
        path = folder / f"{split}_few_shot.json"
        if split != "val" or path.exists() or not folder.is_dir():  # the list of val may be absent
            rows += read_rows(path, ("id", "label"), lambda record, split=split: published_row(  # type: ignore[misc]
                split, f"{VIDEOS}/{inside(record['id'])}.webm", record["label"]))
    check_numbered(rows, strict=False)
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    for split in SPLITS:
        records = [{"id": stem(row), "label": str(row.class_id)} for row in rows if row.split == split]
        if records:
            write_text(path / f"{split}_few_shot.json", json.dumps(records))
        else:  # one of an earlier list would be read with this one
            (path / f"{split}_few_shot.json").unlink(missing_ok=True)


add_dataset(Dataset("ssv2", read, form="ssv2", write=write, place=f"{LISTS}/ssv2_small or ssv2_full",
                    videos=f"{VIDEOS}/<id>.webm", short_id=to_first_dot, fps=12.0, archive="ssv2|something",
                    variants=("ssv2_small", "ssv2_full")))
