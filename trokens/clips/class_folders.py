"""Own clips in class folders: which folders are splits, which are classes, and what belongs to neither."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from trokens.clips.classes import clean
from trokens.clips.dataset import SPLIT_NAMES, SPLITS
from trokens.clips.walk import is_video, say_passed_over, videos_in, walk_videos
from trokens.runtime.folders import Tree

logger = logging.getLogger(__name__)


class ClassVideo(NamedTuple):
    """A video in a class folder: its split ("" where folders tell none), class, and path below the root."""

    split: str
    class_name: str
    video: str


def split_folders(root: Path) -> dict[str, str]:
    """Which folders of ``root`` hold the class folders of a split.

    They are called train, val and test; ``validation``, ``Training`` and the like count where others beside them tell
    that they are no classes.

    Returns:
        Split -> name of its folder; {} where ``root`` holds the class folders themselves.

    Raises:
        ValueError: Two folders mean one split.
    """
    folders: dict[str, list[str]] = {}
    for name in _folder_names(root):
        if (split := SPLIT_NAMES.get(name.casefold())) and _folder_names(root / name) and (
                name in SPLITS or not any(map(is_video, os.listdir(root / name)))):
            folders.setdefault(split, []).append(name)
    if len(folders) < 2 and not any(name in SPLITS for names in folders.values() for name in names):
        return {}
    for split, names in folders.items():
        if len(names) > 1:
            raise ValueError(f"{root} has the folders {' and '.join(names)}, which both mean the {split} split; join "
                             "them, or rename one.")
    return {split: folders[split][0] for split in SPLITS if split in folders}


def _folder_names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def class_videos(root: Path, splits: Mapping[str, str]) -> list[ClassVideo]:
    """Videos of ``root/<split>/<class>`` at any depth, or of ``root/<class>``, by splits, classes and paths.

    What lies elsewhere, or is no video, is said in one line.

    Args:
        root: The folder of all clips.
        splits: What `split_folders` says of it, or {} for class folders without splits.

    Raises:
        ValueError: Two splits share a folder by links.
    """
    tree, depth = walk_videos(root), 1 + bool(splits)  # folders above a video: its class and, with splits, its split
    _check_shared(root, tree, splits)
    split_of = {folder: split for split, folder in splits.items()}
    found, loose, beside = [], [], []
    for video in videos_in(tree.files):
        *folders, _ = video.split(os.sep)
        if splits and folders and folders[0] not in split_of:
            beside.append(video)
        elif len(folders) < depth:
            loose.append(video)
        else:
            name = folders[depth - 1]
            found.append(ClassVideo(split_of[folders[0]] if splits else "", clean(name) or name, video))
    say_passed_over(root, tree, {
        f"videos in folders beside {', '.join(f'{name}/' for name in splits.values())}": beside,
        "videos in no class folder": loose})
    _say_joined(found, depth)
    order = [*SPLITS, ""].index
    return sorted(found, key=lambda video: (order(video.split), *video.video.split(os.sep)))


def _check_shared(root: Path, tree: Tree, splits: Mapping[str, str]) -> None:
    for link, name in tree.again:
        parts = link.split(os.sep), name.split(os.sep)
        if len(parts[0]) == len(parts[1]) <= 2 and parts[0][0] != parts[1][0] and all(
                part[0] in splits.values() for part in parts):
            raise ValueError(f"'{link}' and '{name}' in {root} are one folder by a link; few-shot splits share no "
                             "class, remove one of them.")


def _say_joined(found: Sequence[ClassVideo], depth: int) -> None:
    """Say which videos belong to a class otherwise than by lying in the one folder of its name."""
    if deep := [video.video for video in found if video.video.count(os.sep) > depth]:
        logger.info("Videos in folders below their class folders, which name their classes: %d (first: %s).",
                    len(deep), min(deep))
    folders: dict[tuple[str, str], set[str]] = {}
    for split, name, video in found:
        folders.setdefault((split, name), set()).add(video.split(os.sep)[depth - 1])
    for (_, name), names in folders.items():
        if len(names) > 1:
            logger.warning("The folders %s are one class, '%s'.", " and ".join(map(repr, sorted(names))), name)
