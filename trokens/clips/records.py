"""Reading of lists: CSV and JSON as people and programs write them."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trokens.clips.classes import clean
from trokens.clips.dataset import SPLITS, Row

logger = logging.getLogger(__name__)


def read_text(path: Path) -> str:
    """Read a text with or without a byte order mark: UTF-8, in which bytes that are none are kept, or UTF-16."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    return data.decode("utf-8-sig", "surrogateescape")


def read_records(path: Path, columns: Sequence[str], *, raw: Callable[[str], bool] | None = None,
                 ) -> list[dict[str, Any]]:
    """Read the records of a CSV or a JSON list; white space and invisible characters around texts are dropped.

    Args:
        path: The list, see `read_text`.
        columns: What each record needs: a text or a whole number.
        raw: Whether a text that would change is meant as it is, such as the name of a file that there is.

    Raises:
        ValueError: It is no list of such records, or an empty one; the message names the clip.
    """
    def text(value: Any) -> Any:
        return clean(value) if isinstance(value, str) and not (raw and value != clean(value) and raw(value)) else value

    try:
        content = read_text(path)
        header, records = ([], json.loads(content)) if path.suffix.lower() == ".json" else _csv(content)
    except (ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as a list of clips: {error}.") from error
    for column in columns if header else ():
        if (count := header.count(column)) != 1:
            shown = ", ".join([*header[:10], *["..."] * (len(header) > 10)])[:300]
            raise ValueError(f"{path} has {f'{count} columns' if count else 'no column'} '{column}' (its first line is "
                             f"{shown!a}); it needs {', '.join(columns)}, with commas between them, in UTF-8.")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f"{path} is no list of records.")
    if not records:
        raise ValueError(f"{path} lists no clips; it needs records with {', '.join(columns)}.")
    records = [{text(key): text(value) for key, value in record.items()} for record in records]
    for number, record in enumerate(records, 1):
        for column in columns:
            value = record.get(column)
            if value in (None, ""):
                raise ValueError(f"{path}: clip {number} has no '{column}'; it needs {', '.join(columns)}.")
            if type(value) not in (str, int):
                raise ValueError(f"{path}: clip {number} has {str(value)[:100]} as its '{column}'; expected a text or "
                                 "a whole number.")
            if type(value) is str and "\n" in value:
                logger.warning("%s: clip %d has a line break in its '%s'; perhaps a quote before it is not closed.",
                               path, number, column)
    return records


def _csv(content: str) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of a CSV, named in its first line, and its records."""
    try:
        reader = csv.DictReader(io.StringIO(content, ""), strict=True)
        records = list(reader)
    except csv.Error as error:
        if "unexpected end of data" in str(error) or "field limit" in str(error):
            raise csv.Error('a quote (") in it is never closed') from error
        reader = csv.DictReader(io.StringIO(content, ""))  # it is just not as strict
        records = list(reader)
    return [clean(name) for name in reader.fieldnames or ()], records


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
    rows = []
    for number, record in enumerate(read_records(
            path, columns, raw=lambda text: videos is not None and (videos / text).is_file()), 1):
        try:
            row = make(record)
        except ValueError as error:
            raise ValueError(f"{path}: clip {number}: {error}") from error
        if row.split not in SPLITS or row.class_id < 0:
            raise ValueError(f"{path}: clip {number} has split '{row.split}' and label {row.class_id}; "
                             f"expected {', '.join(SPLITS)} and a label from 0 on.")
        rows.append(row)
    return rows
