"""Long videos, piece by piece: windows that slide over one, and neighbors of one action joined into pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from trokens.recognize.answers import Answer
from trokens.recognize.describe import Describer, end_of, one_line, one_thread, probe_whole, spread, with_looks
from trokens.recognize.description import Description, describe_motion
from trokens.recognize.looks import PICTURES, cell_features
from trokens.recognize.optical_flow import Flow, Picture, flow_and_pictures, frame_pairs
from trokens.runtime.parallel import DIED, parallel_map
from trokens.video import VideoInfo, probe

if TYPE_CHECKING:
    from trokens.recognize.classifier import FewShotClassifier

MOST_WINDOWS = 2**17  # of a video: a day, one a second
Pieces = Sequence[Answer]


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


def describe_windows(describer: Describer, path: str, window: float, stride: float) -> Iterator[Description]:
    """Describe a long video window by window, each as soon as it is read, unless the cache has them all.

    Args:
        window: Seconds of a window; the last one may be shorter by less than ``stride``.
        stride: Seconds from the start of one to that of the next.

    Raises:
        VideoError, OSError: The video cannot be read.
    """
    info = probe_whole(path)
    pairs, spans = frame_pairs(path, info), spans_of(end_of(info), window, stride)
    content = describer.content(path)
    kept = [describer.kept(content, span) for span in spans]
    if all(kept):
        yield from kept
        return
    for span, description in zip(spans, _slide(describer, path, info, pairs, spans), strict=True):
        describer.keep(content, description, span)
        yield description


def describe_span(describer: Describer, path: str, start: float, end: float) -> Description:
    """Describe a part of a video from a second to another, unless the cache has it.

    Raises:
        VideoError, OSError: It cannot be read.
    """
    content = describer.content(path)
    description = describer.kept(content, (start, end))
    if description is None:
        info = probe(path)
        first, behind = np.searchsorted(info.times, (start, end)).tolist()
        pictures = [min(first + i, info.num_frames - 1) for i in spread(max(behind - first, 1))]
        pairs = [pair for pair in frame_pairs(path, info) if start <= info.times[pair[0]] < end]
        description = describer.describe_part(path, info, pairs, pictures, (start, end))
        describer.keep(content, description, (start, end))
    return description


def _slide(describer: Describer, path: str, info: VideoInfo, pairs: Sequence[tuple[int, int]],
           spans: Sequence[tuple[float, float]]) -> Iterator[Description]:
    """Read a video once, and keep of it what windows that are not yet complete need."""
    rate = PICTURES / max(end - start for start, end in spans)
    count = int(info.times[-1] * rate) + 1
    wanted = sorted(set(np.searchsorted(info.times, (np.arange(count) + 0.5) / rate).clip(
        0, info.num_frames - 1).tolist())) if describer.backbone else []
    flows: deque[Flow] = deque()
    features: dict[int, np.ndarray] = {}
    waiting = deque(spans)
    for item in flow_and_pictures(path, info, pairs, wanted):
        if isinstance(item, Picture):  # the flow to its frame comes after it
            features[item.frame] = cell_features(item.rgb[None], describer.backbone)[0]
            continue
        flows.append(item)
        now = info.times[item.start]
        while waiting and now >= waiting[0][1]:
            yield _describe_window(describer, info, waiting.popleft(), flows, features)
            first = waiting[0][0] if waiting else now
            while flows and info.times[flows[0].start] < first:
                flows.popleft()
            for frame in [frame for frame in features if info.times[frame] < first - 1 / rate]:
                del features[frame]
    for span in waiting:
        yield _describe_window(describer, info, span, flows, features)


def _describe_window(describer: Describer, info: VideoInfo, span: tuple[float, float], flows: Iterable[Flow],
                     features: Mapping[int, np.ndarray]) -> Description:
    start, end = span
    description = describe_motion([flow for flow in flows if start <= info.times[flow.start] < end], info, span)
    if not describer.backbone:
        return description
    frames = [frame for frame in features if start <= info.times[frame] < end] or [min(
        features, key=lambda frame: abs(info.times[frame] - start))]
    return with_looks(description, info, features, [frames[i] for i in spread(len(frames))])


def join(answers: Sequence[Answer]) -> list[Answer]:
    """Join neighboring windows of one action into pieces; where two actions overlap, the border is in the middle.

    Args:
        answers: Of a video's windows, in the order of time.

    Returns:
        Pieces that follow one another; each has the means of its windows' numbers, their most probable runner-up, and
        the example that is nearest to one of them.
    """
    if not answers:
        return []
    groups = [list(group) for _, group in groupby(answers, key=lambda answer: answer.label)]
    borders = [(one[-1].end + other[0].start) / 2 for one, other in pairwise(groups)]
    starts, ends, pieces = [answers[0].start, *borders], [*borders, answers[-1].end], []
    for group, start, end in zip(groups, starts, ends, strict=True):
        probabilities = _mean([answer.probabilities for answer in group])
        others = {name: value for name, value in probabilities.items() if name != group[0].label}
        pieces.append(replace(group[0], start=start, end=end, probabilities=probabilities,
                              distances=_mean([answer.distances for answer in group]),
                              confidence=sum(answer.confidence for answer in group) / len(group),
                              nearest=min(group, key=lambda answer: min(answer.distances.values())).nearest,
                              runner_up=max(others, key=others.get, default=None)))
    return pieces


def _mean(rows: Sequence[dict[Any, float]]) -> dict[Any, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def answer_pieces(classifier: FewShotClassifier, paths: Sequence[str], window: float, stride: float,
                  workers: int) -> Iterator[tuple[str, Pieces, Pieces]]:
    """Answer long videos piece by piece.

    Args:
        classifier: A fitted one.
        window, stride: As `FewShotClassifier.windows` takes them.
        workers: Processes; 0 works in this one, and gives pieces as soon as the next one begins.

    Yields:
        A video, all its pieces so far, and those of them that are new; what cannot be read is one with an error.
    """
    if not workers:
        for path in paths:
            yield from ((path, *pieces) for pieces in _as_they_come(path, classifier, window, stride))
        return
    function = partial(_all_pieces, classifier=classifier, window=window, stride=stride)
    for path, pieces in parallel_map(function, paths, workers, set_up=one_thread):
        pieces = pieces or [Answer(path, error=DIED)]
        yield path, pieces, pieces


def _all_pieces(path: str, **options) -> Pieces:
    *_, (pieces, _) = _as_they_come(path, **options)
    return pieces


def _as_they_come(path: str, classifier: FewShotClassifier, window: float,
                  stride: float) -> Iterator[tuple[Pieces, Pieces]]:
    answers: list[Answer] = []
    pieces: Pieces = []
    done = 0
    try:
        for answer in classifier.windows(path, window, stride):
            answers.append(answer)
            pieces = join(answers)
            if len(pieces) > done + 1:
                yield pieces[:-1], pieces[done:-1]
                done = len(pieces) - 1
    except (ValueError, OSError, MemoryError) as error:
        pieces, done = [Answer(path, error=one_line(path, error))], 0
    yield pieces, pieces[done:]
