"""Where videos lie: folders searched to any depth, and patterns; what is passed over there is said in one line."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
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


def videos_in(tree: Tree) -> list[str]:
    """The videos among the files; a GIF beside a video of its name is a picture of it."""
    videos = [file for file in tree.files if is_video(file)]
    stems = {os.path.splitext(video)[0] for video in videos if not _is_gif(video)}
    return [video for video in videos if not (_is_gif(video) and os.path.splitext(video)[0] in stems)]


def _is_gif(path: str) -> bool:
    return path.lower().endswith(".gif")


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
    root, tree = (Path(source), walk_videos(source)) if os.path.isdir(source) else _fitting(source)
    say_passed_over(root, tree)
    return sorted(root / file for file in videos_in(tree)), root


def _fitting(pattern: str) -> tuple[Path, Tree]:
    """What fits a pattern, below the folder that comes before its first wildcard."""
    parts = Path(pattern).parts
    wild = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    root = Path(*parts[:wild])
    if "**" in parts and root.is_dir():  # what glob makes of it goes around in circles of links
        tree = walk_videos(root)
        return root, tree._replace(files=[f for f in tree.files if _matches(f.split(os.sep), parts[wild:])])
    folders: dict[str, list[str]] = {}
    for file in glob.glob(os.path.join(*parts[wild:]), root_dir=root):
        if os.path.isfile(root / file):
            folders.setdefault(os.path.dirname(file), []).append(file)
    tree, seen, own = Tree([], [], [], []), {}, os.path.realpath(root)
    for folder in sorted(folders, key=lambda folder: (os.path.realpath(root / folder) != os.path.abspath(root / folder),
                                                      folder)):
        links = [root / folder, *(root / folder).parents][:len(Path(folder).parts)]
        name = next(filter(None, (above(link, own) for link in links if link.is_symlink())),
                    seen.setdefault(os.path.realpath(root / folder), folder))
        if name != folder:
            tree.again.append((folder, name))
        for file in folders[folder] if name == folder else ():
            shown = not any(part.startswith(".") for part in file.split(os.sep))
            (tree.files if shown else tree.hidden).append(file)
    return root, tree


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits a pattern, part by part; ``**`` stands for any number of folders."""
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
    others = set(tree.files).difference(videos_in(tree))
    suffixes = Counter(os.path.splitext(file)[1].lower() or "none" for file in others if not file.endswith(_BESIDE))
    groups = {"hidden files or folders": tree.hidden, "what cannot be read": tree.lost, **(further or {}),
              "links to folders that are read by other names": [f"{link} is {name or 'this folder itself'}"
                                                                for link, name in tree.again]}
    parts = [f"{what} {len(paths)} ({min(paths)}{', ...' * (len(paths) > 1)})"
             for what, paths in groups.items() if paths]
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
    folders, known = {os.path.dirname(path) for path in listed}, {os.path.normpath(path) for path in listed}
    above = {os.path.dirname(folder) for folder in folders if folder}
    passed = {os.path.realpath(root / folder) for folder in folders | above}
    beside = []
    for folder in sorted(above):
        for inside in os.scandir(root / folder) if os.path.isdir(root / folder) else ():
            path = os.path.join(folder, inside.name)
            real, is_above = os.path.realpath(root / path), any(other.startswith(path + os.sep) for other in folders)
            if kind(inside) == "folder" and not inside.name.startswith(".") and real not in passed and not is_above:
                passed.add(real)
                beside.append(path)

    def videos(of: Collection[str]) -> list[str]:
        files = [os.path.join(folder, name) for folder in of for name in file_names(root / folder)
                 if not name.startswith(".")]
        return [video for video in videos_in(Tree(files, [], [], [])) if video not in known]

    say_passed_over(root, Tree([], [], [], []), {f"videos that {name} does not list": videos(folders),
                                                 "videos in folders of no split": videos(beside)})


def file_names(folder: str | os.PathLike) -> set[str]:
    """Names of the files in a folder, from one listing; none where there is no such folder."""
    if not os.path.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if kind(entry) == "file"}
