"""From a dataset's name to the clips of its splits: videos, point files, classes.

A dataset is one registered reader: it turns a :class:`Source` into rows of all splits, and `build_split` does the rest.
"""

from __future__ import annotations

import csv
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from trokens.points.io import POINT_SUFFIXES
from trokens.registry import Registry

log = logging.getLogger(__name__)

READERS = Registry("dataset")
SPLITS = ("train", "val", "test")
VIDEO_SUFFIXES = frozenset({".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv",
                            ".3gp", ".ts"})


@dataclass(frozen=True)
class Clip:
    """One video of a split.

    Attributes:
        id: Names the point file, and seeds the clip's random draws in evaluation.
        video: The video file.
        tracks: Its point file; without suffix until `build_split` has seen which format is there.
        class_id: Label of the split file; the classifier's index in training.
        class_name: Name of the class, or the label as text where the list has no names.
    """

    id: str
    video: Path
    tracks: Path
    class_id: int
    class_name: str


@dataclass(frozen=True)
class Source:
    """Where a dataset lies.

    Attributes:
        videos: Folder of the videos.
        lists: Folder of the published split lists (``few_shot_info``).
        points: Folder of the point files (``feat_dump``).
        ssv2_split: Folder below ``lists`` of Something-Something's lists.
        split_csv: CSV ``path,label,split`` of a folder dataset, or "".
    """

    videos: Path
    lists: Path
    points: Path
    ssv2_split: str = ""
    split_csv: str = ""

    def clip(self, video: Path, label: str | int, class_name: str = "", id: str = "") -> Clip:
        """The clip of a video below ``videos``; the id is the file name up to its first dot unless given."""
        id = id or video.name.split(".")[0]
        return Clip(id, self.videos / video, self.points / id, int(label), class_name or str(label))


Splits = dict[str, list[Clip]]


def build_split(cfg, split: str) -> list[Clip]:
    """Read the clips of one split; nothing is said yet about whether their files exist.

    Returns:
        The clips in the order of the list; empty for a val split that the dataset lacks.

    Raises:
        ValueError: A list is broken, or two of its clips share an id.
        FileNotFoundError: A list is missing.
    """
    name = (cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET).lower()
    reader = READERS.get(name)
    points = Path(cfg.DATA.PATH_TO_TROKEN_PT_DATA)
    clips = reader(Source(
        videos=Path(cfg.DATA.PATH_TO_DATA_DIR), lists=points / "few_shot_info",
        points=points / cfg.POINT_INFO.NAME / name / "feat_dump", ssv2_split=cfg.SSV2.SPLIT,
        split_csv=cfg.DATA.SPLIT_CSV))
    _check_ids(clips)
    if split == "val" and not clips[split]:
        log.info("The lists of %s have no val split: nothing is selected, the last checkpoint counts.", name)
    return _find_tracks(clips[split])


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
        FileNotFoundError: More are missing; the message counts videos and point files and names the first.
        ValueError: The split has no clips at all, unless it is val.
    """
    if not clips and split != "val":
        raise ValueError(f"The {split} split has no clips; check the lists, or the layout of DATA.PATH_TO_DATA_DIR.")
    no_tracks = _missing(clips, [clip.tracks for clip in clips])
    no_video = _missing(clips, [clip.video for clip in clips]) if need_video else []
    lacking = {clip.id for clip in no_tracks + no_video}
    if not lacking:
        return list(clips)
    parts = []
    if no_video:
        parts.append(f"No file for {len(no_video)} of {len(clips)} videos of the {split} split below "
                     f"{os.path.commonpath([clip.video.parent for clip in clips])} (first: {_first(no_video)}). "
                     "Check DATA.PATH_TO_DATA_DIR.")
    if no_tracks:
        parts.append(f"No tracks for {len(no_tracks)} of {len(clips)} videos of the {split} split in "
                     f"{clips[0].tracks.parent} (first: {_first(no_tracks)}). Run point_tracking/extract_points.py.")
    message = " ".join(parts)
    if len(lacking) > allow_missing * len(clips) or len(lacking) == len(clips):
        raise FileNotFoundError(f"{message} DATA.ALLOW_MISSING is {allow_missing:g}; "
                                f"{len(lacking) / len(clips):.3g} would be needed to go on without them.")
    log.warning("%s Going on without them: DATA.ALLOW_MISSING is %g.", message, allow_missing)
    return [clip for clip in clips if clip.id not in lacking]


def clip_id(path: str | os.PathLike, root: str | os.PathLike) -> str:
    """Id of one's own clip: its path below ``root`` without suffix, ``/`` written ``__``.

    Raises:
        ValueError: ``path`` does not lie below ``root``.
    """
    path, root = (Path(os.path.abspath(p)) for p in (path, root))
    if root not in path.parents:
        raise ValueError(f"Video {path} does not lie below the folder of the videos, {root}.")
    return "__".join(path.relative_to(root).with_suffix("").parts)


@READERS.register("ssv2")
def read_ssv2(source: Source) -> Splits:
    """Something-Something V2: three lists of {"id", "label"}."""
    return {split: [source.clip(Path("20bn-something-something-v2", f"{_name(row['id'])}.webm"), row["label"])
                    for row in _read_json(source.lists / source.ssv2_split / f"{split}_few_shot.json",
                                          ("id", "label"))]
            for split in SPLITS}


@READERS.register("finegym")
def read_finegym(source: Source) -> Splits:
    """FineGym: one list of {"id", "label_id", "new_split"}, whose test split is called val."""
    path = source.lists / "finegym" / "master_few_shot.json"
    rows = _read_json(path, ("id", "label_id", "new_split"))
    return _by_split(path, ((("test" if row["new_split"] == "val" else row["new_split"]),
                             source.clip(Path("videos", f"{_name(row['id'])}.mp4"), row["label_id"]))
                            for row in rows))


@READERS.register("hmdb51")
def read_hmdb51(source: Source) -> Splits:
    """HMDB51."""
    return _read_published_csv(source, "hmdb_few_shot.csv")


@READERS.register("ucf101")
def read_ucf101(source: Source) -> Splits:
    """UCF101."""
    return _read_published_csv(source, "ucf_few_shot.csv")


@READERS.register("k400")
def read_k400(source: Source) -> Splits:
    """Kinetics-100; a video's name is its YouTube id, 11 characters."""
    return _read_published_csv(source, "kinetics100.csv", id_length=11)


@READERS.register("folder")
def read_folder(source: Source) -> Splits:
    """Own clips: ``root/{train,val,test}/<class>/*``, ``root/<class>/*`` with a CSV, or without (then all are test).

    Classes are numbered by name, those of train first.
    """
    root = source.videos
    if not root.is_dir():
        raise FileNotFoundError(f"DATA.PATH_TO_DATA_DIR is '{root}', which is no folder; set it to that of the clips.")
    if source.split_csv:
        rows = [(row["split"], row["label"], root / _inside(row["path"]))
                for row in _read_csv(Path(source.split_csv), ("path", "label", "split"))]
        splits = _by_split(Path(source.split_csv), ((split, (label, video)) for split, label, video in rows))
    elif any(entry.is_dir() for split in SPLITS for entry in _entries(root / split)):
        splits = {split: list(_class_folders(root / split)) for split in SPLITS}
    else:
        splits = {"train": [], "val": [], "test": list(_class_folders(root))}
    number: dict[str, int] = {}
    for split in SPLITS:
        names = sorted({name for name, _ in splits[split]})
        if shared := [name for name in names if name in number]:
            raise ValueError(f"Class '{shared[0]}' is in the {split} split and in an earlier one ({len(shared)} such "
                             "classes); few-shot splits share no class, see tools/make_splits.py.")
        number.update({name: len(number) + i for i, name in enumerate(names)})
    return {split: [source.clip(video.relative_to(root), number[name], name, clip_id(video, root))
                    for name, video in splits[split]] for split in SPLITS}


def _class_folders(root: Path) -> Iterable[tuple[str, Path]]:
    """(class, video) of every video of ``root/<class>/*``, in the order of the names."""
    for folder in _entries(root):
        if folder.is_dir():
            yield from ((folder.name, video) for video in _entries(folder) if video.suffix.lower() in VIDEO_SUFFIXES)


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, hidden things left out; nothing where there is no such folder."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []


def _read_published_csv(source: Source, name: str, id_length: int | None = None) -> Splits:
    path = source.lists / name
    rows = _read_csv(path, ("vid_base_path", "label_id", "split"))

    def clip(row: dict[str, str]) -> Clip:
        video = _inside(row["vid_base_path"])
        return source.clip(video, row["label_id"], video.parent.name, video.name[:id_length].split(".")[0])

    return _by_split(path, ((row["split"], clip(row)) for row in rows))


def _by_split(path: Path, rows: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    splits: dict[str, list[Any]] = {split: [] for split in SPLITS}
    for split, row in rows:
        if split not in splits:
            raise ValueError(f"{path} has a split '{split}'; expected {', '.join(SPLITS)}.")
        splits[split].append(row)
    return splits


def _read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    with _open_list(path) as file:
        return _checked(path, list(csv.DictReader(file)), columns)


def _read_json(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    with _open_list(path) as file:
        try:
            return _checked(path, json.load(file), columns)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON: {error}.") from error


def _open_list(path: Path):
    if not path.is_file():
        raise FileNotFoundError(f"No split list {path}; DATA.PATH_TO_TROKEN_PT_DATA (or DATA.SPLIT_CSV) has to lead to "
                                "it.")
    return open(path, encoding="utf-8-sig", newline="")


def _checked(path: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    if not rows:
        raise ValueError(f"{path} lists no clips.")
    for number, row in enumerate(rows, 1):
        for column in columns:
            if row.get(column) in (None, ""):
                raise ValueError(f"{path}: entry {number} has no '{column}'; it needs {', '.join(columns)}.")
    return rows


def _name(text: str | int) -> str:
    """A file name that stays in its folder."""
    if str(text) != _inside(str(text)).name:
        raise ValueError(f"Clip id '{text}' of a split list is no plain file name.")
    return str(text)


def _inside(text: str) -> Path:
    """A relative path of a list that stays below its root."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"Path '{text}' of a split list does not lie below the folder of the videos.")
    return Path(path)


def _check_ids(splits: Splits) -> None:
    seen: dict[str, Path] = {}
    for clip in (clip for clips in splits.values() for clip in clips):
        if clip.id in seen:
            raise ValueError(f"Two clips have the id '{clip.id}', so they would share one point file: {seen[clip.id]} "
                             f"and {clip.video}; rename or drop one of them.")
        seen[clip.id] = clip.video


def _find_tracks(clips: Sequence[Clip]) -> list[Clip]:
    """Complete the point files' names by the suffix that is there."""
    there = _files({clip.tracks.parent for clip in clips})

    def complete(path: Path) -> Path:
        found = next((s for s in POINT_SUFFIXES if path.name + s in there[path.parent]), POINT_SUFFIXES[0])
        return path.with_name(path.name + found)

    return [replace(clip, tracks=complete(clip.tracks)) for clip in clips]


def _missing(clips: Sequence[Clip], paths: Sequence[Path]) -> list[Clip]:
    there = _files({path.parent for path in paths})
    return [clip for clip, path in zip(clips, paths, strict=True) if path.name not in there[path.parent]]


def _files(folders: Iterable[Path]) -> dict[Path, set[str]]:
    """Names of the files in each folder: one listing a folder, however many clips it holds."""
    names: dict[Path, set[str]] = defaultdict(set)
    for folder in folders:
        if folder.is_dir():
            with os.scandir(folder) as entries:
                names[folder] = {entry.name for entry in entries if entry.is_file()}
    return names


def _first(clips: Sequence[Clip], count: int = 5) -> str:
    return ", ".join(clip.id for clip in clips[:count]) + (", ..." if len(clips) > count else "")
