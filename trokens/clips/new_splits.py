"""Class-disjoint few-shot splits of one's own folder of class folders."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from trokens.clips.class_folders import ClassVideo
from trokens.clips.classes import check_named, reading
from trokens.clips.dataset import SPLITS, Row


def draw_classes(classes: Sequence[str], num_val: float, num_test: float, seed: int) -> dict[str, str]:
    """Assign classes to splits by chance; train gets what is left.

    Args:
        classes: Names of all classes; their order does not matter.
        num_val: Number of val classes from 1 on, or a fraction of them below 1 (rounded, at least one class).
        num_test: The same for test.
        seed: The same seed gives the same splits.

    Returns:
        Class -> split.

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
    splits = ["val"] * counts["val"] + ["test"] * counts["test"]
    return dict(zip(order, splits + ["train"] * (len(order) - len(splits)), strict=True))


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


def split_rows(videos: Sequence[ClassVideo], split_of: Mapping[str, str]) -> list[Row]:
    """Every video of the assigned classes, by split, class and name; classes are numbered by name, train first.

    Args:
        videos: What lies in the class folders, see `class_videos`.
        split_of: Class -> split.

    Raises:
        ValueError: Classes whose names read alike are in different splits.
    """
    ordered = sorted(split_of, key=lambda name: (SPLITS.index(split_of[name]), name))
    number = {name: i for i, name in enumerate(ordered)}
    rows = [Row(split_of[name], video, number[name], name) for _, name, video in videos if name in split_of]
    check_named(rows)
    return sorted(rows, key=lambda row: (row.class_id, row.video))
