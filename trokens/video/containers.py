"""What the bytes of a file tell: whether it is taken for a video, and how many bytes it says that it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

# FFmpeg guesses a format from any bytes, and headerless ones from noise; these have headers of their own.
_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "asf", "asf_o", "flv",
                         "live_flv", "kux", "ogg", "gif", "apng", "mxf", "gxf", "ivf", "nut", "dv", "dhav", "rm", "wtv",
                         "yuv4mpegpipe", "nsv"})
# Headerless formats are taken where the file's name has their suffix.
_BARE = {"h264": (".h264", ".264", ".avc", ".h26l", ".jvt"), "hevc": (".h265", ".265", ".hevc"),
         "vvc": (".h266", ".266", ".vvc"), "h263": (".h263", ".263"), "h261": (".h261", ".261"), "m4v": (".m4v",),
         "mpegvideo": (".mpg", ".mpeg", ".m1v", ".m2v", ".mpv"), "mjpeg": (".mjpeg", ".mjpg"), "obu": (".obu", ".av1"),
         "vc1": (".vc1",), "cavsvideo": (".cavs",), "dirac": (".drc",)}
_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx"})
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# Elements that may follow a block of Matroska: the rest of its group, other groups, a cluster, what stands beside it.
_INSIDE, _BLOCKS = frozenset({b"\x1f\x43\xb6\x75", b"\xa0"}), frozenset({b"\xa3", b"\xa1"})
_ELEMENTS = _INSIDE | _BLOCKS | frozenset(map(bytes.fromhex, [
    "9b", "fb", "fd", "fa", "a4", "75a2", "75a1", "8e", "e7", "a7", "ab", "5854", "ec", "bf", "1c53bb6b", "1254c367",
    "1941a469", "1043a770", "114d9b74", "1549a966", "1654ae6b"]))
MOST_ZEROS = 2**30  # bytes; a file that ends in more zeros is refused
_MOST_BOXES = 2**17  # number of boxes that are looked at for an ISO file's end


def refused_format(path: str, name: str) -> str | None:
    """Why a file of FFmpeg's format ``name`` is not read, or None where it is.

    Pictures, playlists that lead to other files, and text are no videos either.
    """
    if name in _CONTAINERS or os.path.splitext(path)[1].lower() in _BARE.get(name, ()):
        return None
    return (f"its content is no known container (FFmpeg's guess is {name}), as of a damaged file, a picture or a "
            "playlist")


def no_video_cause(path: str) -> str | None:
    """What is wrong with a file that no decoder would say."""
    with open(path, "rb") as file:
        head = file.read(256)
    if not head:
        return "the file is empty; get it anew"
    size, promised = os.path.getsize(path), promised_bytes(path)
    if head.isascii() and b"\0" not in head:
        return f"it is a text of {size} bytes, perhaps a Git LFS pointer; fetch the file itself"
    if promised is not None and size < promised:
        return f"it is cut, {size} of {promised} bytes are there; get it anew"
    if lacks_index(path):
        return "it has no index (moov), as of a recording or a download that did not come to its end; get it anew"
    return None


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


def are_elements(file: BinaryIO, start: int, end: int, *, is_last: bool) -> bool:
    """Whether nothing but elements of Matroska lies between two of its blocks, or behind the last one.

    Args:
        file: The file.
        start: About where the first block ends: the size of its header is not known.
        end: Where the content of the next block begins, or the file ends.
        is_last: Whether no other block may follow, and the last element has to end there, too.
    """
    return any(_chain(file, start + shift, end, is_last) for shift in range(-8, 64))


def _chain(file: BinaryIO, at: int, end: int, is_last: bool) -> bool:
    while at < end:
        file.seek(at)
        first = file.read(1)
        name = first + file.read(8 - first[0].bit_length() if first[0] else 0)
        size = _variable_int(file) if name in _ELEMENTS else None
        if size is None and name not in _INSIDE:  # whose size need not be known while they are written
            return False
        at = file.tell()
        if name in _BLOCKS and (is_last or at == end):
            return not is_last
        at += 0 if name in _INSIDE else size
    return is_last and at == end


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


def ends_in_zeros(path: str) -> bool:
    """Whether a file's last MOST_ZEROS bytes are zeros, as far as a look at some of them tells."""
    size = os.path.getsize(path)
    if size <= MOST_ZEROS:
        return False
    with open(path, "rb") as file:
        for back in range(16, 0, -1):
            file.seek(size - MOST_ZEROS // 16 * back)
            if file.read(2**16).strip(b"\0"):
                return False
    return True


def lacks_index(path: str) -> bool:
    """Whether a file is ISO media (mp4, mov) without the box that tells where its frames lie."""
    with open(path, "rb") as file:
        return file.read(8)[4:] in _FIRST_BOXES and {b"moov", b"moof"}.isdisjoint(name for name, _ in _boxes(file))


def _iso_end(file: BinaryIO) -> int | None:
    end = 0
    for _, end in _boxes(file):  # noqa: B007
        pass
    return end


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """Name of each outermost box of ISO media, and where it ends: None, wherever the file does."""
    at, total = 0, os.fstat(file.fileno()).st_size
    for _ in range(_MOST_BOXES):
        if at + 8 > total:
            return
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        at += size
        yield head[4:8], at if size >= 8 else None
        if size < 8:
            return
    yield b"", None


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


def gif_breaks_off(path: str) -> int | None:
    """First byte of the part of a GIF that does not end, or is no part of one; None where all parts are whole."""
    with open(path, "rb") as file:
        data = file.read()
    at = 13 + _color_table(data, 10)
    while at < len(data):
        start, kind = at, data[at]
        if kind == 0x3B:  # the end; some writers leave it out
            return None
        if kind == 0x21:  # an extension, and its label
            at += 2
        elif kind == 0x2C:  # a picture, its colors, and how they are packed
            at += 11 + _color_table(data, at + 9)
        else:
            return start
        while at < len(data) and data[at]:  # pieces of up to 255 bytes, then an empty one
            at += 1 + data[at]
        if at >= len(data):
            return start
        at += 1
    return None if at == len(data) else 0


def _color_table(data: bytes, at: int) -> int:
    """Bytes of the color table that the flags in byte ``at`` announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0
