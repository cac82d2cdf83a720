"""The published point data: where its files belong, and which of them the split lists ask for."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trokens.clips.dataset import DATASETS, LISTS, SPLITS, Source
from trokens.points import POINT_SUFFIXES

REPOSITORY = "pulkitkumar95/trokens_pt_data"  # of data sets on the Hugging Face hub
PUBLISHED = {name: pattern for name in DATASETS if (pattern := DATASETS.get(name).archive)}
_LIST_SUFFIXES = (".json", ".csv")
# A folder or archive called by a set of point files: cotracker3_bip_fr_32, cotracker3_kmeans_n32_fr_32_fps_10
_SET = re.compile(r"\w+?_(?:fr|grid)_\d+(?:_(?:m|i|fps_)\d+|_concomp)*")


def published_path(path: str, name: str, datasets: Collection[str]) -> str | None:
    """Say where a file of the published data belongs.

    Args:
        path: Its path in the repository, ``/`` between folders. That of a file in an archive comes behind the
            archive's own without suffix, whatever folders the archive holds: ``cotracker3_bip_fr_32/ssv2`` of
            ``ssv2.zip`` and ``1.pkl``, ``feat_dump/1.pkl`` or ``ssv2/feat_dump/1.pkl``.
        name: Wanted set of point files.
        datasets: Wanted datasets, keys of ``PUBLISHED``.

    Returns:
        ``few_shot_info/...``, or ``<name>/<dataset>/feat_dump/<file>``; None where the file is not wanted.
    """
    *folders, file = PurePosixPath(path).parts
    if file.startswith(".") or ".." in folders:
        return None
    if LISTS in folders and file.endswith(_LIST_SUFFIXES):
        start = len(folders) - 1 - folders[::-1].index(LISTS)
        return "/".join((*folders[start:], file))
    dataset = _dataset(folders)
    if file.endswith(POINT_SUFFIXES) and dataset in datasets and _set(folders) in (None, name):
        return f"{name}/{dataset}/feat_dump/{file}"
    return None


def may_hold(archive: str, name: str, datasets: Collection[str]) -> bool:
    """Whether an archive of the repository may hold wanted files, by its path."""
    folders = PurePosixPath(archive).with_suffix("").parts
    return _set(folders) in (None, name) and (LISTS in folders or _dataset(folders) in (None, *datasets))


def _dataset(folders: Sequence[str]) -> str | None:
    found = [dataset for folder in folders for dataset, names in PUBLISHED.items() if re.search(names, folder.lower())]
    return found[-1] if found else None


def _set(folders: Sequence[str]) -> str | None:
    found = [match[0] for folder in folders if (match := _SET.match(folder))]
    return found[-1] if found else None


class Coverage(NamedTuple):
    """What of a split is there: ``missing`` are the ids of the clips without a point file."""

    list: str
    split: str
    num_clips: int
    missing: Sequence[str]


def coverage(root: Path, name: str, dataset: str) -> Iterator[Coverage]:
    """Compare the point files of a published dataset with its lists.

    Args:
        root: Folder of the point data, ``DATA.PATH_TO_TROKEN_PT_DATA``.
        name: Set of point files, ``POINT_INFO.NAME``.
        dataset: A key of ``PUBLISHED``.

    Raises:
        FileNotFoundError, ValueError: A list is missing or broken.
    """
    folder = root / name / dataset / "feat_dump"
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    for variant in DATASETS.get(dataset).variants:
        rows = DATASETS.get(dataset).rows(Source(Path(), root / LISTS, variant))
        for split in SPLITS:
            ids = [row.id for row in rows if row.split == split]
            missing = [id for id in ids if not any(id + suffix in there for suffix in POINT_SUFFIXES)]
            if ids:
                yield Coverage(variant or dataset, split, len(ids), missing)
