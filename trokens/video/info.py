"""What is known of a video, and the errors and the warning that name it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trokens.video.orientation import Orientation

logger = logging.getLogger(__name__)
NOTHING_DECODES = "nothing in it decodes; get it anew, or convert it, for example to H.264"
POLICIES = ("refuse", "warn")  # what is done with a video that is damaged or short
START = np.zeros(1, np.int64)  # the one frame at which decoding may start for sure


@dataclass(frozen=True)
class VideoInfo:
    """The number of a video's frames (F), when each is shown, and whether anything is missing.

    Attributes:
        num_frames: Number of frames (F).
        fps: Frames per second on average.
        times: When each frame is shown, in seconds since the first, ascending, (F,) float64, read-only.
        size: Frame (height, width) in pixels, as displayed.
        orientation: How the first frame is turned and mirrored for display.
        short: What the file promises and lacks, in figures, or None.
        damage: Signs of damage that were met while its frames were counted, or None; further ones may show in frames.
        silent: True where the decoder passes over most damage in silence, and only `find_damage` tells.
        stamps: Time stamp by which the decoder marks each frame, (F,) int64, all different; None where stamps cannot
            be relied on, so that frame i is the i-th out of the decoder.
        keys: Frames at which decoding may start, ascending, (K,) int64.
        counted: True where only decoding told which frames there are.
        skips: True where the decoder can leave out frames that no other refers to, and the rest stays the same.
    """

    num_frames: int
    fps: float
    times: np.ndarray
    size: tuple[int, int]
    orientation: Orientation
    short: str | None
    damage: str | None
    silent: bool
    stamps: np.ndarray | None
    keys: np.ndarray
    counted: bool
    skips: bool


class VideoError(ValueError):
    """A video cannot be read; the message names the file and the cause."""


class DamagedVideo(VideoError):
    """A video is damaged, by signs that do not depend on which of its frames are wanted, or in a frame that is."""


def video_error(path: str | os.PathLike, cause: str) -> VideoError:
    """The error of a video that cannot be read for this cause."""
    return VideoError(f"Cannot read video '{os.fspath(path)}': {cause}.")


def damaged_video(path: str | os.PathLike, damage: str) -> DamagedVideo:
    """The error of a video that is refused because of its damage."""
    return DamagedVideo(str(video_error(path, f"it is damaged, {damage}; get it anew, or take it as it is with "
                                        "damaged='warn' (DATA.DAMAGED_VIDEO, --damaged_video)")))


@lru_cache(maxsize=8192)
def warn_once(sentence: str) -> None:
    """Log a warning once in a process, however often the file is read."""
    logger.warning(sentence)


class Damage:
    """Signs of damage, as they are met; as a text, how many and the first. FFmpeg decodes a damaged file too, and makes
    up what it lacks."""

    def __init__(self):
        self.count, self.first = 0, ""

    def __call__(self, seconds: float | None, sign: str) -> None:
        """Note a sign, and where it was met: seconds from the start of the file, or None."""
        self.count += 1
        self.first = self.first or sign_at(seconds, sign)

    def __str__(self) -> str:
        return self.first if self.count < 2 else f"in {self.count} places: first {self.first}"


def sign_at(seconds: float | None, sign: str) -> str:
    """A sign of damage and its time."""
    return sign if seconds is None else f"at {seconds:.2f} s {sign}"
