"""From a dataset's name to the clips of its splits: videos, point files, classes.

A dataset is one registered reader, which returns a :class:`Row` for every clip of all its splits.
"""

from __future__ import annotations

import csv
import glob
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trokens.points import POINT_SUFFIXES
from trokens.registry import Registry

logger = logging.getLogger(__name__)

READERS = Registry("dataset")
SPLITS = ("train", "val", "test")
_SHORT_NAMES = {"k400": lambda name: name[:11],
                **dict.fromkeys(("ssv2", "hmdb51", "ucf101", "finegym"), lambda name: name.split(".")[0])}
VIDEO_SUFFIXES = frozenset({".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv",
                            ".3gp", ".ts"})


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


class Row(NamedTuple):
    """One clip of a split list: its split, video (below the folder of the videos), label and id."""

    split: str
    video: str
    class_id: int
    class_name: str
    id: str


@dataclass(frozen=True)
class Source:
    """What a reader may read.

    Attributes:
        videos: Folder of the videos.
        lists: Folder of the published split lists (``few_shot_info``).
        ssv2_split: Folder below ``lists`` of Something-Something's lists.
        split_csv: CSV ``path,label,split`` of a folder dataset, or "".
    """

    videos: Path
    lists: Path
    ssv2_split: str = ""
    split_csv: str = ""


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
    there = _files(points)

    def point_file(id: str) -> Path:
        return points / next((id + s for s in POINT_SUFFIXES if id + s in there), id + POINT_SUFFIXES[0])

    return [Clip(row.id, Path(f"{videos}/{row.video}"), point_file(row.id), row.class_id, row.class_name)
            for row in rows]


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
                     "Run point_tracking/extract_points.py, or check POINT_INFO.NAME.")
    fraction = len(lacking) / len(clips)
    if fraction > allow_missing or fraction == 1:
        raise FileNotFoundError(f"{' '.join(parts)} {fraction:.1%} of the clips lack a file; DATA.ALLOW_MISSING "
                                f"permits {allow_missing:.1%}.")
    logger.warning("%s Going on without these %d clips, as DATA.ALLOW_MISSING %g permits.", " ".join(parts),
                   len(lacking), allow_missing)
    return [clip for clip in clips if clip.id not in lacking]


def check_ids(rows: Sequence[Row]) -> None:
    """Check that no two clips share an id, and so a point file.

    Raises:
        ValueError: Two do; the message names both videos.
    """
    seen: dict[str, str] = {}
    for row in rows:
        if row.id in seen:
            raise ValueError(f"Two clips have the id '{row.id}' and would share one point file: {seen[row.id]} and "
                             f"{row.video}; rename or drop one of them.")
        seen[row.id] = row.video


def clip_id(path: str | os.PathLike, root: str | os.PathLike, dataset: str = "folder") -> str:
    """Id of a clip, for extraction and training alike.

    In the published datasets it is the file's name up to its first dot, in Kinetics the 11 characters of the YouTube
    id; in all others the path below ``root`` without suffix, ``/`` written ``__``.

    Raises:
        ValueError: ``path`` does not lie below ``root``.
    """
    if shorten := _SHORT_NAMES.get(dataset.lower()):
        return shorten(os.path.basename(path))
    return os.path.splitext(_below(path, root))[0].replace(os.sep, "__")


@READERS.register("ssv2")
def read_ssv2(source: Source) -> list[Row]:
    """Something-Something V2: a list of {"id", "label"} for each split; that of val may be absent."""
    folder, rows = source.lists / source.ssv2_split, []
    for split in SPLITS:
        path = folder / f"{split}_few_shot.json"
        if split != "val" or path.exists() or not folder.is_dir():
            rows += _rows(path, ("id", "label"), lambda record, split=split: _row(
                "ssv2", split, f"20bn-something-something-v2/{_inside(record['id'])}.webm", record["label"]))
    return rows


@READERS.register("finegym")
def read_finegym(source: Source) -> list[Row]:
    """FineGym: one list of {"id", "label_id", "new_split"}, whose test split is called val."""
    path = source.lists / "finegym" / "master_few_shot.json"
    return _rows(path, ("id", "label_id", "new_split"), lambda record: _row(
        "finegym", "test" if record["new_split"] == "val" else record["new_split"],
        f"videos/{_inside(record['id'])}.mp4", record["label_id"]))


@READERS.register("hmdb51")
def read_hmdb51(source: Source) -> list[Row]:
    """HMDB51."""
    return _published_rows(source.lists / "hmdb_few_shot.csv", "hmdb51")


@READERS.register("ucf101")
def read_ucf101(source: Source) -> list[Row]:
    """UCF101."""
    return _published_rows(source.lists / "ucf_few_shot.csv", "ucf101")


@READERS.register("k400")
def read_k400(source: Source) -> list[Row]:
    """Kinetics-100."""
    return _published_rows(source.lists / "kinetics100.csv", "k400")


@READERS.register("folder")
def read_folder(source: Source) -> list[Row]:
    """Own clips: ``root/{train,val,test}/<class>/*``, ``root/<class>/*`` with a CSV, or without (then all are test).

    Classes are numbered by name, those of train first.
    """
    root = source.videos
    if not root.is_dir():
        raise FileNotFoundError(f"DATA.PATH_TO_DATA_DIR is '{root}', which is no folder; set it to that of the clips.")

    def row(split: str, name: str, video: str) -> Row:
        return Row(split, _below(root / video, root), 0, name, clip_id(root / video, root))

    if source.split_csv:
        rows = _rows(Path(source.split_csv), ("path", "label", "split"),
                     lambda record: row(record["split"], record["label"], record["path"]))
    elif any(_folders(root / split) for split in SPLITS):
        rows = [row(split, name, video) for split in SPLITS for name, video in class_videos(root, split)]
    else:
        rows = [row("test", name, video) for name, video in class_videos(root)]
    number: dict[str, int] = {}
    for split in SPLITS:
        names = sorted({row.class_name for row in rows if row.split == split})
        if shared := [name for name in names if name in number]:
            raise ValueError(f"Class '{shared[0]}' is in the {split} split and in an earlier one ({len(shared)} such "
                             "classes); few-shot splits share no class, see tools/make_splits.py.")
        number |= {name: i for i, name in enumerate(names, len(number))}
    return [row._replace(class_id=number[row.class_name]) for row in rows]


def class_videos(root: Path, split: str = "") -> list[tuple[str, str]]:
    """(class, path below ``root``) of every video of ``root/split/<class>/*``, in the order of the names."""
    return [(name, os.path.join(split, name, video)) for name in _folders(root / split)
            for video in sorted(_files(root / split / name))
            if os.path.splitext(video)[1].lower() in VIDEO_SUFFIXES and not video.startswith(".")]


def find_videos(source: str) -> tuple[list[Path], Path]:
    """Find videos that belong to no list; hidden files and folders are passed over, links are followed.

    Args:
        source: A folder, searched to any depth, or a pattern.

    Returns:
        The videos in the order of their paths, and the folder searched: of a pattern, what comes before its first
        wildcard.
    """
    if os.path.isdir(source):
        root = Path(source)
        found = [Path(folder, file) for folder, _, files in os.walk(source, followlinks=True) for file in files]
    else:
        fixed = Path(source).parts
        wild = next((i for i, part in enumerate(fixed) if glob.has_magic(part)), len(fixed) - 1)
        root = Path(*fixed[:wild])
        found = [Path(path) for path in glob.glob(source, recursive=True) if os.path.isfile(path)]
    return sorted(path for path in found if path.suffix.lower() in VIDEO_SUFFIXES and not any(
        part.startswith(".") and part != ".." for part in path.relative_to(root).parts)), root


def _folders(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")) if path.is_dir() else []


def _files(folder: str | os.PathLike) -> set[str]:
    """Names of the files in a folder, from one listing; none where there is no such folder."""
    if not os.path.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}


def _missing(clips: Sequence[Clip], kind: str) -> list[Clip]:
    """Clips whose file is not there: one listing a folder, not one look a file."""
    split_paths = [os.path.split(getattr(clip, kind)) for clip in clips]
    there = {folder: _files(folder) for folder in {folder for folder, _ in split_paths}}
    return [clip for clip, (folder, name) in zip(clips, split_paths, strict=True) if name not in there[folder]]


def _first(clips: Sequence[Clip], count: int = 3) -> str:
    return ", ".join([clip.id for clip in clips[:count]] + ["..."] * (len(clips) > count))


def _published_rows(path: Path, dataset: str) -> list[Row]:
    return _rows(path, ("vid_base_path", "label_id", "split"), lambda record: _row(
        dataset, record["split"], _inside(record["vid_base_path"]), record["label_id"],
        os.path.basename(os.path.dirname(record["vid_base_path"]))))


def _row(dataset: str, split: str, video: str, label: int | str, class_name: str = "") -> Row:
    """A clip of a published list."""
    return Row(split, video, int(label), class_name or str(label), clip_id(video, "", dataset))


def _rows(path: Path, columns: Sequence[str], make: Callable[[dict[str, Any]], Row]) -> list[Row]:
    """Read a CSV or a JSON list and make a row of every record."""
    if not path.is_file():
        raise FileNotFoundError(f"No split list {path}; DATA.PATH_TO_TROKEN_PT_DATA (DATA.SPLIT_CSV for a folder) has "
                                "to lead to it; tools/get_points.py gets the benchmarks' lists, tools/make_splits.py "
                                "writes one for a folder.")
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            records = json.load(file) if path.suffix == ".json" else list(csv.DictReader(file))
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path} cannot be read as a split list: {error}.") from error
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
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


def _inside(path: str | int) -> str:
    """A relative path that stays below its root."""
    if str(path).startswith("/") or ".." in str(path).split("/"):
        raise ValueError(f"'{path}' does not lie below the folder of the videos.")
    return str(path)


def _below(path: str | os.PathLike, root: str | os.PathLike) -> str:
    relative = os.path.relpath(path, root)
    if relative.split(os.sep)[0] in ("..", "."):
        raise ValueError(f"'{path}' does not lie below the folder of the videos, {root}.")
    return relative
