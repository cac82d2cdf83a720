"""What is known of a video, and the error or the warning that names it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trokens.video.containers import lacks_index, promised_bytes
from trokens.video.orientation import Orientation

logger = logging.getLogger(__name__)
NOTHING_DECODES = "nothing in it decodes; get it anew, or convert it, for example to H.264"
POLICIES = ("refuse", "warn")  # what is done with a video that is damaged or short


class VideoError(ValueError):
    """A video cannot be read; the message names the file and the cause."""


def video_error(path: str | os.PathLike, cause: str) -> VideoError:
    """The error of a video that cannot be read for this cause."""
    return VideoError(f"Cannot read video '{os.fspath(path)}': {cause}.")


@lru_cache(maxsize=8192)
def warn_once(sentence: str) -> None:
    """Say it in a process's log, however often the file is read."""
    logger.warning(sentence)


def no_video_cause(path: str) -> str | None:
    """What is wrong with a file that no decoder would say."""
    with open(path, "rb") as file:
        head = file.read(256)
    if not head:
        return "the file is empty; get it anew"
    if head.isascii() and b"\0" not in head:
        return f"it is a text of {os.path.getsize(path)} bytes, perhaps a Git LFS pointer; fetch the file itself"
    size, promised = os.path.getsize(path), promised_bytes(path)
    if promised is not None and size < promised:
        return f"it is cut, {size} of {promised} bytes are there; get it anew"
    if lacks_index(path):
        return "it has no index (moov), as of a recording or a download that did not come to its end; get it anew"
    return None


@dataclass(frozen=True)
class VideoInfo:
    """What a full decode of a video finds.

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


START = np.zeros(1, np.int64)  # of a video's frames, where decoding may start, only the first is sure
