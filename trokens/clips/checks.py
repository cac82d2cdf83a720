"""Whether a run can go on with the clips of its splits: labels the classifier has, files that are there."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from trokens.clips.split import Clip
from trokens.clips.walk import file_names

logger = logging.getLogger(__name__)


def check_labels(clips: Sequence[Clip], num_classes: int) -> None:
    """Check that the classifier has an output for every training clip.

    Raises:
        ValueError: A ``class_id`` is not below ``num_classes``.
    """
    worst = max(clips, key=lambda clip: clip.class_id, default=None)
    if worst is not None and worst.class_id >= num_classes:
        raise ValueError(f"Class {worst.class_id} ('{worst.class_name}') of the train split is not below "
                         f"MODEL.NUM_CLASSES {num_classes}; set it to {worst.class_id + 1} or more.")


def keep_present(clips: Sequence[Clip], *, split: str, allow_missing: float = 0.0,
                 need_video: bool = True) -> list[Clip]:
    """Leave out clips without video or point file.

    Args:
        clips: The split.
        split: Its name, for the messages.
        allow_missing: Fraction of the clips that may lack a file.
        need_video: False where only point files are read.

    Raises:
        FileNotFoundError: More are missing; the message counts videos and point files and names the first of each.
        ValueError: The split has no clips at all, unless it is val.
    """
    if not clips and split != "val":
        raise ValueError(f"The {split} split has no clips; check the lists, or the layout of DATA.PATH_TO_DATA_DIR.")
    no_video = _missing(clips, "video") if need_video else []
    no_tracks = _missing(clips, "tracks")
    lacking = {clip.id for clip in no_video + no_tracks}
    if not lacking:
        return list(clips)
    parts = []
    if no_video:
        folder = os.path.commonpath([clip.video.parent for clip in no_video])
        parts.append(f"{len(no_video)} of {len(clips)} videos of the {split} split are not in {folder} "
                     f"(first: {_first(no_video)}). Check DATA.PATH_TO_DATA_DIR.")
    if no_tracks:
        parts.append(f"No tracks for {len(no_tracks)} of {len(clips)} videos of the {split} split in "
                     f"{no_tracks[0].tracks.parent} (first: {_first(no_tracks)}). "
                     "Run point_tracking/extract_points.py (trokens extract), or check POINT_INFO.NAME.")
    fraction = len(lacking) / len(clips)
    if fraction > allow_missing or fraction == 1:
        published = " (the published code leaves out up to 5 % of hmdb, ucf and finegym without a word)"
        raise FileNotFoundError(f"{' '.join(parts)} {100 * fraction:.3g} % of the clips lack a file; "
                                f"DATA.ALLOW_MISSING permits {100 * allow_missing:g} %{published * (fraction < 0.05)}.")
    logger.warning("%s Going on without these %d clips, as DATA.ALLOW_MISSING %g permits.", " ".join(parts),
                   len(lacking), allow_missing)
    return [clip for clip in clips if clip.id not in lacking]


def _missing(clips: Sequence[Clip], kind: str) -> list[Clip]:
    """Clips whose file is not there: one listing a folder, not one look a file."""
    split_paths = [os.path.split(getattr(clip, kind)) for clip in clips]
    there = {folder: file_names(folder) for folder in {folder for folder, _ in split_paths}}
    return [clip for clip, (folder, name) in zip(clips, split_paths, strict=True) if name not in there[folder]]


def _first(clips: Sequence[Clip], count: int = 3) -> str:
    return ", ".join([clip.id for clip in clips[:count]] + ["..."] * (len(clips) > count))
