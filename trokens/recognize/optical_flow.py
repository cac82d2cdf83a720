"""What is read of a video, in one pass: dense optical flow between frames at one rate, and small pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy import ndarray

from trokens.extraction.frame_times import choose_frames
from trokens.points.dense_flow import DenseFlow
from trokens.video import VideoInfo, stream_video

FPS = 10.0          # frames a second between which flow is computed
FLOW_SIDE = 160     # pixels of the longer side of those frames
STRIDE = 2          # every how many of their pixels a point starts, in every pair of frames
PICTURE_SIDE = 224  # pixels of both sides of the pictures from which looks are read
MOST_PAIRS = 600    # of a clip; a longer one's are spread over it


class Flow(NamedTuple):
    """Optical flow from one frame to another: how a clip's points move.

    Attributes:
        start, end: Numbers of both frames in the file.
        field: Displacements in pixels of the reduced frame, of every ``STRIDE``-th of them, (h, w, 2) float16.
        size: Reduced (height, width).
    """

    start: int
    end: int
    field: ndarray
    size: tuple[int, int]


class Picture(NamedTuple):
    """A frame of the file, scaled to a square: ``rgb`` (224, 224, 3) uint8."""

    frame: int
    rgb: ndarray


def frame_pairs(path: str | os.PathLike, info: VideoInfo, most: int | None = None) -> list[tuple[int, int]]:
    """Pairs of frames between which flow is computed: neighbors at ``FPS``, at most so many of them, spread evenly.

    Raises:
        VideoError: The video is days long.
    """
    numbers = choose_frames(path, info, FPS).unique()
    pairs = list(zip(numbers[:-1].tolist(), numbers[1:].tolist(), strict=True))
    if most is None or len(pairs) <= most:
        return pairs
    return [pairs[int(i)] for i in np.linspace(0, len(pairs) - 1, most)]


def flow_and_pictures(path: str | os.PathLike, info: VideoInfo, pairs: Sequence[tuple[int, int]],
                      pictures: Sequence[int]) -> Iterator[Flow | Picture]:
    """Read a video once, in the order of its frames.

    Args:
        pairs: Pairs of frame numbers, ascending.
        pictures: Frame numbers, ascending, all different.

    Yields:
        Each picture, and each flow once its second frame is read.

    Raises:
        VideoError, OSError: A wanted frame cannot be read.
    """
    start_of, pictured = {end: start for start, end in pairs}, set(pictures)
    starts = set(start_of.values())
    wanted = sorted({*start_of, *starts, *pictured})
    scale = FLOW_SIDE / max(info.size)  # above 1 for a smaller video
    reduced = max(1, round(info.size[0] * scale)), max(1, round(info.size[1] * scale))
    flow, last = DenseFlow(), None
    for number, frame in zip(wanted, stream_video(path, wanted), strict=True):
        if number in pictured:
            yield Picture(number, _scaled(frame, (PICTURE_SIDE, PICTURE_SIDE)))
        if number not in start_of and number not in starts:
            continue
        gray = cv2.cvtColor(_scaled(frame, reduced), cv2.COLOR_RGB2GRAY)
        if number in start_of:  # pairs do not cross: its first frame was the last one that is no picture alone
            field = flow(last, gray)
            yield Flow(start_of[number], number, field[::STRIDE, ::STRIDE].astype(np.float16), gray.shape)
        last = gray


def _scaled(frame: ndarray, size: tuple[int, int]) -> ndarray:
    height, width = size
    smaller = frame.shape[0] * frame.shape[1] > height * width
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
