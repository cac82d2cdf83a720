"""Long videos, piece by piece, in several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from trokens.recognize.answers import Answer, join
from trokens.recognize.classifier import FewShotClassifier
from trokens.recognize.describe import one_line, one_thread
from trokens.runtime.parallel import DIED, parallel_map

Pieces = Sequence[Answer]


def answer_pieces(classifier: FewShotClassifier, paths: Sequence[str], window: float, stride: float,
                  workers: int) -> Iterator[tuple[str, Pieces, Pieces]]:
    """Answer long videos piece by piece, neighbors of one action joined.

    Args:
        classifier: A fitted one.
        window, stride: As `FewShotClassifier.windows` takes them.
        workers: Processes; 0 works in this one, and gives pieces as soon as the next one begins.

    Yields:
        A video, all its pieces so far, and those of them that are new; what cannot be read is one with an error.
    """
    if not workers:
        for path in paths:
            yield from ((path, *pieces) for pieces in _as_they_come(classifier, path, window, stride))
        return
    function = partial(all_pieces, classifier=classifier, window=window, stride=stride)
    for path, pieces in parallel_map(function, paths, workers, set_up=one_thread):
        pieces = pieces or [Answer(path, error=DIED)]
        yield path, pieces, pieces


def all_pieces(path: str, classifier: FewShotClassifier, window: float, stride: float) -> Pieces:
    """The pieces of one video."""
    return list(_as_they_come(classifier, path, window, stride))[-1][0]


def _as_they_come(classifier: FewShotClassifier, path: str, window: float,
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
