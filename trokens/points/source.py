"""Which video points were extracted from: a point file notes its size and a fingerprint."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import lru_cache

import xxhash

from trokens.points.geometry import same_aspect

logger = logging.getLogger(__name__)

_PART = 64 * 1024  # bytes read at the start, in the middle and at the end: all of a small file
_BYTES, _HASH = "video_bytes", "video_hash"


def describe_video(video: str | os.PathLike) -> dict[str, str]:
    """What a point file keeps of its video: the same for every copy of the file, another for every other video.

    Raises:
        OSError: The video cannot be read.
    """
    status = os.stat(video)
    return {_BYTES: str(status.st_size), _HASH: _fingerprint(
        os.path.abspath(video), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)}


def video_change(metadata: Mapping[str, str], video: str | os.PathLike) -> str | None:
    """How a video differs from the one that points were extracted from; None where it is the same, or none is noted.

    Raises:
        OSError: The video cannot be read.
    """
    if _HASH not in metadata:
        return None
    now = describe_video(video)
    if now[_BYTES] != metadata.get(_BYTES):
        return f"it had {metadata.get(_BYTES)} bytes then and has {now[_BYTES]} now"
    return None if now[_HASH] == metadata[_HASH] else f"it has the same {now[_BYTES]} bytes, but another content"


@lru_cache(maxsize=65536)  # as long as the file stays the same
def _fingerprint(path: str, size: int, *_state: int) -> str:
    digest = xxhash.xxh3_128(str(size).encode())
    with open(path, "rb", buffering=0) as file:
        for start in sorted({0, max(0, (size - _PART) // 2), max(0, size - _PART)}) if size > 3 * _PART else (0,):
            file.seek(start)
            digest.update(file.read(_PART if size > 3 * _PART else 3 * _PART))
    return digest.hexdigest()


def shape_change(size: tuple[int, int], own: tuple[int, int]) -> str | None:
    """How frames (height, width) that points lie in differ from the video's own; not where it was scaled as a whole."""
    if same_aspect(size, own):
        return None
    return f"its frames had {size[1]} x {size[0]} pixels then and have {own[1]} x {own[0]} now"


class SourceCheck:
    """What to do about a video that is not the one its points were extracted from.

    Args:
        mode: "error"; "warn" of the first one, where videos were encoded or scaled anew on purpose; or "ignore".
        option: What a user sets the mode by, for messages.

    Attributes:
        asks: Whether a further change makes a difference.
    """

    def __init__(self, mode: str = "error", option: str = "mode"):
        self.mode, self.option, self.asks = mode, option, mode != "ignore"

    def __call__(self, id: str, points: str | os.PathLike, video: str | os.PathLike, change: str | None) -> None:
        """Act on how a clip's video has changed, see `video_change` and `shape_change`.

        Raises:
            ValueError: It is another one, and ``mode`` is "error".
        """
        if change is None or not self.asks:
            return
        if self.mode == "error":
            raise other_video(id, points, video, change, f", or, where it shows the same, set {self.option} to warn")
        self.asks = False
        logger.warning("%s Going on with this clip and all others like it, as %s warn permits.",
                       other_video(id, points, video, change), self.option)


def other_video(id: str, points: str | os.PathLike, video: str | os.PathLike, change: str, or_else: str = "",
                ) -> ValueError:
    """The error of a clip whose video is not the one that its points were extracted from."""
    return ValueError(f"Clip '{id}': {video} is not the video that its points {points} were extracted from: {change}; "
                      f"restore it, or extract it again (--rerun){or_else}.")
