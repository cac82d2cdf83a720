"""Signs that what a file holds is not what was written into it.

FFmpeg decodes a damaged file too, and makes up what it lacks. It marks most of such frames, but not those whose bits
happen to mean something; a decoder for which all bits mean something (VP9, say) hardly notices anything. What happens
most, that a part of the file is zeros (a download that was not finished, a disk that was full), shows in the bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from trokens.video.info import VideoError, video_error

# (seconds from the start of the file, or None; what is wrong there)
OnDamage = Callable[[float | None, str], None]

_ZEROS = bytes(16)
# Of these, a frame has no such row of zeros: it is forbidden, or would not be written in sixty years.
_DENSE = frozenset({"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4", "flv"})


class DamagedVideo(VideoError):
    """A video is damaged, by signs that do not depend on which of its frames are wanted, or in a frame that is."""


def damaged_video(path: str | os.PathLike, damage: str) -> DamagedVideo:
    """The error of a video that is not taken for its damage."""
    return DamagedVideo(str(video_error(path, f"it is damaged, {damage}; get it anew, or take it as it is with "
                                        "damaged='warn' (DATA.DAMAGED_VIDEO, --damaged_video)")))


class Marks:
    """Counts signs of damage; empty where there are none."""

    def __init__(self):
        self.count, self.first = 0, ""

    def __call__(self, seconds: float | None, sign: str) -> None:
        self.count += 1
        self.first = self.first or place(seconds, sign)

    def __str__(self) -> str:
        return self.first if self.count < 2 else f"in {self.count} places: first {self.first}"


def place(seconds: float | None, sign: str) -> str:
    """Where a sign of damage is, and which."""
    return sign if seconds is None else f"at {seconds:.2f} s {sign}"


def is_dense(codec: str) -> bool:
    """Whether zeros in a row tell of damage in a packet of this codec."""
    return codec in _DENSE


def has_hole(data: bytes) -> bool:
    """Whether a packet has lost bytes to zeros; those before a start code or the end may be padding."""
    start = data.find(_ZEROS)
    while start >= 0:
        rest = data[start:].lstrip(b"\0")
        if rest and rest[0] != 1:
            return True
        start = data.find(_ZEROS, len(data) - len(rest)) if rest else -1
    return False
