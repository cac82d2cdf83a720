"""Where videos lie: folders searched to any depth, patterns, listed paths; what is passed over is said in one line."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from trokens.clips.dataset import SPLIT_NAMES
from trokens.points import POINT_SUFFIXES
from trokens.runtime.folders import Tree, above, kind, walk

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv",
                            ".3gp", ".3g2", ".ts", ".mts", ".m2ts", ".vob", ".asf", ".gif"})
_BESIDE = (*POINT_SUFFIXES, ".npz")  # points and true tracks, which belong to clips
_POINT_FOLDER = "feat_dump"  # beside it extraction draws its pictures, which are no clips


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file is a video by its suffix, in upper or lower case."""
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def videos_in(files: Iterable[str]) -> list[str]:
    """The videos among files; a GIF beside a video of its name is a picture of it."""
    parts = {file: os.path.splitext(file) for file in files if is_video(file)}
    stems = {stem for stem, suffix in parts.values() if suffix.lower() != ".gif"}
    return [file for file, (stem, suffix) in parts.items() if suffix.lower() != ".gif" or stem not in stems]


def file_names(folder: str | os.PathLike[str]) -> set[str]:
    """Names of the files in a folder, from one listing; none where there is no such folder."""
    if not os.path.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if kind(entry) == "file"}


def walk_videos(root: str | os.PathLike) -> Tree:
    """All files below a folder but those that extraction wrote, see `trokens.runtime.folders.walk`.

    Where splits are links to a pool beside them, their names are those that extraction and training go by.
    """
    splits = [name for name in os.listdir(root) if name.casefold() in SPLIT_NAMES]
    return walk(root, first=splits, skip=lambda folders: _POINT_FOLDER in folders)


def find_videos(source: str) -> tuple[list[Path], Path]:
    """Find videos that belong to no list; hidden files and folders are passed over, links are followed.

    Args:
        source: A folder, searched to any depth, or a pattern.

    Returns:
        The videos in the order of their paths, and the folder searched: of a pattern, what comes before its first
        wildcard.
    """
    root, tree = (Path(source), walk_videos(source)) if os.path.isdir(source) else _matching(source)
    say_passed_over(root, tree)
    return sorted(root / file for file in videos_in(tree.files)), root


def _matching(pattern: str) -> tuple[Path, Tree]:
    """What matches a pattern, below the folder that comes before its first wildcard."""
    parts = Path(pattern).parts
    wild = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    root, wanted = Path(*parts[:wild]), parts[wild:]
    if "**" in wanted and root.is_dir():  # where glob would go around in circles of links
        tree = walk_videos(root)
        return root, tree._replace(files=[file for file in tree.files if _matches(file.split(os.sep), wanted)])
    folders: dict[str, list[str]] = {}
    for file in glob.glob(os.path.join(*wanted), root_dir=root):
        if os.path.isfile(root / file):
            folders.setdefault(os.path.dirname(file), []).append(file)
    real = {folder: os.path.realpath(root / folder) for folder in folders}
    tree, name_of, own = Tree([], [], [], []), {}, os.path.realpath(root)
    # A folder's own name comes before those that links give it.
    for folder in sorted(folders, key=lambda folder: (real[folder] != os.path.abspath(root / folder), folder)):
        name = name_of.setdefault(real[folder], folder)
        for link in [root / folder, *(root / folder).parents][:len(Path(folder).parts)]:
            if link.is_symlink() and (higher := above(link, own)):
                name = higher
                break
        if name != folder:
            tree.again.append((folder, name))
            continue
        for file in folders[folder]:
            is_hidden = any(part.startswith(".") for part in file.split(os.sep))
            (tree.hidden if is_hidden else tree.files).append(file)
    return root, tree


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a pattern, part by part; ``**`` stands for any number of folders."""
    if not pattern or not names:
        return not names and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(names, pattern[1:]) or _matches(names[1:], pattern)
    return fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def say_passed_over(root: str | os.PathLike, tree: Tree, further: Mapping[str, Sequence[str]] | None = None) -> None:
    """Say in one line how many files below a folder are no clips, and why; point files and their like count as none.

    Args:
        root: The folder.
        tree: What lies below it.
        further: What else, such as "videos in no class folder" -> their paths.
    """
    groups = {"hidden files or folders": tree.hidden, "what cannot be read": tree.lost, **(further or {}),
              "links to folders that are read by other names": [f"{link} is {name or 'this folder itself'}"
                                                                for link, name in tree.again]}
    parts = [f"{what} {len(paths)} ({min(paths)}{', ...' * (len(paths) > 1)})"
             for what, paths in groups.items() if paths]
    others = set(tree.files).difference(videos_in(tree.files))
    suffixes = Counter(os.path.splitext(file)[1].lower() or "none" for file in others if not file.endswith(_BESIDE))
    if suffixes:
        kinds = [f"{suffix} {count}" for suffix, count in suffixes.most_common(5)] + ["..."] * (len(suffixes) > 5)
        parts.insert(0, f"files of other suffixes {suffixes.total()} ({', '.join(kinds)})")
    if parts:
        logger.info("Passed over in %s: %s.", root, "; ".join(parts))


def say_unlisted(root: Path, listed: Sequence[str], name: str) -> None:
    """Say in one line how many videos a list leaves out, of the folders it names and of those right beside them.

    Args:
        root: The folder of the videos.
        listed: Their paths below it.
        name: Of the list.
    """
    known, folders = {os.path.normpath(path) for path in listed}, {os.path.dirname(path) for path in listed}
    higher = {os.path.dirname(folder) for folder in folders if folder}
    passed, beside = {os.path.realpath(root / folder) for folder in folders | higher}, []
    for folder in sorted(higher):
        for entry in os.scandir(root / folder) if os.path.isdir(root / folder) else ():
            path = os.path.join(folder, entry.name)
            real, is_above = os.path.realpath(root / path), any(other.startswith(path + os.sep) for other in folders)
            if kind(entry) == "folder" and not entry.name.startswith(".") and real not in passed and not is_above:
                passed.add(real)
                beside.append(path)

    def unlisted(folders: Iterable[str]) -> list[str]:
        files = [os.path.join(folder, file) for folder in folders for file in file_names(root / folder)
                 if not file.startswith(".")]
        return [video for video in videos_in(files) if video not in known]

    say_passed_over(root, Tree([], [], [], []), {f"videos that {name} does not list": unlisted(folders),
                                                 "videos in folders of no split": unlisted(beside)})


def videos_on_disk(paths: Sequence[str]) -> list[str]:
    """Take for a listed video that is not there the one of its name with another suffix; said in one line.

    Every folder is listed once, and no file is looked at.

    Returns:
        The paths in their order; one that nothing is found for stays as it is.

    Raises:
        ValueError: There are several such videos.
    """
    names: dict[str, set[str]] = {}
    by_stem: dict[str, dict[str, list[str]]] = {}
    found, taken, first = [], Counter(), ""
    for path in paths:
        folder, name = os.path.split(path)
        stem, suffix = os.path.splitext(name)
        if folder not in names:
            names[folder] = file_names(folder)
        if name not in names[folder]:
            if folder not in by_stem:
                by_stem[folder] = {}
                for video in sorted(videos_in(file for file in names[folder] if not file.startswith("."))):
                    by_stem[folder].setdefault(os.path.splitext(video)[0], []).append(video)
            candidates = by_stem[folder].get(stem, [])
            if len(candidates) > 1:
                raise ValueError(f"'{path}' of the list is not there, and {' and '.join(candidates)} beside it could "
                                 "both be meant; keep one of them, or correct the list.")
            if candidates:
                path = os.path.join(folder, candidates[0])
                taken[suffix or "without a suffix", os.path.splitext(path)[1]] += 1
                first = first or path
        found.append(path)
    if taken:
        pairs = ", ".join(f"{count} {old} as {new}" for (old, new), count in taken.most_common())
        logger.info("Listed videos that have another suffix on disk, with which they are taken: %d (%s; first: %s).",
                    taken.total(), pairs, first)
    return found
