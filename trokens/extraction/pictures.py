"""Pictures of an extraction: the clusters that points were chosen on, and the trails of the points.

Frames are read again, one at a time; that is quicker than to draw and to write them.
"""

from __future__ import annotations

import logging
import math

import torch
from PIL import Image

from trokens.extraction.clip import Queries
from trokens.extraction.jobs import Job
from trokens.runtime.files import whole_file
from trokens.structures import Tracks
from trokens.video import stream_video
from trokens.video.draw import draw_clusters, draw_trails, picture_size
from trokens.video.write import write_animation

GIF_PIXELS = 2**27  # of all frames of a GIF, which is in memory while it is written

logger = logging.getLogger(__name__)


def write_pictures(job: Job, queries: Queries, tracks: Tracks, fps: float, threads: int = 1) -> None:
    """Write the pictures that a job asks for: its trails last, for which a later run looks.

    Args:
        job: Says which, and of which video.
        queries: Its query points.
        tracks: Its points, with the video's frame numbers.
        fps: Positions a second.
        threads: Decoder threads.
    """
    if job.clusters and queries.labels is not None:
        _write_query_frames(job, queries, tracks, threads)
    if job.trails:
        _write_trails(job, tracks, fps, threads)


def _write_query_frames(job: Job, queries: Queries, tracks: Tracks, threads: int) -> None:
    """Write ``<clip id>_query_0012.png`` for each frame that has query points: its clusters and those points."""
    number = queries.points[:, 0].long()
    with_points = (queries.frames[:, None] == number).any(1)
    rows, labels = queries.frames[with_points].tolist(), queries.labels[with_points]
    frames = stream_video(job.video, tracks.frame[rows].tolist(), threads=threads, damaged=job.damaged)
    for row, label, frame in zip(rows, labels, frames, strict=True):
        points = queries.points[number == row, 1:]
        picture, = draw_clusters(torch.from_numpy(frame)[None], label[None], [points])
        with whole_file(job.trails.with_name(f"{job.trails.stem}_query_{row:04}.png")) as unfinished:
            Image.fromarray(picture.numpy()).save(unfinished, "PNG")


def _write_trails(job: Job, tracks: Tracks, fps: float, threads: int) -> None:
    step, count = 1, tracks.num_positions
    if job.trails.suffix == ".gif":
        step = math.ceil(count * math.prod(picture_size(tracks.size)) / GIF_PIXELS)
    if step > 1:
        logger.info("The GIF of '%s' shows one in %d of its %d frames; --vis_format mp4 shows them all.", job.video,
                    step, count)
    rows = range(0, count, step)
    frames = stream_video(job.video, tracks.frame[::step].tolist(), threads=threads, damaged=job.damaged)
    write_animation(job.trails, draw_trails(frames, tracks, rows), fps / step)
