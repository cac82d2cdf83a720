"""Whether a file has what it promises.

Its packets are compared with its own index, its count of frames and its duration. Frames that packets give when they
are decoded do not count: a decoder leaves some out by design, and what is left out by an edit list is there too.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import av

from trokens.video.containers import gif_breaks_off, promised_bytes
from trokens.video.info import VideoError, VideoInfo, warn_once
from trokens.video.stream import Source
from trokens.video.unread import read_all

_LISTS_FRAMES = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "avi"})  # their index has an entry for each frame
WHOLE_DURATION, WHOLE_FRAMES = 0.90, 0.95  # a video with less of what it promises was cut


def check_whole(path: str | os.PathLike, info: VideoInfo, short: str = "refuse") -> None:
    """Refuse a video that has less than it promises, or with ``short="warn"`` name it in a warning.

    Raises:
        VideoError: It is short; the message gives both figures.
    """
    if info.short is None:
        return
    cut = f"'{os.fspath(path)}' is cut: {info.short}"
    if short == "warn":
        warn_once(f"{cut}; what is there is taken for the whole.")
    else:
        raise VideoError(f"{cut}; get it anew, or keep what is there with short='warn' (DATA.SHORT_VIDEO, "
                         "--short_video).")


class Extent(NamedTuple):
    """What there is of a stream: its packets, and from when to when they are shown, in seconds (None: unknown)."""

    packets: int
    start: float | None
    end: float | None


def shortfall(video: Source, found: Extent) -> str | None:
    """What a file lacks, in figures, once all of its packets have been read; None where nothing is missing."""
    stream = video.stream
    listed = len(stream.index_entries) if video.container.format.name in _LISTS_FRAMES else 0
    if found.packets < WHOLE_FRAMES * listed:
        return f"{found.packets} of {listed} frames are there"
    size, promised_size = os.path.getsize(video.path), promised_bytes(video.path)
    if video.container.format.name == "gif" and (broken := gif_breaks_off(video.path)) is not None:
        return f"its parts break off at byte {broken} of {size}"
    if promised_size is not None and size >= promised_size:
        return None  # then a last frame is shown for long, or frames were dropped in recording
    if found.packets < WHOLE_FRAMES * stream.frames:
        return f"{found.packets} of {stream.frames} frames are there"
    promised = _promised_seconds(video)
    if promised and found.end is not None:
        # Some formats count from the first frame, others from a beginning before it.
        end = max(found.end, found.end - found.start)
        return f"its frames end at {end:.2f} s of {promised:.2f} s" if end < WHOLE_DURATION * promised else None
    if promised_size is not None and size < WHOLE_DURATION * promised_size:
        return f"{size} of {promised_size} bytes are there"
    return None


def _promised_seconds(video: Source) -> float | None:
    """The duration of the video itself; sound and subtitles may make that of the file longer."""
    stream, container = video.stream, video.container
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if tagged := _seconds(stream.metadata.get("DURATION", "")):  # Matroska
        return tagged
    if container.duration is None:
        return None
    seconds = container.duration / av.time_base
    others = [s for s in container.streams if s.index != stream.index]
    return None if others and read_all(video.path).seconds >= WHOLE_FRAMES * seconds else seconds


def _seconds(text: str) -> float | None:
    """Seconds of ``00:01:02.500000000``."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
