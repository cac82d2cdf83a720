"""From files to descriptions: each looked at once, kept in the cache, in several processes."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from trokens.recognize.cache import Cache, content_key
from trokens.recognize.description import Description, describe_motion
from trokens.recognize.looks import PICTURES, Backbone, cell_features, check_backbone
from trokens.recognize.sight import MOST_STEPS, Picture, Step, see, steps_of
from trokens.runtime.machine import available_memory, num_cores
from trokens.runtime.parallel import DIED, parallel_map
from trokens.video import VideoInfo, check_whole, probe

logger = logging.getLogger(__name__)

MOST_WINDOWS = 2**17  # of a video: a day, one a second
VERSION = 1  # part of every key: raise it where the same file and options give another description
_OTHER_REMEDY = re.compile("; get it anew, or .*")  # of training and extraction, which may take damaged videos
WORKER_BYTES = 3 << 29  # of memory, that a process may take


class Described(NamedTuple):
    """What became of a clip.

    Attributes:
        description: Or None where it cannot be read.
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

    def check(self) -> None:
        """Load the backbone, where its weights may be missing, so that it is said before any clip is looked at."""
        if self.backbone is not None:
            check_backbone(self.backbone)

    def __call__(self, path: str | os.PathLike) -> Description:
        """Describe a whole clip, unless the cache has it.

        Raises:
            VideoError, OSError: It cannot be read; the message names it.
        """
        if self.cache is None:
            return self._describe_clip(path)
        content = content_key(path)
        description = self._load(content, "clip")
        if description is None:
            description = self._describe_clip(path)
            self._save(content, "clip", description)
        return description

    def kept(self, path: str | os.PathLike) -> Description | None:
        """What the cache has of a clip, or None.

        Raises:
            OSError: There is no such file.
        """
        return None if self.cache is None else self._load(content_key(path), "clip")

    def _describe_clip(self, path: str | os.PathLike) -> Description:
        info = _probe(path)
        return self._describe(path, info, _spread(info.num_frames), (0.0, _end(info)))

    def part(self, path: str | os.PathLike, start: float, end: float) -> Description:
        """Describe a part of a video in seconds, unless the cache has it.

        Raises:
            VideoError, OSError: It cannot be read; the message names it.
        """
        content, what = content_key(path), f"window {start:.6f} {end:.6f}"
        description = None if self.cache is None else self._load(content, what)
        if description is None:
            info = probe(path)
            first, behind = np.searchsorted(info.times, (start, end)).tolist()
            pictures = [min(first + i, info.num_frames - 1) for i in _spread(max(behind - first, 1))]
            description = self._describe(path, info, pictures, (start, end))
            if self.cache is not None:
                self._save(content, what, description)
        return description

    def windows(self, path: str | os.PathLike, window: float, stride: float) -> Iterator[Description]:
        """Describe a long video piece by piece, each as soon as it is read.

        Args:
            window: Seconds of a piece; the last one may be shorter by less than ``stride``.
            stride: Seconds from the start of one to that of the next.
        """
        info = _probe(path)
        pairs = steps_of(path, info, None)
        spans = spans_of(_end(info), window, stride)
        kept: list[Description | None] = [None] * len(spans)
        if self.cache is not None:
            content = content_key(path)
            kept = [self._load(content, f"window {start:.6f} {end:.6f}") for start, end in spans]
        if all(kept):
            yield from kept
            return
        for description in self._slide(path, info, pairs, spans):
            if self.cache is not None:
                self._save(content, "window {:.6f} {:.6f}".format(*description.span), description)
            yield description

    def _describe(self, path, info: VideoInfo, pictures: Sequence[int], span: tuple[float, float]) -> Description:
        wanted = sorted(set(pictures)) if self.backbone else []
        whole = span == (0.0, _end(info))
        pairs = [pair for pair in steps_of(path, info, MOST_STEPS if whole else None)
                 if whole or span[0] <= info.times[pair[0]] < span[1]]
        seen = list(see(path, info, pairs, wanted))
        steps = [item for item in seen if isinstance(item, Step)]
        squares = [item for item in seen if isinstance(item, Picture)]
        description = describe_motion(steps, info, span)
        if not self.backbone:
            return description
        features = cell_features(np.stack([picture.rgb for picture in squares]), self.backbone)
        return _with_looks(description, info, dict(zip(wanted, features, strict=True)), pictures)

    def _slide(self, path, info: VideoInfo, pairs: Sequence[tuple[int, int]],
               spans: Sequence[tuple[float, float]]) -> Iterator[Description]:
        """Read a video once, and keep of it what windows that are not yet complete need."""
        rate = PICTURES / max(end - start for start, end in spans)
        count = int(info.times[-1] * rate) + 1
        wanted = sorted(set(np.searchsorted(info.times, (np.arange(count) + 0.5) / rate).clip(
            0, info.num_frames - 1).tolist())) if self.backbone else []
        steps: deque[Step] = deque()
        features: dict[int, np.ndarray] = {}
        waiting = deque(spans)
        events = see(path, info, pairs, wanted)
        for item in events:
            if isinstance(item, Picture):  # the step to its frame comes after it
                features[item.frame] = cell_features(item.rgb[None], self.backbone)[0]
                continue
            steps.append(item)
            now = info.times[item.start]
            while waiting and now >= waiting[0][1]:
                yield self._window(info, waiting.popleft(), steps, features)
                first = waiting[0][0] if waiting else now
                while steps and info.times[steps[0].start] < first:
                    steps.popleft()
                for frame in [frame for frame in features if info.times[frame] < first - 1 / rate]:
                    del features[frame]
        for span in waiting:
            yield self._window(info, span, steps, features)

    def _window(self, info: VideoInfo, span: tuple[float, float], steps: Iterable[Step],
                features: dict[int, np.ndarray]) -> Description:
        start, end = span
        inside = [step for step in steps if start <= info.times[step.start] < end]
        description = describe_motion(inside, info, span)
        if not self.backbone:
            return description
        frames = [frame for frame in features if start <= info.times[frame] < end] or [min(
            features, key=lambda frame: abs(info.times[frame] - start))]
        return _with_looks(description, info, features, [frames[i] for i in _spread(len(frames))])

    def _key(self, content: str, what: str) -> str:
        return f"{VERSION} {content} {what} {self.backbone.name if self.backbone else ''}"

    def _load(self, content: str, what: str) -> Description | None:
        arrays = self.cache.load(self._key(content, what))
        return None if arrays is None else Description(**arrays)

    def _save(self, content: str, what: str, description: Description) -> None:
        self.cache.save(self._key(content, what), description.arrays())


def _spread(count: int) -> list[int]:
    """Which of so many frames are pictures of a clip."""
    return [int((i + 0.5) * count / PICTURES) for i in range(PICTURES)]


def _with_looks(description: Description, info: VideoInfo, features: dict[int, np.ndarray],
                frames: Sequence[int]) -> Description:
    return replace(description, looks=np.stack([features[frame] for frame in frames]),
                   looks_frame=np.array(frames, np.int64), looks_time=info.times[list(frames)])


def _probe(path: str | os.PathLike) -> VideoInfo:
    """What a video has; one that is cut is answered by what is there, and named in a warning."""
    info = probe(path)
    check_whole(path, info, short="warn")
    return info


def _end(info: VideoInfo) -> float:
    """Seconds at which a video ends: a single frame has no rate, and lasts none."""
    return float(info.times[-1]) + (1 / info.fps if info.num_frames > 1 else 0)


def spans_of(duration: float, window: float, stride: float) -> list[tuple[float, float]]:
    """Start and end of each window of a video: at least one; none that shows nothing beyond the one before.

    Raises:
        ValueError: A length is not above 0, or there are more windows than anybody can look at.
    """
    if not window > 0 or not stride > 0:
        raise ValueError(f"window is {window} and stride {stride}; both must be above 0 seconds.")
    if (duration - window) / stride > MOST_WINDOWS:
        raise ValueError(f"A stride of {stride:g} s cuts {duration:g} s into more than {MOST_WINDOWS} windows; take a "
                         "longer one.")
    count = max(1, int(np.ceil((duration - window) / stride - 1e-6)) + 1)
    return [(i * stride, min(i * stride + window, duration)) for i in range(count)]


def sensible_workers(count: int) -> int:
    """Processes for so many clips: one a core, as far as memory allows; none for one clip alone."""
    return 0 if count == 1 else max(1, min(num_cores(), available_memory() // WORKER_BYTES))


def describe_all(paths: Sequence[str | os.PathLike], describer,
                 workers: int | None = 0) -> Iterator[tuple[str, Described]]:
    """Describe clips in several processes; the results come as they are done, each with its path.

    A clip that cannot be read is a result with an error, also where it takes its process with it.

    Args:
        describer: A `Describer`, or something else that can be pickled, is called like it, and has ``kept`` and
            ``check``, which is called before the first clip that is not in the cache.
        workers: Processes, each of one thread, for clips that are not in the cache; 0 does the work in this one; None
            is `sensible_workers`.
    """
    waiting = []
    for path in [os.fspath(path) for path in paths]:
        kept = _kept(path, describer)
        if kept is None:
            waiting.append(path)
        else:
            yield path, kept
    if waiting:
        describer.check()
        workers = sensible_workers(len(waiting)) if workers is None else workers
        yield from parallel_map(partial(describe_one, describer=describer), waiting, workers,
                                if_died=Described(None, DIED), set_up=one_thread)


def _kept(path: str, describer) -> Described | None:
    try:
        description = describer.kept(path)
    except OSError:  # for describe_one to say
        return None
    return None if description is None else Described(description)


def describe_one(path: str, describer) -> Described:
    """Describe a clip; what is wrong with it is a result too."""
    start = time.monotonic()
    try:
        return Described(describer(path), None, time.monotonic() - start)
    except (ValueError, OSError, MemoryError) as error:
        return Described(None, one_line(path, error))
    except Exception as error:  # one clip must not end the others
        logger.exception("'%s' cannot be described.", path)
        return Described(None, one_line(path, error))


def one_line(path: str, error: Exception) -> str:
    """What is wrong with a clip, in one line that names it as it was given."""
    if isinstance(error, OSError) and error.strerror:
        return f"Cannot read video '{path}': {error.strerror}."
    text = " ".join(str(error).split()) or type(error).__name__
    text = _OTHER_REMEDY.sub("; get it anew.", text).replace(f"'{os.path.abspath(path)}'", f"'{path}'")
    return text if path in text else f"Cannot read video '{path}': {text}"


def one_thread() -> None:
    cv2.setNumThreads(1)
