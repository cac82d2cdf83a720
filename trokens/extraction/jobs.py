"""Which videos are extracted, by which process, and into which files."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from trokens.clips.dataset import DATASETS
from trokens.runtime.files import LONGEST_NAME, remove_unfinished
from trokens.runtime.lock import folder_lock


class Job(NamedTuple):
    """One video to extract.

    Attributes:
        video: The video file.
        points: The point file to write; its suffix is the format.
        fps: Frame rate; 0 for every frame of the video.
        trails: Picture of the trails to write (GIF or mp4), or None.
        clusters: Whether the clusters of each query frame are drawn too, beside ``trails``.
        damaged, short: Whether to "refuse" a video that is damaged or cut, or to "warn" and take it as it is.
    """

    video: Path
    points: Path
    fps: float
    trails: Path | None = None
    clusters: bool = False
    damaged: str = "refuse"
    short: str = "refuse"

    @property
    def failure(self) -> Path:
        """Where the cause is noted if the video cannot be extracted: one file a video, whoever writes it."""
        return self.points.parent.parent / "failed" / f"{self.points.stem}.txt"

    @property
    def files(self) -> list[Path]:
        """What is written for the video."""
        return [path for path in (self.points, self.failure, self.trails) if path]


def list_jobs(videos: Sequence[tuple[Path, str]], root: Path, out: Path, *, fps: float | None = None,
              suffix: str = ".safetensors", pictures: str = "", clusters: bool = False,
              damaged: str = "refuse", short: str = "refuse") -> list[Job]:
    """Name the files of each video: ``<out>/<dataset>/feat_dump/<clip id><suffix>`` and, with pictures,
    ``<out>/<dataset>/vis/<clip id><pictures>``.

    Args:
        videos: (path, dataset) pairs.
        root: Folder below which the paths of one's own clips are their ids; training's ``DATA.PATH_TO_DATA_DIR``.
        out: Folder of the point files.
        fps: Frame rate; None takes the dataset's.
        suffix: ``.safetensors`` or ``.pkl``.
        pictures: ``.gif`` or ``.mp4`` to draw trails, or "".
        clusters: Whether to draw the clusters too.
        damaged, short: "refuse" or "warn", see `Job`.

    Raises:
        ValueError: There are no videos, a dataset is unknown, or two videos would share a point file.
    """
    if not videos:
        raise ValueError("There are no videos to extract points from; check --csv_path or --videos.")
    jobs = []
    for video, name in dict.fromkeys(videos):
        dataset = DATASETS.get(name)
        clip, folder = dataset.clip_id(video, root), out / dataset.name
        jobs.append(Job(video, folder / "feat_dump" / (clip + suffix), dataset.fps if fps is None else fps,
                        folder / "vis" / (clip + pictures) if pictures else None, clusters, damaged, short))
    length, longest = max((len(os.fsencode(job.points.name)), job.video) for job in jobs)
    if length > LONGEST_NAME:
        raise ValueError(f"The name of {longest} gives its point file a name of {length} bytes, above the "
                         f"{LONGEST_NAME} that a file's name may have; shorten it.")
    twice = [path for path, count in Counter(job.points for job in jobs).items() if count > 1]
    if twice:
        same = [str(job.video) for job in jobs if job.points == twice[0]]
        raise ValueError(f"{len(twice)} clip ids belong to more than one video (first: {twice[0].stem} of "
                         f"{' and '.join(same[:2])}); rename or drop all but one.")
    return jobs


def unfinished_jobs(jobs: Sequence[Job], *, rerun: bool = False) -> list[Job]:
    """The jobs without a point file, or without a picture that is asked for (``rerun``: all jobs).

    What killed processes left of their files is removed.
    """
    files_of = [(job, [path for path in (job.points, job.trails) if path]) for job in jobs]
    folders = {path.parent for _, paths in files_of for path in paths}
    there = {folder: set(os.listdir(folder)) if folder.is_dir() else set() for folder in folders}
    todo = [job for job, paths in files_of if rerun or any(path.name not in there[path.parent] for path in paths)]
    remove_unfinished(path for job in todo for path in job.files)
    return todo


@contextmanager
def own_list(out: Path, jobs: Sequence[Job], shard: tuple[int, int]) -> Iterator[None]:
    """Keep others from extracting the same part of the same list in the block; other parts and lists may share ``out``.

    Raises:
        InUse: Another command extracts it.
    """
    key = hashlib.sha256(repr((shard, [(job.video, job.points) for job in jobs])).encode()).hexdigest()[:12]
    part = f"Part {shard[0]} of {shard[1]} of these videos" if shard[1] > 1 else "This list of videos"
    with folder_lock(out, name=f"extraction-{key}.lock", what=f"{part} is being extracted into {out}",
                     remedy="give another --name"):
        yield
