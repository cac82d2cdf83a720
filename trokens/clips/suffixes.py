"""Lists that name a video by another suffix than it has: .webm for .mp4, .MP4 for .mp4."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence

from trokens.clips.walk import file_names, videos_in
from trokens.runtime.folders import Tree

logger = logging.getLogger(__name__)


def videos_on_disk(paths: Sequence[str]) -> list[str]:
    """Take for a listed video that is not there the one of its name with another suffix; said in one line.

    Every folder is listed once, and no file is looked at.

    Returns:
        The paths in their order; one that nothing is found for stays as it is.

    Raises:
        ValueError: There are several such videos.
    """
    split_paths = [os.path.split(path) for path in paths]
    there = {folder: file_names(folder) for folder in {folder for folder, _ in split_paths}}
    by_stem: dict[str, dict[str, list[str]]] = {}
    found, taken = [], Counter()
    for path, (folder, name) in zip(paths, split_paths, strict=True):
        if name not in there[folder]:
            stem, suffix = os.path.splitext(name)
            if folder not in by_stem:
                by_stem[folder] = _by_stem(there[folder])
            if candidates := by_stem[folder].get(stem):
                if len(candidates) > 1:
                    raise ValueError(f"'{path}' of the list is not there, and {' and '.join(candidates)} beside it "
                                     "could both be meant; keep one of them, or correct the list.")
                taken[suffix, os.path.splitext(candidates[0])[1]] += 1
                path = os.path.join(folder, candidates[0])
        found.append(path)
    if taken:
        pairs = ", ".join(f"{count} {old or 'without a suffix'} as {new}" for (old, new), count in taken.most_common())
        first = next(new for old, new in zip(paths, found, strict=True) if old != new)
        logger.info("Listed videos that have another suffix on disk, with which they are taken: %d (%s; first: %s).",
                    taken.total(), pairs, first)
    return found


def _by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    stems: dict[str, list[str]] = {}
    for name in sorted(videos_in(Tree([name for name in names if not name.startswith(".")], [], [], []))):
        stems.setdefault(os.path.splitext(name)[0], []).append(name)
    return stems
