"""Moments of a clip side by side in one small picture, which a page shows one after the other: no codec is needed."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy import ndarray
from PIL import Image

from trokens.recognize.describe import one_line, one_thread
from trokens.runtime.parallel import DIED, parallel_map
from trokens.video import VideoInfo, probe, stream_video

logger = logging.getLogger(__name__)

SIDE = 208       # pixels of the longer side of a frame; a smaller one stays as it is
QUALITY = 50     # of WebP
COLUMNS = 8      # frames in a row of the picture
LATER = 32       # a moment's second frame comes a clip's duration by this number after it, ...
MOST_LATER = 0.5  # ... and at most so many seconds


class Wanted(NamedTuple):
    """Moments of a clip that are to be seen: frame numbers, or seconds."""

    path: str
    moments: tuple[int, ...] | tuple[float, ...]
    in_seconds: bool = False


@dataclass(frozen=True)
class Film:
    """Moments of a clip in one picture, in rows of at most ``COLUMNS``.

    Attributes:
        picture: All frames, as a data URI.
        still: One of them alone, as a data URI.
        cells: Where each moment is, and what comes half a moment later: cells of the picture, row by row.
        grid: Columns and rows of the picture.
        size: The file's frame (height, width) in pixels, upright.
    """

    picture: str
    still: str
    cells: dict[int | float, tuple[int, int]]
    grid: tuple[int, int]
    size: tuple[int, int]

    def position(self, cell: int) -> tuple[float, float]:
        """Where a cell is, as CSS counts ``background-position``: percents of x and y."""
        (columns, rows), (row, column) = self.grid, divmod(cell, self.grid[0])
        return (round(100 * column / max(columns - 1, 1), 3), round(100 * row / max(rows - 1, 1), 3))


def make_films(wanted: Sequence[Wanted], workers: int) -> dict[tuple[str, bool], Film | str]:
    """The film of each clip by path and unit of its moments, or one line that says why there is none.

    Args:
        workers: Processes; 0 does it in this one.
    """
    found = parallel_map(_film_or_line, wanted, workers, if_died=DIED, set_up=one_thread)
    return {(item.path, item.in_seconds): film for item, film in found}


def _film_or_line(wanted: Wanted) -> Film | str:
    try:
        return film(wanted)
    except Exception as error:  # a clip that changed since it was answered costs its own pictures, and nothing else
        logger.debug("No pictures of '%s'.", wanted.path, exc_info=True)
        return one_line(wanted.path, error)


def film(wanted: Wanted) -> Film:
    """Decode the moments, each frame once and reduced at once.

    Raises:
        VideoError, OSError, IndexError: The clip cannot be read, or does not have them.
    """
    info = probe(wanted.path)
    pairs = _in_seconds(wanted.moments, info) if wanted.in_seconds else _with_next(wanted.moments, info)
    numbers = sorted({number for pair in pairs.values() for number in pair})
    frames = [_reduced(frame) for frame in stream_video(wanted.path, numbers)]
    columns = min(COLUMNS, len(frames))
    return Film(_data_uri(_side_by_side(frames, columns)), _data_uri(frames[len(frames) // 2]),
                {moment: (numbers.index(first), numbers.index(then)) for moment, (first, then) in pairs.items()},
                (columns, -(-len(frames) // columns)), info.size)


def _in_seconds(moments: Sequence[float], info: VideoInfo) -> dict[float, tuple[int, int]]:
    frames = np.clip(np.searchsorted(info.times, moments, side="right") - 1, 0, info.num_frames - 1).tolist()
    return {moment: (frame, frame) for moment, frame in zip(moments, frames, strict=True)}


def _with_next(moments: Sequence, info: VideoInfo) -> dict[int, tuple[int, int]]:
    """Each with the frame half a moment later: moments may lie in a part of a clip, or be some of its own."""
    moments = sorted(moments)
    most = min(info.num_frames // LATER, round(MOST_LATER * info.fps))
    gaps = np.diff(moments).tolist() or [2 * most]
    later = [min(most, gap // 2) for gap in [*gaps, gaps[-1]]]
    return {moment: (moment, max(moment, min(moment + ahead, info.num_frames - 1)))
            for moment, ahead in zip(moments, later, strict=False)}


def _reduced(frame: ndarray) -> ndarray:
    scale = SIDE / max(frame.shape[:2])
    if scale >= 1:
        return frame.copy()
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def _side_by_side(frames: Sequence[ndarray], columns: int) -> ndarray:
    height, width = frames[0].shape[:2]
    out = np.zeros((-(-len(frames) // columns) * height, columns * width, 3), np.uint8)
    for i, frame in enumerate(frames):
        if frame.shape != frames[0].shape:  # frames of one file may differ in size
            frame = cv2.resize(frame, (width, height))
        y, x = i // columns * height, i % columns * width
        out[y:y + height, x:x + width] = frame
    return out


def _data_uri(picture: ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def moments_between(start: float, end: float, count: int) -> Iterable[float]:
    """So many moments in seconds, spread evenly over a part of a video."""
    return (start + (i + 0.5) * (end - start) / count for i in range(count))
