"""What was computed of clips, kept on disk: by the content of their files, whatever these are called."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

from numpy import ndarray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from trokens.runtime.files import write_bytes

logger = logging.getLogger(__name__)


def default_folder() -> Path:
    """Where descriptions are kept unless another folder is named."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trokens" / "clips"


class Content(NamedTuple):
    """What tells a file's content from any other: its SHA-256; and when the file was changed, in nanoseconds."""

    key: str
    changed: int


def content_of(path: str | os.PathLike) -> Content:
    """Read a file.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        changed = os.fstat(file.fileno()).st_mtime_ns
        while block := file.read(1 << 20):
            digest.update(block)
    return Content(digest.hexdigest(), changed)


class Cache:
    """Arrays by key, a safetensors file each, in a folder that any number of processes read and fill.

    A damaged file counts as none. A folder that cannot be written is said once, and the work goes on without.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self._silent = False

    def load(self, key: str) -> dict[str, ndarray] | None:
        """The arrays kept under this key, or None."""
        try:
            with safe_open(self._path(key), framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no Mapping
                about = json.loads((file.metadata() or {}).get("trokens", "{}"))
        except (OSError, SafetensorError, ValueError):
            return None
        return arrays if about == {"key": key, "sum": _sum(arrays)} else None

    def save(self, key: str, arrays: dict[str, ndarray]) -> None:
        """Keep arrays under this key."""
        # One text: safetensors writes several keys in an order of its own, and equal content is to be equal bytes.
        data = save(arrays, {"trokens": json.dumps({"key": key, "sum": _sum(arrays)})})
        try:
            write_bytes(self._path(key), data)
        except OSError as error:
            if not self._silent:
                logger.warning("The cache %s takes nothing: %s.", self.folder, error)
            self._silent = True

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.safetensors"


def _sum(arrays: dict[str, ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
