"""Whether a file has what it promises, and whether parts of what it has were lost.

Its packets are compared with its own index, its number of frames and its duration. Frames that packets give when they
are decoded do not count: a decoder leaves some out by design, and what is left out by an edit list is there too.

A demuxer passes in silence over what it does not understand, and goes on where it finds a packet again, if it does. So
the bytes between packets are looked at. What happens most, that a part of a file is zeros (a download that was not
finished, a disk that was full), shows in packets, too, of which a decoder makes something up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import av
import numpy as np

from trokens.video.containers import are_elements, gif_breaks_off, promised_bytes
from trokens.video.info import VideoError, VideoInfo, warn_once
from trokens.video.stream import Packet, Source

_LISTS_FRAMES = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "avi"})  # their index has an entry for each frame
WHOLE_DURATION, WHOLE_FRAMES = 0.90, 0.95  # a video with less of what it promises was cut
_LEAST = 2048  # bytes of a stretch that is looked at; headers, navigation packs and what fills up sectors are shorter
_LEAST_OF = {"asf": 2**17}  # whose packets have one size, up to half of this, and are filled up with zeros
_AT_ONCE = 2**20  # bytes that are looked at
_MATROSKA = "matroska,webm"
# Others have room of their own kind between packets, or an index that tells what is missing.
_WITHOUT_GAPS = frozenset({_MATROSKA, "avi", "mpegts", "mpeg", "asf", "flv", "live_flv", "ogg", "ivf", "nut"})
_ZEROS = bytes(16)
# Frames of these codecs have no such row of zeros: it is forbidden, or would not be written in sixty years.
_DENSE = frozenset({"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4", "flv"})


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


def shortfall(video: Source, packets: Sequence[Packet]) -> str | None:
    """What a file lacks, in figures, once all packets of its video have been read; None where nothing is missing."""
    stream, count = video.stream, len(packets) + video.partial
    listed = len(stream.index_entries) if video.container.format.name in _LISTS_FRAMES else 0
    if count < WHOLE_FRAMES * listed:
        return f"{count} of {listed} frames are there"
    size, promised_size = os.path.getsize(video.path), promised_bytes(video.path)
    if video.container.format.name == "gif" and (broken := gif_breaks_off(video.path)) is not None:
        return f"its parts break off at byte {broken} of {size}"
    if promised_size is not None and size >= promised_size:
        return None  # then a last frame is shown for long, or frames were dropped in recording
    if count < WHOLE_FRAMES * stream.frames:
        return f"{count} of {stream.frames} frames are there"
    shown = [(packet.dts if packet.pts is None else packet.pts, packet.duration) for packet in packets
             if not packet.discard]
    shown = [(stamp, duration) for stamp, duration in shown if stamp is not None]
    promised = _promised_seconds(video)
    if promised and shown:
        # Some formats count from the first frame, others from a beginning before it.
        last = max(stamp + duration for stamp, duration in shown)
        end = video.seconds(max(last, last - min(stamp for stamp, _ in shown)))
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
    return None if others and _read_all(video.path)[1] >= WHOLE_FRAMES * seconds else seconds


def _seconds(text: str) -> float:
    """Seconds of ``00:01:02.500000000``; 0 of another text."""
    try:
        hours, minutes, seconds = map(float, text.split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


def has_hole(codec: str, data: bytes | av.Packet) -> bool:
    """Whether a packet of this codec has lost bytes to zeros; those before a start code or the end may be padding."""
    if codec not in _DENSE:
        return False
    data = bytes(data)
    start = data.find(_ZEROS)
    while start >= 0:
        rest = data[start:].lstrip(b"\0")
        if rest and rest[0] != 1:
            return True
        start = data.find(_ZEROS, len(data) - len(rest)) if rest else -1
    return False


def lost_bytes(path: str, kind: str, packets: Iterable[Packet]) -> list[str]:
    """Stretches of a file that were lost, behind its first packet, in words.

    Args:
        path: The file.
        kind: FFmpeg's name of its format.
        packets: Of its video.
    """
    if kind not in _WITHOUT_GAPS or not _lost(path, kind, [(packet.position, packet.size) for packet in packets]):
        return []
    return _lost(path, kind, _read_all(path)[0])  # what lies between a stream's packets is mostly another stream


def _read_all(path: str) -> tuple[list[tuple[int | None, int]], float]:
    """First byte and size of all packets of all streams, and the time in seconds at which the last one ends."""
    packets, last = [], 0.0
    with av.open(path, metadata_errors="ignore", container_options={"protocol_whitelist": "file"}) as container:
        for packet in container.demux():
            packets.append((packet.pos, packet.size))
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and packet.time_base:
                last = max(last, float((stamp + (packet.duration or 0)) * packet.time_base))
    return packets, last


def _lost(path: str, kind: str, packets: Sequence[tuple[int | None, int]]) -> list[str]:
    """The same, between these packets (first byte or None, size); those with one first byte lie there together."""
    known = np.array([packet for packet in packets if packet[0] is not None and packet[0] >= 0], np.int64)
    if not len(known):
        return []
    first, own = np.unique(known[:, 0], return_inverse=True)
    behind = first + np.bincount(own, known[:, 1], len(first)).astype(np.int64)
    size, promised, least = os.path.getsize(path), promised_bytes(path), _LEAST_OF.get(kind, _LEAST)
    file_end = size if promised is None else min(size, promised)  # what is appended does no harm
    starts, ends = np.maximum.accumulate(behind), np.append(first[1:], file_end)
    lost = []
    with open(path, "rb") as file:
        for row in np.flatnonzero(ends - starts >= least):
            is_last, start, end = row + 1 == len(first), int(starts[row]), int(ends[row])
            zeros = _zeros_in(file, start, end, least)
            if kind != _MATROSKA or (is_last and promised != end):  # the last element of a cut file is there in part
                lost += zeros
            elif not are_elements(file, start, end, is_last=is_last):
                lost += zeros or [f"from byte {start} on it is not readable"]
    return lost


def _zeros_in(file: BinaryIO, start: int, end: int, least: int) -> list[str]:
    for begin in range(start, end, _AT_ONCE):
        file.seek(begin)
        data = file.read(min(_AT_ONCE + least, end - begin))
        at = data.find(bytes(least))
        if at >= 0 and b"JUNK" not in data[max(0, at - 12):at]:  # with which AVI fills up
            return [f"from byte {begin + at} on it has zeros in place of its content"]
    return []
