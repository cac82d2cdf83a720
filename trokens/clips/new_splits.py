"""Class-disjoint few-shot splits of one's own folder of class folders, and the formats to write them in."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from trokens.clips.class_folders import ClassVideo
from trokens.clips.classes import check_named
from trokens.clips.lists import SPLITS, Row, check_ids, clip_id
from trokens.clips.names import reading
from trokens.registry import Registry
from trokens.runtime.files import whole_file, write_csv

WRITERS = Registry("format of split lists")  # each writes rows to a path


def draw_classes(classes: Sequence[str], num_val: float, num_test: float, seed: int) -> dict[str, str]:
    """Assign classes to splits by chance.

    Args:
        classes: Names of all classes; their order does not matter.
        num_val: Number of val classes from 1 on, or a fraction of them below 1 (rounded, at least one class).
        num_test: The same for test.
        seed: The same seed gives the same splits.

    Returns:
        Class -> split; train gets what is left.

    Raises:
        ValueError: The numbers are negative or no whole classes, or leave no class for train.
    """
    counts = {}
    for split, number in (("val", num_val), ("test", num_test)):
        if not math.isfinite(number) or number < 0 or (number >= 1 and number != int(number)):
            raise ValueError(f"The {split} split cannot have {number:g} classes; give a whole number or a fraction "
                             "below 1.")
        counts[split] = max(1, round(number * len(classes))) if 0 < number < 1 else int(number)
    if sum(counts.values()) >= len(classes):
        raise ValueError(f"{counts['val']} val and {counts['test']} test classes leave none of {len(classes)} for "
                         "train; ask for fewer.")
    order = random.Random(seed).sample(sorted(classes), len(classes))
    ends = (counts["val"], counts["val"] + counts["test"])
    return {name: "val" if i < ends[0] else "test" if i < ends[1] else "train" for i, name in enumerate(order)}


def assign_classes(classes: Sequence[str], lists: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Assign classes to splits by lists of names; a class in no list is left out.

    Args:
        classes: Names of all classes.
        lists: Split -> names of its classes.

    Raises:
        ValueError: A class is unknown, or is listed twice.
    """
    split_of: dict[str, str] = {}
    for split, names in lists.items():
        if unknown := [name for name in names if name not in classes]:
            alike = [name for name in classes if reading(name) == reading(unknown[0])]
            there = (f"{alike[0]!a} differs only by case, white space or Unicode form, write it alike" if alike else
                     f"there are {', '.join(sorted(classes))}")
            raise ValueError(f"Class '{unknown[0]}' of the {split} list has no folder with videos ({len(unknown)} such "
                             f"classes); {there}.")
        for name in names:
            if name in split_of:
                raise ValueError(f"Class '{name}' is listed for {split_of[name]} and for {split}; a class belongs to "
                                 "one split.")
            split_of[name] = split
    return split_of


def split_rows(root: Path, videos: Sequence[ClassVideo], split_of: Mapping[str, str]) -> list[Row]:
    """Every video of the assigned classes, by split, class and name.

    Classes are numbered by name, those of train first.

    Args:
        root: Folder of the class folders.
        videos: What lies in them, see `class_videos`.
        split_of: Class -> split.

    Raises:
        ValueError: Classes whose names read alike are in different splits.
    """
    ordered = sorted(split_of, key=lambda name: (SPLITS.index(split_of[name]), name))
    number = {name: i for i, name in enumerate(ordered)}
    rows = [Row(split_of[name], video, number[name], name, clip_id(root / video, root))
            for _, name, video in videos if name in split_of]
    check_named(rows)
    return sorted(rows, key=lambda row: (row.class_id, row.video))


@WRITERS.register("folder")
def write_folder(path: Path, rows: Sequence[Row]) -> None:
    """``path,label,split``, for DATA.SPLIT_CSV."""
    check_ids(rows)
    write_csv(path, [("path", "label", "split"), *((row.video, row.class_name, row.split) for row in rows)])


@WRITERS.register("hmdb", "ucf")
def write_published_csv(path: Path, rows: Sequence[Row]) -> None:
    """The list of HMDB51 and UCF101."""
    _check_ids(rows, "hmdb51")
    write_csv(path, [("vid_id", "vid_base_path", "label_id", "split"),
                     *((_stem(row), row.video, row.class_id, row.split) for row in rows)])


@WRITERS.register("k100")
def write_kinetics(path: Path, rows: Sequence[Row]) -> None:
    """The same of Kinetics-100, whose videos are known by 11 characters of their names."""
    _check_ids(rows, "k400")
    write_published_csv(path, rows)


@WRITERS.register("ssv2")
def write_ssv2(path: Path, rows: Sequence[Row]) -> None:
    """The lists of Something-Something V2: a file for each split in the folder ``path``."""
    _check_ids(rows, "ssv2")
    for split in SPLITS:
        records = [{"id": _stem(row), "label": str(row.class_id)} for row in rows if row.split == split]
        if records:
            _write_json(path / f"{split}_few_shot.json", records)
        else:  # one of an earlier list would be read with this one
            (path / f"{split}_few_shot.json").unlink(missing_ok=True)


@WRITERS.register("finegym")
def write_finegym(path: Path, rows: Sequence[Row]) -> None:
    """FineGym's list, which calls the test split val and has no other."""
    _check_ids(rows, "finegym")
    if any(row.split == "val" for row in rows):
        raise ValueError("FineGym's list calls its test split val and can hold no val split; draw none.")
    names = {"train": "train", "test": "val"}
    _write_json(path, [{"id": _stem(row), "label_id": row.class_id, "new_split": names[row.split]} for row in rows])


def _check_ids(rows: Sequence[Row], dataset: str) -> None:
    """Check the ids that a published list gives its clips, which are shorter than a folder's."""
    check_ids([row._replace(id=clip_id(row.video, "", dataset)) for row in rows])


def _stem(row: Row) -> str:
    return os.path.splitext(os.path.basename(row.video))[0]


def _write_json(path: Path, records: Sequence[dict]) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(records), encoding="utf-8")
