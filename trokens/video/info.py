"""What is known of a video, and the error that names it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from trokens.video.orientation import Orientation


class VideoError(ValueError):
    """A video cannot be read; the message names the file and the cause."""


def video_error(path: str | os.PathLike, cause: str) -> VideoError:
    """The error of a video that cannot be read for this cause."""
    return VideoError(f"Cannot read video '{os.fspath(path)}': {cause}.")


def no_video_cause(path: str) -> str | None:
    """What is wrong with a file that no decoder would say."""
    with open(path, "rb") as file:
        head = file.read(256)
    if not head:
        return "the file is empty"
    if head.isascii() and b"\0" not in head:
        return f"it is a text of {os.path.getsize(path)} bytes, perhaps a Git LFS pointer; fetch the file itself"
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
        duration: The container's own duration in seconds, or None where it names none.
        header_frames: The container's own count of frames, or None where it names none.
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
    duration: float | None
    header_frames: int | None
    stamps: np.ndarray | None
    keys: np.ndarray
    counted: bool
    skips: bool


START = np.zeros(1, np.int64)  # of a video's frames, where decoding may start, only the first is sure
