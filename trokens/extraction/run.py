"""Extraction of many videos: in worker processes that may die, with one note for each video that fails."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import torch

from trokens.extraction.extractor import Extractor, Options, extract_video
from trokens.extraction.jobs import Job, unfinished_jobs
from trokens.points.io import read_metadata
from trokens.points.source import video_change
from trokens.runtime.files import WriteError, remove_unfinished, write_csv
from trokens.runtime.machine import num_cores
from trokens.runtime.parallel import DIED, parallel_map
from trokens.video import VideoError

logger = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What became of a job: ``failure`` is None, or the cause."""

    job: Job
    failure: str | None


def jobs_to_do(jobs: Sequence[Job], *, rerun: bool = False) -> list[Job]:
    """Those without their files, or with outdated points; ``rerun``: all.

    Points are outdated where their video was replaced since, or their file is broken; one line says how many are.
    """
    todo = set(unfinished_jobs(jobs, rerun=rerun))
    todo |= _outdated(job for job in jobs if job not in todo)
    return [job for job in jobs if job in todo]


def _outdated(jobs: Iterable[Job]) -> set[Job]:
    changed, broken = [], []
    for job in jobs:
        try:
            if job.video.is_file() and video_change(read_metadata(job.points), job.video):
                changed.append(job)
        except (ValueError, OSError):
            broken.append(job)
    for some, what in ((changed, "Videos replaced since their points were extracted"),
                       (broken, "Videos whose point files cannot be read")):
        if some:
            logger.warning("%s, which are extracted again: %d (first: %s).", what, len(some), some[0].video)
    return {*changed, *broken}


def extract_list(jobs: Sequence[Job], options: Options, num_workers: int = 0, *,
                 processes_here: int = 1) -> Iterator[Outcome]:
    """Extract many videos; the iterator gives each outcome as it comes.

    A video that cannot be extracted is an outcome with a cause, also where it takes a worker process with it. The
    cause is noted in the file ``job.failure`` too, and that note is removed when the video succeeds later.

    Args:
        jobs: The videos.
        options: How points are chosen and tracked.
        num_workers: Worker processes; 0 does the work in this one, which a crashing decoder then ends.
        processes_here: Processes like this one that share the machine; each takes its part of the cores.

    Raises:
        ValueError, FileNotFoundError: As `Extractor`, at once.
        WriteError: A file cannot be written, for example since the disk is full; on the way.
        RuntimeError: The workers cannot start, for example for lack of memory; on the way.
    """
    if not jobs:
        return iter(())
    threads = max(1, num_cores() // (max(num_workers, 1) * processes_here))
    extractor = Extractor(options)  # here too where other processes do the work: its errors belong to the caller
    if not num_workers:
        return (_noted(Outcome(job, _attempt(job, extractor, threads))) for job in jobs)
    del extractor
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the workers need the room
    return _from_workers(jobs, num_workers, partial(_set_up_worker, options, threads))


def _from_workers(jobs: Sequence[Job], num_workers: int, set_up: Callable[[], None]) -> Iterator[Outcome]:
    try:
        with closing(parallel_map(_work, jobs, num_workers, if_died=DIED, set_up=set_up)) as results:
            for job, failure in results:
                yield _noted(Outcome(job, failure))
    finally:
        remove_unfinished(path for job in jobs for path in job.files)  # of workers that were killed


_worker: dict = {}  # what a worker process builds once


def _set_up_worker(options: Options, threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    _worker.update(extractor=Extractor(options), threads=threads)


def _work(job: Job) -> str | None:
    return _attempt(job, **_worker)


def _attempt(job: Job, extractor: Extractor, threads: int) -> str | None:
    """Extract one video; return the cause where that fails."""
    try:
        extract_video(job, extractor, threads)
    except WriteError:
        raise  # no other video would find room either
    except (VideoError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__
    except Exception as error:  # one video must not end a run of thousands
        logger.exception("Extraction of %s failed.", job.video)
        return f"{type(error).__name__}: {error}"
    return None


def _noted(outcome: Outcome) -> Outcome:
    note = outcome.job.failure
    if outcome.failure is None:
        note.unlink(missing_ok=True)
    else:
        write_csv(note, [(str(outcome.job.video), outcome.failure)])
    return outcome


def write_failures(out: Path) -> int:
    """Gather the notes of all failed videos, ``out/<dataset>/failed/*.txt``, in ``out/failures.csv``; none, no file.

    Processes that share the work may call this at any time: whoever comes last has written what all have noted.

    Returns:
        Number of failed videos.
    """
    remove_unfinished([out / "failures.csv"])
    while True:
        rows = _failures(out)
        if rows:
            write_csv(out / "failures.csv", [("video_path", "cause"), *rows])
        else:
            (out / "failures.csv").unlink(missing_ok=True)
        if _failures(out) == rows:  # nobody noted anything while this was being written
            return len(rows)


def _failures(out: Path) -> list[tuple[str, ...]]:
    rows = []
    for note in out.glob("*/failed/*.txt"):
        with suppress(FileNotFoundError), open(note, encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows += [tuple(row) for row in csv.reader(file)]  # not found: another process has just succeeded with it
    return sorted(rows)
