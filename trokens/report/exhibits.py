"""What a page shows of each answer: the clip beside the nearest examples, moment by moment, with trajectories."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from trokens.recognize.answers import Prediction
from trokens.recognize.classifier import FewShotClassifier
from trokens.recognize.describe import one_line
from trokens.recognize.explain import Explanation, Match, Trajectory
from trokens.report.films import Film, Wanted, make_films, moments_between

logger = logging.getLogger(__name__)

PICTURED = 60       # queries with pictures, the least certain
PIECES = 40         # of a long video, the first, with pictures
EXPLAINED = 8       # pieces of all videos, the least certain, beside their nearest examples; ...
AROUND = 3.0        # ... of a longer one so many seconds in its middle
PIECE_MOMENTS = 6   # pictures of each
LOOP = (1.6, 6.4)   # seconds in which a clip is shown, at the least and at the most
DIM = 0.25          # opacity of a trajectory at other moments than its own


@dataclass(frozen=True)
class Line:
    """A trajectory over a picture of 100 units' width.

    Attributes:
        points: Its positions.
        strength: How much it counts, 1 for the strongest one.
        keyframes: Name of those that say when it lights up.
    """

    points: list[tuple[float, float]]
    strength: float
    keyframes: str


@dataclass(frozen=True)
class Panel:
    """A clip that moves.

    Attributes:
        path: The clip.
        film: Its pictures, or one line that says why there are none.
        keyframes: Name of those that say which picture is shown when.
        lines: What is drawn over the pictures, the strongest last.
        label: The action of an example.
    """

    path: str
    film: Film | str
    keyframes: str = ""
    lines: tuple[Line, ...] = ()
    label: str | None = None


@dataclass(frozen=True)
class Strip:
    """The matched moments of two clips in two rows, joined by lines.

    Attributes:
        films: Of query and example.
        cells: Of each row: cells of its film, and their seconds.
        joints: Row position of each query moment and of its match, in [0, 1], and how close they are, in [0, 1].
    """

    films: tuple[Film, Film]
    cells: tuple[list[tuple[int, float]], list[tuple[int, float]]]
    joints: list[tuple[float, float, float]]


@dataclass(frozen=True)
class Exhibit:
    """What is shown of a query.

    Attributes:
        panels: The clip, the nearest example of the chosen and of the second action.
        strip: Of the first two; None where one of them has no pictures.
        motion_share: How much of the distances came from motion; None where a trained model was asked.
        seconds: In which its pictures are shown once.
        film: Of a long video.
        thumbs: Of each of its pieces: keyframes and the cell of its first picture, or None.
        parts: What is shown of its least certain pieces, by number.
        gone: Why there are no pictures, in one line.
    """

    panels: tuple[Panel, ...] = ()
    strip: Strip | None = None
    motion_share: float | None = None
    seconds: float = LOOP[0]
    film: Film | None = None
    thumbs: tuple[tuple[str, int] | None, ...] = ()
    parts: dict[int, Exhibit] = field(default_factory=dict)
    gone: str | None = None


@dataclass
class Keyframes:
    """Named lists of (percent of the loop, value): equal ones have one name."""

    prefix: str
    names: dict[tuple[tuple[float, object], ...], str] = field(default_factory=dict)

    def name(self, values: Sequence[object]) -> str:
        """The name of these values, each of which holds for the same share of the loop."""
        steps = tuple((round(100 * i / len(values), 3), value) for i, value in enumerate(values)
                      if not i or value != values[i - 1])
        return self.names.setdefault(steps, f"{self.prefix}{len(self.names)}")


def least_certain(prediction: Prediction) -> tuple[float, str]:
    """Sort key: what is least certain comes first."""
    return min(answer.confidence for answer in prediction.pieces), prediction.path


def make_exhibits(classifier: FewShotClassifier, predictions: Sequence[Prediction],
                  keyframes: dict[str, Keyframes]) -> dict[str, Exhibit]:
    """What is shown of the least certain queries, by path.

    Args:
        predictions: Those with an answer.
        keyframes: For the positions of pictures and for the opacity of lines; they are filled.
    """
    chosen = sorted(predictions, key=least_certain)[:PICTURED]
    found = {(prediction.path, number): _explained(classifier, prediction, number)
             for prediction, number in _explainable(chosen)}
    films = make_films(_wanted(chosen, found), classifier.workers or 0)
    shown = {key: _beside(key[0], explanation, films, keyframes) for key, explanation in found.items()}
    return {prediction.path: shown[prediction.path, 0] if not prediction.windowed else _long(
        prediction, films[prediction.path, True], shown, keyframes["pictures"]) for prediction in chosen}


def _explainable(predictions: Sequence[Prediction]) -> list[tuple[Prediction, int]]:
    """What is shown beside its nearest examples: whole clips, and the least certain pieces by their numbers."""
    pieces = [(prediction, number) for prediction in predictions if prediction.windowed
              for number in range(len(prediction.pieces[:PIECES]))]
    pieces.sort(key=lambda item: item[0].pieces[item[1]].confidence)
    return [*((prediction, 0) for prediction in predictions if not prediction.windowed), *pieces[:EXPLAINED]]


def _explained(classifier: FewShotClassifier, prediction: Prediction, number: int) -> Explanation | str:
    piece = prediction.pieces[number]
    middle, half = (piece.start + piece.end) / 2, min(piece.end - piece.start, AROUND) / 2
    try:
        return classifier.explain(prediction.path, (middle - half, middle + half) if prediction.windowed else None)
    except Exception as error:  # a clip that changed since it was answered costs its own pictures, and nothing else
        logger.debug("No explanation of '%s'.", prediction.path, exc_info=True)
        return one_line(prediction.path, error)


def _wanted(predictions: Sequence[Prediction], found: dict[tuple[str, int], Explanation | str]) -> list[Wanted]:
    """All moments of each clip that some exhibit shows: an example is decoded once for all queries."""
    frames: dict[str, set[int]] = defaultdict(set)
    for (path, _), explanation in found.items():
        for nearest in () if isinstance(explanation, str) else explanation.nearest[:2]:
            frames[path] |= {match.query_frame for match in nearest.matches}
            frames[nearest.path] |= {match.example_frame for match in nearest.matches}
    videos = {prediction.path: tuple(
        moment for piece in prediction.pieces[:PIECES] for moment in moments_between(piece.start, piece.end,
                                                                                     PIECE_MOMENTS))
        for prediction in predictions if prediction.windowed}
    return [*(Wanted(path, tuple(sorted(some))) for path, some in frames.items()),
            *(Wanted(path, moments, True) for path, moments in videos.items())]


def _beside(path: str, found: Explanation | str, films: dict[tuple[str, bool], Film | str],
            keyframes: dict[str, Keyframes]) -> Exhibit:
    """A clip, or a piece of a video, beside its nearest examples."""
    if isinstance(found, str):
        return Exhibit(gone=found)
    own, chosen = films[path, False], found.nearest[0]
    beside = films[chosen.path, False]
    panels = [moving_panel(path, own, [match.query_frame for match in chosen.matches], keyframes, chosen.query_trails)]
    panels += [moving_panel(nearest.path, films[nearest.path, False],
                            [match.example_frame for match in nearest.matches], keyframes, nearest.example_trails,
                            str(nearest.label)) for nearest in found.nearest[:2]]
    strip = None if isinstance(own, str) or isinstance(beside, str) else _strip(chosen.matches, own, beside)
    seconds = float(np.clip(found.answer.end - found.answer.start, *LOOP))
    return Exhibit(tuple(panels), strip, found.motion_share, round(seconds, 2))


def moving_panel(path: str, film: Film | str, moments: Sequence[int], keyframes: dict[str, Keyframes],
                 trails: Sequence[Trajectory] = (), label: str | None = None) -> Panel:
    """A clip that shows these moments of its film one after the other, under these trajectories."""
    if isinstance(film, str):
        return Panel(path, film, label=label)
    pictures = keyframes["pictures"].name([film.position(cell) for moment in moments for cell in film.cells[moment]])
    strongest = max((float(trail.strength.mean()) for trail in trails), default=0) or 1.0
    lines = [_line(trail, float(trail.strength.mean()) / strongest, film, moments, keyframes["lines"].name)
             for trail in reversed(trails)]
    return Panel(path, film, pictures, tuple(lines), label)


def _line(trail: Trajectory, strength: float, film: Film, moments: Sequence[int], name: Callable) -> Line:
    width = film.size[1]
    points = [(round(float(x) * 100 / width, 2), round(float(y) * 100 / width, 2))
              for x, y in (trail.xy + 0.5)[np.diff(trail.frame, prepend=-1) > 0]]
    opacity = [1 if trail.frame[0] <= moment <= trail.frame[-1] else DIM for moment in moments]
    return Line(points, round(strength, 3), name(opacity))


def _strip(matches: Sequence[Match], query: Film, example: Film) -> Strip:
    asked = sorted({(match.query_time, match.query_frame) for match in matches})
    given = sorted({(match.example_time, match.example_frame) for match in matches})
    far = np.array([match.distance for match in matches])
    close = 1 - (far - far.min()) / max(float(np.ptp(far)), 1e-9)
    rows = [[(film.cells[frame][0], time) for time, frame in some]
            for film, some in ((query, asked), (example, given))]
    joints = [((asked.index((match.query_time, match.query_frame)) + 0.5) / len(asked),
               (given.index((match.example_time, match.example_frame)) + 0.5) / len(given), round(float(near), 3))
              for match, near in zip(matches, close, strict=True)]
    return Strip((query, example), (rows[0], rows[1]), joints)


def _long(prediction: Prediction, film: Film | str, shown: dict[tuple[str, int], Exhibit],
          keyframes: Keyframes) -> Exhibit:
    if isinstance(film, str):
        return Exhibit(gone=film)
    thumbs: list[tuple[str, int] | None] = []
    for number, piece in enumerate(prediction.pieces):
        cells = [film.cells[moment][0] for moment in moments_between(piece.start, piece.end, PIECE_MOMENTS)
                 ] if number < PIECES else []
        thumbs.append((keyframes.name([film.position(cell) for cell in cells]), cells[0]) if cells else None)
    parts = {number: exhibit for (path, number), exhibit in shown.items() if path == prediction.path}
    return Exhibit(film=film, thumbs=tuple(thumbs), parts=parts)
