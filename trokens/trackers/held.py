"""Frames that wait to be tracked: in memory, and where they would fill it in a file that ends with the process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryFile

import numpy as np

IN_MEMORY = 2**29  # bytes of a clip's frames


class HeldFrames(Sequence[np.ndarray]):
    """Arrays of one shape and type, one for each frame of a clip; one that is repeated is held once.

    What memory has no share for lies in a file without a name, and is read from there an array at a time.

    Args:
        folder: For that file; made where it is needed.
        num_frames: Frames that will come.
        in_memory: Bytes for the arrays in memory.
    """

    def __init__(self, folder: str | os.PathLike, num_frames: int, in_memory: int = IN_MEMORY):
        self.folder, self.num_frames, self.room = Path(folder), num_frames, in_memory
        self._places: list[int] = []  # of each frame, among the arrays
        self._arrays: list[np.ndarray] = []
        self._newest: np.ndarray | None = None
        self._file: FileIO | None = None
        self._in_file = 0

    def append(self, frame: np.ndarray) -> None:
        """Hold one frame more. The same array once more takes no room.

        Raises:
            OSError: The disk has no room for those that will come, or does not take the file.
        """
        if frame is not self._newest:
            self._newest = frame
            if self._file is None and frame.nbytes <= self.room:
                self.room -= frame.nbytes
                self._arrays.append(frame)
            else:
                self._write(frame)
        self._places.append(len(self._arrays) + self._in_file - 1)

    def _write(self, frame: np.ndarray) -> None:
        remedy = f"free some space in {self.folder}, or cut the video into shorter ones"
        try:
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                rest, free = (self.num_frames - len(self)) * frame.nbytes, disk_usage(self.folder).free
                if rest > free:  # at once, and other files still find room
                    raise OSError(f"{self.num_frames} frames take {rest / 2**30:.1f} GB beyond their share of memory, "
                                  f"and the disk has {free / 2**30:.1f} GB left; {remedy}.")
                self._file = TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115 -- see close
            view = memoryview(np.ascontiguousarray(frame)).cast("B")
            while view:  # a signal, or a disk that gets full, may cut it short
                view = view[self._file.write(view):]
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(f"Frames cannot be kept in a temporary file ({error.strerror}); {remedy}.") from error
        self._in_file += 1

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        place = self._places[index]
        if place < len(self._arrays):
            return self._arrays[place]
        array = np.empty_like(self._newest, order="C")
        view = array.data.cast("B")
        self._file.seek((place - len(self._arrays)) * array.nbytes)
        while view:
            view = view[self._file.readinto(view):]
        return array

    def close(self) -> None:
        """Let go of all frames."""
        self._places, self._arrays, self._newest = [], [], None
        if self._file is not None:
            self._file.close()


class Backward(Sequence[np.ndarray]):
    """A clip's frames from the last to the first."""

    def __init__(self, frames: Sequence[np.ndarray]):
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        return self.frames[len(self.frames) - 1 - range(len(self.frames))[index]]
