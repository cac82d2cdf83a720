"""The clips of one split of a run: their videos, point files and classes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from trokens.clips.datasets import READERS
from trokens.clips.lists import Source, check_ids
from trokens.clips.walk import file_names
from trokens.points import POINT_SUFFIXES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One video of a split.

    Attributes:
        id: Names the point file, and seeds the clip's random draws in evaluation.
        video: The video file.
        tracks: Its point file.
        class_id: Label of the split file: the classifier's output for it in training.
        class_name: Name of the class, or its label as text where the list has no names.
    """

    id: str
    video: Path
    tracks: Path
    class_id: int
    class_name: str


def build_split(cfg, split: str) -> list[Clip]:
    """Read the clips of one split; whether their files exist is for `keep_present` to say.

    Returns:
        The clips in the order of the list; none for a split that the dataset lacks.

    Raises:
        ValueError: A list is broken, or two of the dataset's clips share an id.
        FileNotFoundError: A list is missing.
    """
    name = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
    videos, point_data = Path(cfg.DATA.PATH_TO_DATA_DIR), Path(cfg.DATA.PATH_TO_TROKEN_PT_DATA)
    rows = READERS.get(name)(Source(videos, point_data / "few_shot_info", cfg.SSV2.SPLIT, cfg.DATA.SPLIT_CSV))
    check_ids(rows)
    rows = [row for row in rows if row.split == split]
    if split == "val" and not rows:
        logger.info("The lists of %s have no val split: nothing is selected, the last checkpoint counts.", name)
    points = point_data / cfg.POINT_INFO.NAME / name.lower() / "feat_dump"
    there = file_names(points)

    def point_file(id: str) -> Path:
        return points / next((id + s for s in POINT_SUFFIXES if id + s in there), id + POINT_SUFFIXES[0])

    return [Clip(row.id, Path(f"{videos}/{row.video}"), point_file(row.id), row.class_id, row.class_name)
            for row in rows]
