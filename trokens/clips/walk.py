"""Where videos lie: folders of classes, folders searched to any depth, patterns."""

from __future__ import annotations

import glob
import os
from pathlib import Path

VIDEO_SUFFIXES = frozenset({".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv",
                            ".3gp", ".ts"})


def class_videos(root: Path, split: str = "") -> list[tuple[str, str]]:
    """(class, path below ``root``) of every video of ``root/split/<class>/*``, in the order of the names."""
    return [(name, os.path.join(split, name, video)) for name in folder_names(root / split)
            for video in sorted(file_names(root / split / name))
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


def folder_names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")) if path.is_dir() else []


def file_names(folder: str | os.PathLike) -> set[str]:
    """Names of the files in a folder, from one listing; none where there is no such folder."""
    if not os.path.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}
