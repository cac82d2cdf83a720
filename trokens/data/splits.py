"""Class-disjoint few-shot splits of one's own folder of class folders."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from trokens.data.datasets import SPLITS, class_videos


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
        if number < 0 or (number >= 1 and number != int(number)):
            raise ValueError(f"The {split} split cannot have {number} classes; give a whole number or a fraction "
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
            raise ValueError(f"Class '{unknown[0]}' of the {split} list has no folder with videos ({len(unknown)} such "
                             f"classes); there are {', '.join(sorted(classes))}.")
        for name in names:
            if name in split_of:
                raise ValueError(f"Class '{name}' is listed for {split_of[name]} and for {split}; a class belongs to "
                                 "one split.")
            split_of[name] = split
    return split_of


def write_split_csv(path: str | os.PathLike, root: Path, split_of: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Write ``path,label,split`` for every video of the assigned classes of ``root/<class>/*``.

    Returns:
        Split -> (number of classes, number of videos).
    """
    rows = sorted(((split_of[name], name, video) for name, video in class_videos(root) if name in split_of),
                  key=lambda row: (SPLITS.index(row[0]), *row[1:]))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows((video, name, split) for split, name, video in rows)
    return {split: (len({name for where, name, _ in rows if where == split}), sum(row[0] == split for row in rows))
            for split in SPLITS}
