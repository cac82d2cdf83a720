"""Reading of lists: CSV and JSON as people and programs write them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trokens.clips.lists import SPLITS, Row
from trokens.clips.names import clean


def read_text(path: Path) -> str:
    """Read a text with or without a byte order mark: UTF-8, in which bytes that are none are kept, or UTF-16."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    return data.decode("utf-8-sig", "surrogateescape")


def read_records(path: Path, *, raw: Callable[[str], bool] | None = None) -> list[dict[str, Any]]:
    """Read the records of a CSV or a JSON list; white space and invisible characters around texts are dropped.

    Args:
        path: The list, see `read_text`.
        raw: Whether a text that would change is meant as it is, such as the name of a file that there is.

    Raises:
        ValueError: It is no list of records, or an empty one.
    """
    def text(value: Any) -> Any:
        return clean(value) if isinstance(value, str) and not (raw and value != clean(value) and raw(value)) else value

    try:
        content = read_text(path)
        records = json.loads(content) if path.suffix == ".json" else list(csv.DictReader(io.StringIO(content, "")))
    except (ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as a list of clips: {error}.") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f"{path} is no list of records.")
    return [{text(key): text(value) for key, value in record.items()} for record in records]


def read_rows(path: Path, columns: Sequence[str], make: Callable[[dict[str, Any]], Row],
              videos: Path | None = None) -> list[Row]:
    """Read a split list and make a row of every record.

    Args:
        path: CSV or JSON.
        columns: What each record needs.
        make: Row of a record; it may raise ValueError.
        videos: Folder that paths in the list start from.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: It is broken; the message names the clip.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No split list {path}; DATA.PATH_TO_TROKEN_PT_DATA (DATA.SPLIT_CSV for a folder) has "
                                "to lead to it; tools/get_points.py (trokens points get) gets the benchmarks' lists, "
                                "tools/make_splits.py (trokens splits) writes one for a folder.")
    records = read_records(path, raw=lambda text: videos is not None and (videos / text).is_file())
    if not records:
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
