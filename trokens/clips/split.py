"""The clips of one split of a run: their videos, point files and classes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trokens.clips.dataset import DATASETS, LISTS, Row, Source, check_ids
from trokens.clips.walk import file_names, videos_on_disk
from trokens.config import dataset_of
from trokens.points import POINT_SUFFIXES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One video of a split.

    Attributes:
        id: Names the point file, and seeds the clip's random draws in evaluation.
        video: The video file.
        tracks: Its point file; None where points come from patch features.
        class_id: Label of the split file: the classifier's output for it in training.
        class_name: Name of the class, or its label as text where the list has no names.
    """

    id: str
    video: Path
    tracks: Path | None
    class_id: int
    class_name: str


def build_split(cfg, split: str) -> list[Clip]:
    """Read the clips of one split, see `build_splits`."""
    return build_splits(cfg, [split])[split]


def build_splits(cfg, splits: Iterable[str]) -> dict[str, list[Clip]]:
    """Read the clips of splits; whether their files exist is for `check_split` to say.

    Returns:
        The clips of each split in the order of the list; none for a split that the dataset lacks.

    Raises:
        ValueError: A list is broken, two of a dataset's clips share an id, or two videos could be the listed one.
        FileNotFoundError: A list is missing.
    """
    videos, point_data = Path(cfg.DATA.PATH_TO_DATA_DIR), Path(cfg.DATA.PATH_TO_TROKEN_PT_DATA)
    source = Source(videos, point_data / LISTS, cfg.SSV2.SPLIT, cfg.DATA.SPLIT_CSV)
    datasets = {split: dataset_of(cfg, split) for split in splits}
    found = {}
    for name in {name.lower(): name for name in datasets.values()}.values():
        rows = DATASETS.get(name).rows(source)
        check_ids(rows)
        wanted = [split for split, dataset in datasets.items() if dataset.lower() == name.lower()]
        points = point_data / cfg.POINT_INFO.NAME / name.lower() / "feat_dump"
        found |= _clips(rows, wanted, videos, None if cfg.POINT_INFO.USE_CORRELATION else points)
        if "val" in wanted and not found["val"]:
            logger.info("The lists of %s have no val split: nothing is selected, the last checkpoint counts.", name)
    return {split: found[split] for split in datasets}


def _clips(rows: Sequence[Row], splits: Sequence[str], videos: Path, points: Path | None) -> dict[str, list[Clip]]:
    there = set() if points is None else file_names(points)

    def point_file(id: str) -> Path | None:
        if points is None:
            return None
        return points / next((id + s for s in POINT_SUFFIXES if id + s in there), id + POINT_SUFFIXES[0])

    rows = [row for row in rows if row.split in splits]
    paths = videos_on_disk([f"{videos}/{row.video}" for row in rows])
    clips = {split: [] for split in splits}
    for row, path in zip(rows, paths, strict=True):
        clips[row.split].append(Clip(row.id, Path(path), point_file(row.id), row.class_id, row.class_name))
    return clips
