"""Points that are there, but of a video that was replaced since, or in a file that is broken."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trokens.extraction.jobs import Job
from trokens.points.io import read_metadata
from trokens.points.source import video_change

logger = logging.getLogger(__name__)


def outdated_jobs(jobs: Iterable[Job]) -> set[Job]:
    """Those of jobs with a point file that are to be done again; one line says how many of each kind."""
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
