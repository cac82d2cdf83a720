"""What is seen of a video: dense motion between frames at one rate, and small pictures; one pass, bounded memory."""

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

FPS = 10.0          # frames a second between which motion is read
FLOW_SIDE = 160     # pixels of the longer side of those frames
STRIDE = 2          # every how many of their pixels a point starts, at every step
PICTURE_SIDE = 224  # pixels of both sides of the pictures from which looks are read
MOST_STEPS = 600    # of a clip; a longer one's are spread over it


class Step(NamedTuple):
    """How a clip's points move from one frame to another.

    Attributes:
        start, end: Numbers of both frames in the file.
        flow: Displacements in pixels of the reduced frame, of every ``STRIDE``-th of them, (h, w, 2) float16.
        size: Reduced (height, width).
    """

    start: int
    end: int
    flow: ndarray
    size: tuple[int, int]


class Picture(NamedTuple):
    """A frame of the file, scaled to a square: ``rgb`` (224, 224, 3) uint8."""

    frame: int
    rgb: ndarray


def steps_of(path: str | os.PathLike, info: VideoInfo, most: int | None = MOST_STEPS) -> list[tuple[int, int]]:
    """Pairs of frames between which motion is read: neighbors at ``FPS``, at most so many of them, spread evenly.

    Raises:
        VideoError: The video is days long.
    """
    numbers = choose_frames(path, info, FPS).unique()
    pairs = list(zip(numbers[:-1].tolist(), numbers[1:].tolist(), strict=True))
    if most is None or len(pairs) <= most:
        return pairs
    return [pairs[int(i)] for i in np.linspace(0, len(pairs) - 1, most)]


def see(path: str | os.PathLike, info: VideoInfo, steps: Sequence[tuple[int, int]],
        pictures: Sequence[int]) -> Iterator[Step | Picture]:
    """Read a video once, in the order of its frames.

    Args:
        steps: Pairs of frame numbers, ascending.
        pictures: Frame numbers, ascending, all different.

    Yields:
        Each picture, and each step once its second frame is read.

    Raises:
        VideoError, OSError: A wanted frame cannot be read.
    """
    after = {end: start for start, end in steps}
    wanted, squares = sorted({frame for step in steps for frame in step} | set(pictures)), set(pictures)
    starts = set(after.values())
    flow, last = DenseFlow(), {}
    for number, frame in zip(wanted, stream_video(path, wanted), strict=True):
        if number in squares:
            yield Picture(number, _scaled(frame, (PICTURE_SIDE, PICTURE_SIDE)))
        if number not in after and number not in starts:
            continue
        gray = cv2.cvtColor(_scaled(frame, _reduced(info.size)), cv2.COLOR_RGB2GRAY)
        if number in after:
            field = flow(last[after[number]], gray)
            yield Step(after[number], number, field[::STRIDE, ::STRIDE].astype(np.float16), gray.shape)
        last = {number: gray}


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) with the longer side of ``FLOW_SIDE``, also where that is more than the frame has."""
    scale = FLOW_SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _scaled(frame: ndarray, size: tuple[int, int]) -> ndarray:
    height, width = size
    smaller = frame.shape[0] * frame.shape[1] > height * width
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
