"""Which files are taken for videos, and how many bytes a file says that it has."""

from __future__ import annotations

import os
from typing import BinaryIO

# FFmpeg guesses a format from any bytes, and headerless ones from noise; these have headers of their own.
_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "asf", "asf_o", "flv",
                         "live_flv", "kux", "ogg", "gif", "apng", "mxf", "gxf", "ivf", "nut", "dv", "dhav", "rm", "wtv",
                         "yuv4mpegpipe", "nsv"})
# Headerless ones are taken where a file's name says that it is one.
_BARE = {"h264": (".h264", ".264", ".avc", ".h26l", ".jvt"), "hevc": (".h265", ".265", ".hevc"),
         "vvc": (".h266", ".266", ".vvc"), "h263": (".h263", ".263"), "h261": (".h261", ".261"), "m4v": (".m4v",),
         "mpegvideo": (".mpg", ".mpeg", ".m1v", ".m2v", ".mpv"), "mjpeg": (".mjpeg", ".mjpg"), "obu": (".obu", ".av1"),
         "vc1": (".vc1",), "cavsvideo": (".cavs",), "dirac": (".drc",)}
_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx"})
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MOST_BOXES = 2**17  # of an ISO file, looked at for its end


def refused_format(path: str, name: str) -> str | None:
    """Why a file of FFmpeg's format ``name`` is not read, or None where it is.

    Pictures, playlists that lead to other files, and text are no videos either.
    """
    if name in _CONTAINERS or os.path.splitext(path)[1].lower() in _BARE.get(name, ()):
        return None
    return (f"its content is no known container (FFmpeg's guess is {name}), as of a damaged file, a picture or a "
            "playlist")


def promised_bytes(path: str) -> int | None:
    """Size that the file's outermost headers give it (Matroska, ISO media such as mp4, AVI, ASF), or None."""
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == b"\x1aE\xdf\xa3":
            return _matroska_end(file)
        if head[:4] == b"RIFF":
            return _riff_end(file)
        if head == _ASF_HEADER[:12]:
            return _asf_size(file)
        if head[4:8] in _FIRST_BOXES:
            return _iso_end(file)
    return None


def _matroska_end(file: BinaryIO) -> int | None:
    file.seek(4)
    header = _variable_int(file)
    if header is None:
        return None
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":  # the one segment that holds all else
        return None
    size = _variable_int(file)
    return None if size is None else file.tell() + size


def _variable_int(file: BinaryIO) -> int | None:
    """An EBML integer, whose first byte tells how long it is; None for the one that says unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return None if value == 2 ** (7 * (more + 1)) - 1 else value


def _riff_end(file: BinaryIO) -> int | None:
    end, at, total = None, 0, os.fstat(file.fileno()).st_size
    while at + 12 <= total:  # large AVI files are several such pieces
        file.seek(at)
        head = file.read(12)
        size = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or head[8:] not in (b"AVI ", b"AVIX") or not size:
            break
        end = at + 8 + size
        at = end + size % 2
    return end


def _iso_end(file: BinaryIO) -> int | None:
    at, total = 0, os.fstat(file.fileno()).st_size
    for _ in range(_MOST_BOXES):
        if at + 8 > total:
            return at
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:  # 0: up to the end, wherever that is
            return None
        at += size
    return None


def _asf_size(file: BinaryIO) -> int | None:
    file.seek(24)
    objects = int.from_bytes(file.read(4), "little")
    at = 30
    for _ in range(min(objects, _MOST_BOXES)):
        file.seek(at)
        head = file.read(48)
        size = int.from_bytes(head[16:24], "little")
        if head[:16] == _ASF_PROPERTIES:
            return int.from_bytes(head[40:48], "little") or None
        if size < 24:
            return None
        at += size
    return None
