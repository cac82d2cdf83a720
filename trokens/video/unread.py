"""What of a file no packet holds, though packets lie before it.

A demuxer passes in silence over what it does not understand, and goes on where it finds a packet again, if it does.
Frames are missing then, and nothing marks those around them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import av
import numpy as np

from trokens.video.containers import are_elements, promised_bytes

_LEAST = 2048  # bytes; headers, navigation packs and what fills up sectors are shorter
_LEAST_OF = {"asf": 2**17}  # whose packets have one size, up to half of this, and are filled up with zeros
_AT_ONCE = 2**20  # bytes that are looked at
_MATROSKA = "matroska,webm"
# Others have room of their own kind between packets, or an index that tells what is missing.
_WITHOUT_GAPS = frozenset({_MATROSKA, "avi", "mpegts", "mpeg", "asf", "flv", "live_flv", "ogg", "ivf", "nut"})


class Reading(NamedTuple):
    """All packets of a file.

    Attributes:
        spans: First byte of each in the file, and the byte behind it, (K, 2) int64, ascending.
        seconds: When the last one ends.
    """

    spans: np.ndarray
    seconds: float


def spans_of(packets: Sequence[tuple[int | None, int]]) -> np.ndarray:
    """Where packets lie, (K, 2), of their first bytes (None: unknown) and sizes; those with one first byte lie there
    together."""
    known = [packet for packet in packets if packet[0] is not None and packet[0] >= 0]
    known = np.array(known, np.int64).reshape(-1, 2)
    start, own = np.unique(known[:, 0], return_inverse=True)
    return np.stack([start, start + np.bincount(own, known[:, 1], len(start)).astype(np.int64)], 1)


def read_all(path: str) -> Reading:
    """Read all packets of all streams."""
    packets, last = [], 0.0
    with av.open(path, metadata_errors="ignore", container_options={"protocol_whitelist": "file"}) as container:
        for packet in container.demux():
            packets.append((packet.pos, packet.size))
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and packet.time_base:
                last = max(last, float((stamp + (packet.duration or 0)) * packet.time_base))
    return Reading(spans_of(packets), last)


def lost_bytes(path: str, kind: str, spans: np.ndarray) -> list[str]:
    """Stretches of a file that were lost, behind its first packet, in words.

    Args:
        path: The file.
        kind: FFmpeg's name of its format.
        spans: Where packets lie, as :func:`spans_of` tells; those of one stream are enough.
    """
    if kind not in _WITHOUT_GAPS or not _lost(path, kind, spans):
        return []
    return _lost(path, kind, read_all(path).spans)  # what lies between a stream's packets is mostly another stream


def _lost(path: str, kind: str, spans: np.ndarray) -> list[str]:
    if not len(spans):
        return []
    size, promised = os.path.getsize(path), promised_bytes(path)
    end = size if promised is None else min(size, promised)  # what is appended does no harm
    starts, ends = np.maximum.accumulate(spans[:, 1]), np.append(spans[1:, 0], end)
    lost = []
    with open(path, "rb") as file:
        for row in np.flatnonzero(ends - starts >= _LEAST_OF.get(kind, _LEAST)):
            is_last, start, end = row + 1 == len(spans), int(starts[row]), int(ends[row])
            zeros = _zeros_in(file, start, end, _LEAST_OF.get(kind, _LEAST))
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
