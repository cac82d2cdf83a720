"""From files to descriptions: each clip is looked at once, kept in the cache, in several processes."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from trokens.recognize.cache import Cache, Content, content_of
from trokens.recognize.calibrate import Calibration
from trokens.recognize.description import Description, describe_motion
from trokens.recognize.looks import PICTURES, Backbone, build, cell_features
from trokens.recognize.optical_flow import MOST_PAIRS, Flow, flow_and_pictures, frame_pairs
from trokens.runtime.machine import available_memory, num_cores
from trokens.runtime.parallel import DIED, parallel_map
from trokens.video import VideoError, VideoInfo, check_whole, probe

logger = logging.getLogger(__name__)

VERSION = 1  # part of every key: raise it where the same file and options give another description
WORKER_BYTES = 3 << 29  # of memory, that a process may take
_OTHER_REMEDY = re.compile("; get it anew, or .*")  # of training and extraction, which may take damaged videos


class Described(NamedTuple):
    """What became of a clip.

    Attributes:
        description: None where the clip cannot be read.
        error: Why not, in one line.
        seconds: How long it took; 0 where it was in the cache.
    """

    description: Description | None
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Describer:
    """Describes clips by how they move and what they look like.

    Attributes:
        backbone: What looks are read with; None reads none.
        cache: Where descriptions are kept, or None.
    """

    backbone: Backbone | None = None
    cache: Cache | None = None

    @property
    def calibration(self) -> Calibration:
        """How distances are read, before any example is left out."""
        return Calibration()

    def check(self) -> None:
        """Load the backbone, where its weights may be missing, so that it is said before any clip is looked at.

        Raises:
            ValueError, FileNotFoundError: As `trokens.recognize.looks.build`.
        """
        weights = self.backbone.weights if self.backbone else "package:"
        if not (Path(weights).is_file() or weights.startswith("package:")):
            build(self.backbone)

    def __call__(self, path: str | os.PathLike, content: Content | None = None) -> Description:
        """Describe a whole clip, unless the cache has it.

        Args:
            content: That of the file, if the cache was found to lack it.

        Raises:
            VideoError, OSError: It cannot be read; the message names it.
        """
        if content is None or content.changed != os.stat(path).st_mtime_ns:  # the cache was not asked for this content
            content = self.content(path)
            if kept := self.kept(content):
                return kept
        description = self.describe(path)
        self.keep(content, description)
        return description

    def describe(self, path: str | os.PathLike) -> Description:
        """Describe a whole clip."""
        info = probe_whole(path)
        pairs = frame_pairs(path, info, MOST_PAIRS)
        return self.describe_part(path, info, pairs, spread(info.num_frames), (0.0, end_of(info)))

    def describe_part(self, path: str | os.PathLike, info: VideoInfo, pairs: Sequence[tuple[int, int]],
                      pictures: Sequence[int], span: tuple[float, float]) -> Description:
        """Describe a part of a video.

        Args:
            pairs: Frames between which flow is computed.
            pictures: Frames from which looks are read.
            span: Start and end of the part in seconds.
        """
        wanted = sorted(set(pictures)) if self.backbone else []
        items = list(flow_and_pictures(path, info, pairs, wanted))
        description = describe_motion([item for item in items if isinstance(item, Flow)], info, span)
        if not self.backbone:
            return description
        features = cell_features(np.stack([item.rgb for item in items if not isinstance(item, Flow)]), self.backbone)
        return with_looks(description, info, dict(zip(wanted, features, strict=True)), pictures)

    def content(self, path: str | os.PathLike) -> Content | None:
        """By which the cache finds a file; None without a cache.

        Raises:
            OSError: There is no such file.
        """
        return None if self.cache is None else content_of(path)

    def kept(self, content: Content | None, span: tuple[float, float] | None = None) -> Description | None:
        """What the cache has of a clip, or of a part of it from a second to another; None where it has nothing."""
        arrays = self.cache.load(self._key(content, span)) if self.cache else None
        return Description(**arrays) if arrays else None

    def keep(self, content: Content | None, description: Description, span: tuple[float, float] | None = None) -> None:
        """Give the cache a description."""
        if self.cache:
            self.cache.save(self._key(content, span), description.arrays())

    def _key(self, content: Content, span: tuple[float, float] | None) -> str:
        what = "window {:.6f} {:.6f}".format(*span) if span else "clip"
        return f"{VERSION} {content.key} {what} {self.backbone.name if self.backbone else ''}"


def spread(count: int) -> list[int]:
    """Which of so many frames are pictures of a clip."""
    return [int((i + 0.5) * count / PICTURES) for i in range(PICTURES)]


def with_looks(description: Description, info: VideoInfo, features: Mapping[int, np.ndarray],
               frames: Sequence[int]) -> Description:
    """Add the features of these frames to a description."""
    return replace(description, looks=np.stack([features[frame] for frame in frames]),
                   looks_frame=np.array(frames, np.int64), looks_time=info.times[list(frames)])


def probe_whole(path: str | os.PathLike) -> VideoInfo:
    """What a video has; one that is cut is answered by what is there, and named in a warning."""
    info = probe(path)
    check_whole(path, info, short="warn")
    return info


def end_of(info: VideoInfo) -> float:
    """Seconds at which a video ends: a single frame has no rate, and lasts none."""
    return float(info.times[-1]) + (1 / info.fps if info.num_frames > 1 else 0)


def path_of(path: Any) -> str:
    """A clip's path as text.

    Raises:
        ValueError: It is something else, such as an array of numbers.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"A clip is given as {type(path).__name__}; expected the path of a video.")
    return os.fspath(path)


# Many clips -------------------------------------------------------------------------------------------------------

def describe_all(paths: Sequence[str | os.PathLike], describer: Describer,
                 workers: int | None = 0) -> Iterator[tuple[str, Described]]:
    """Describe clips in several processes; the results come as they are done, each with its path.

    A clip that cannot be read is a result with an error, also where it takes its process with it.

    Args:
        describer: It is checked before the first clip that is not in the cache.
        workers: Processes, each of one thread, for clips that are not in the cache; 0 does the work in this one; None
            is `sensible_workers`.
    """
    waiting = []
    for path in [os.fspath(path) for path in paths]:
        content = kept = None
        try:
            content = describer.content(path)
            kept = describer.kept(content)
        except OSError:  # for describe_one to say
            pass
        if kept:
            yield path, Described(kept)
        else:
            waiting.append((path, content))
    if waiting:
        describer.check()
        workers = sensible_workers(len(waiting)) if workers is None else workers
        results = parallel_map(partial(describe_one, describer=describer), waiting, workers,
                               if_died=Described(None, DIED), set_up=one_thread)
        yield from ((path, described) for (path, _), described in results)


def describe_one(clip: tuple[str, Content | None], describer: Describer) -> Described:
    """Describe a clip, given as its path and, where it is known, its content; what is wrong with it is a result too."""
    start, path = time.monotonic(), clip[0]
    try:
        return Described(describer(*clip), None, time.monotonic() - start)
    except (ValueError, OSError, MemoryError) as error:
        return Described(None, one_line(path, error))
    except Exception as error:  # one clip must not end the others
        logger.exception("'%s' cannot be described.", path)
        return Described(None, one_line(path, error))


def sensible_workers(count: int) -> int:
    """Processes for so many clips: one a core, as far as memory allows; none for one clip alone."""
    return 0 if count == 1 else max(1, min(num_cores(), available_memory() // WORKER_BYTES))


def one_thread() -> None:
    """Let OpenCV use one thread, in a process that has others beside it."""
    cv2.setNumThreads(1)


def one_line(path: str, error: Exception) -> str:
    """What is wrong with a clip, in one line that names it as it was given."""
    if isinstance(error, OSError) and error.strerror:
        return f"Cannot read video '{path}': {error.strerror}."
    text = " ".join(str(error).split()) or type(error).__name__
    text = _OTHER_REMEDY.sub("; get it anew.", text).replace(f"'{os.path.abspath(path)}'", f"'{path}'")
    return text if path in text else f"Cannot read video '{path}': {text}"


@contextmanager
def named(path: str) -> Iterator[None]:
    """Raise what the system says in the block as a `VideoError` that names the video."""
    try:
        yield
    except OSError as error:
        raise VideoError(one_line(path, error)) from error
