"""The frames that clips show, kept on disk: they are the same in every epoch, and then no video is opened again.

An entry is one safetensors file: the frames' bytes, or one JPEG a frame, and as metadata the video's size and time of
change, the size of its frames, and a check sum. Entries of videos that have changed, and damaged ones, are made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy import ndarray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from trokens.runtime.files import write_bytes
from trokens.runtime.tensors import check_sum

logger = logging.getLogger(__name__)

JPEG_QUALITY = 95


class ClipFrames(NamedTuple):
    """The frames that a clip shows.

    Attributes:
        frames: (T, H, W, 3) uint8, as decoded or resized.
        size: The video's own frame (height, width) in pixels.
    """

    frames: Tensor
    size: tuple[int, int]


def _to_jpeg(frames: ndarray) -> list[ndarray]:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return [cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1].reshape(-1) for frame in frames]


def _from_jpeg(parts: Sequence[ndarray]) -> ndarray:
    return np.stack([cv2.cvtColor(cv2.imdecode(part, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for part in parts])


# format -> (frames to the arrays that are kept, and back)
FORMATS: dict[str, tuple[Callable[[ndarray], list[ndarray]], Callable[[Sequence[ndarray]], ndarray]]] = {
    "raw": (lambda frames: [frames], lambda parts: parts[0]),
    "jpeg": (_to_jpeg, _from_jpeg),
}


class Entry(NamedTuple):
    """Where a clip's frames are kept.

    Attributes:
        path: The entry's file.
        video: Size and time of change of the video before it was decoded.
    """

    path: Path
    video: str


class ClipCache:
    """Frames of clips in a folder that any number of processes read and fill at the same time.

    It grows up to its bound and then takes nothing more: clips are drawn at random, so that dropping one for another
    would gain nothing. A file in the folder counts the bytes of all processes; what killed ones left counts as used.
    ``raw`` gives exactly the decoded frames. With ``jpeg`` every clip shows what JPEG makes of it, also where it is not
    kept, so that results do not depend on what the folder holds.

    Args:
        folder: Where the entries lie; it is made.
        format: "raw" or "jpeg".
        max_bytes: Bound of all entries together.
    """

    def __init__(self, folder: str | os.PathLike, *, format: str, max_bytes: float):
        self.folder, self.format, self.max_bytes = Path(folder), format, max_bytes
        self._silent = False

    @classmethod
    def from_config(cls, cfg) -> ClipCache | None:
        """The cache that DATA.CLIP_CACHE asks for; None without a folder."""
        if not cfg.DATA.CLIP_CACHE:
            return None
        return cls(cfg.DATA.CLIP_CACHE, format=cfg.DATA.CLIP_CACHE_FORMAT, max_bytes=cfg.DATA.CLIP_CACHE_GB * 1e9)

    def entry(self, video: str | os.PathLike, key: str) -> Entry:
        """The entry of a clip, whether it is there or not.

        Args:
            video: The clip's file.
            key: Tells this clip, and what is shown of it, from all others.

        Raises:
            FileNotFoundError: There is no such video.
        """
        status, name = os.stat(video), hashlib.sha256(key.encode()).hexdigest()[:32]
        return Entry(self.folder / name[:2] / f"{name}.{self.format}", f"{status.st_size} {status.st_mtime_ns}")

    def load(self, entry: Entry) -> ClipFrames | None:
        """The frames of an entry; None where there are none, or none of this video, or damaged ones."""
        try:
            with safe_open(entry.path, framework="np") as file:
                about = json.loads(file.metadata()["clip"])
                parts = [file.get_tensor(str(part)) for part in range(len(file.keys()))]
            if about["source"] != entry.video or about["sum"] != _check_sum(parts, entry.video, about["size"]):
                return None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return ClipFrames(torch.from_numpy(FORMATS[self.format][1](parts)), tuple(about["size"]))

    def keep(self, entry: Entry, decoded: ClipFrames) -> ClipFrames:
        """Write decoded frames where there is room, and return them as :meth:`load` would."""
        encode, restore = FORMATS[self.format]
        parts = encode(decoded.frames.numpy())
        self._write(entry, parts, decoded.size)
        return ClipFrames(torch.from_numpy(restore(parts)), decoded.size)

    def _write(self, entry: Entry, parts: Sequence[ndarray], size: tuple[int, int]) -> None:
        # One text: safetensors writes several keys in an order of its own, and equal content is to be equal bytes.
        about = json.dumps({"source": entry.video, "size": size, "sum": _check_sum(parts, entry.video, size)})
        data = save({str(number): np.ascontiguousarray(part) for number, part in enumerate(parts)}, {"clip": about})
        try:
            more = len(data) - (entry.path.stat().st_size if entry.path.exists() else 0)
            if not self._reserve(more):
                self._log_once(logging.INFO, "is full; raise DATA.CLIP_CACHE_GB to keep the other clips too")
                return
            try:
                write_bytes(entry.path, data)
            except OSError:
                self._reserve(-more)
                raise
        except OSError as error:
            self._log_once(logging.WARNING, f"takes no more clips: {error.strerror or error}")

    def _reserve(self, more: int) -> bool:
        """Count bytes that are about to be added, or are given back, where the bound allows it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "bytes", "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            file.seek(0)
            count = file.read()
            used = int(count) if count.isdigit() else sum(entry.stat().st_size for entry in self.folder.glob("*/*"))
            used += more
            if used <= self.max_bytes:
                file.truncate(0)
                file.write(str(used))
            return used <= self.max_bytes

    def _log_once(self, level: int, text: str) -> None:
        if not self._silent:
            logger.log(level, "The clip cache %s %s.", self.folder, text)
        self._silent = True


def _check_sum(parts: Sequence[ndarray], video: str, size: Sequence[int]) -> int:
    """Check sum of all that an entry says: a damaged shape or size would be as wrong as a damaged frame."""
    return check_sum(*parts, about=repr((video, *size, *(part.shape for part in parts))))
