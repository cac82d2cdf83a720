"""Some answers of a test that are worth a look: the most confused pairs of classes, some wrong and some right ones.

Few clips serve all of them, since each has to be decoded: an answer is chosen for the clips that others show already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trokens.fewshot.outcomes import Outcomes
from trokens.points.geometry import frame_positions
from trokens.recognize.describe import one_line
from trokens.report.exhibits import LOOP, Keyframes, Panel, moving_panel
from trokens.report.films import Film, Wanted, make_films
from trokens.report.run_folder import RunFolder
from trokens.video import probe

MOST_FILMS = 12  # clips that a page shows
PAIRS = 3
EACH = 2         # wrong answers, and right ones
MOST_WAYS = 5    # classes that are shown of an episode, the nearest


@dataclass(frozen=True)
class Answer:
    """A query, and the classes of its episode, each with one support clip, the nearest class first.

    Attributes:
        episode: Its number.
        query: The clip.
        true, given: What it shows, and what it was taken for.
        support: (class, clip, distance or None) of each.
        ways: How many classes were in question.
    """

    episode: int
    query: str
    true: str
    given: str
    support: tuple[tuple[str, str, float | None], ...]
    ways: int

    @property
    def clips(self) -> set[str]:
        return {self.query, *(clip for _, clip, _ in self.support)}

    @property
    def taken_for(self) -> str:
        """The support clip of the class that it was taken for."""
        return next(clip for name, clip, _ in self.support if name == self.given)


@dataclass(frozen=True)
class Chosen:
    """Answers to show.

    Attributes:
        pairs: Of the most confused pairs of classes, one each.
        wrong, right: Others, with all of the episode.
    """

    pairs: tuple[Answer, ...]
    wrong: tuple[Answer, ...]
    right: tuple[Answer, ...]


def choose_answers(outcomes: Outcomes, pairs: Sequence[tuple[str, str]]) -> Chosen:
    """Choose answers that show at most MOST_FILMS clips.

    Args:
        pairs: (true, given) class, the most confused first.
    """
    finder = _Finder(outcomes)
    wrong: list[Answer] = []
    for pair in pairs[:EACH]:
        wrong += finder.add(finder.of(*pair), whole=True)
    confused = list(wrong)
    for pair in pairs[len(wrong):PAIRS]:
        confused += finder.add(finder.of(*pair), whole=False)
    right: list[Answer] = []
    for _ in range(EACH):
        right += finder.add(finder.right, whole=True)
    return Chosen(tuple(confused), tuple(wrong), tuple(right))


class _Finder:
    def __init__(self, outcomes: Outcomes):
        ways, self.outcomes = outcomes.ways, outcomes
        self.right = outcomes.right.copy()  # of answers that are not chosen yet
        self.true = np.broadcast_to(ways[:, :, None], outcomes.given.shape)
        self.given = np.take_along_axis(ways, outcomes.given.reshape(len(ways), -1), 1).reshape(outcomes.given.shape)
        self.shown: set[str] = set()
        self.used = np.zeros(len(ways), dtype=bool)  # episodes that are shown

    def of(self, true: str, given: str) -> np.ndarray:
        """Which answers take one class for another."""
        names = list(self.outcomes.classes)
        return (self.true == names.index(true)) & (self.given == names.index(given))

    def add(self, among: np.ndarray, *, whole: bool) -> list[Answer]:
        """The answer that needs the fewest further clips, if there is room for them.

        Args:
            whole: Whether all of its episode is shown, and not the query and what it was taken for alone.
        """
        among = among & ~self.used[:, None, None] if whole else among
        if not among.any():
            return []
        outcomes = self.outcomes
        known = np.isin(np.asarray(outcomes.clips, dtype=object), list(self.shown))
        support = known[outcomes.support[:, :, 0]]  # (E, W)
        if whole:
            score = support.sum(1)[:, None, None] + known[outcomes.query]
        else:
            score = np.take_along_axis(support, outcomes.given.reshape(len(support), -1), 1).reshape(
                outcomes.given.shape) + known[outcomes.query]
        at = np.unravel_index(np.where(among, score, -1).argmax(), among.shape)
        answer = self._answer(*map(int, at))
        clips = answer.clips if whole else {answer.query, answer.taken_for}
        if len(self.shown | clips) > MOST_FILMS:
            return []
        self.shown |= clips
        self.used[at[0]] |= whole
        self.right &= outcomes.query != outcomes.query[at]  # another query the next time
        return [answer]

    def _answer(self, episode: int, way: int, n: int) -> Answer:
        outcomes = self.outcomes
        names = [outcomes.classes[number] for number in outcomes.ways[episode]]
        distances = None if outcomes.distances is None else outcomes.distances[episode, way, n].tolist()
        given = int(outcomes.given[episode, way, n])
        order = list(range(len(names))) if distances is None else np.argsort(distances, kind="stable").tolist()
        kept = [number for number in order if number in (way, given)]
        kept += [number for number in order if number not in kept][:MOST_WAYS - len(kept)]
        support = tuple((names[number], outcomes.clips[outcomes.support[episode, number, 0]],
                         None if distances is None else distances[number]) for number in order if number in kept)
        return Answer(episode, outcomes.clips[outcomes.query[episode, way, n]], names[way], names[given], support,
                      len(names))


def films_of(run: RunFolder, chosen: Chosen, keyframes: dict[str, Keyframes]) -> tuple[dict[str, Panel], float]:
    """What moves: a panel of each clip, and the seconds of a loop.

    A clip that cannot be read costs its pictures, and nothing else.
    """
    ids = set().union(*({answer.query, answer.taken_for} for answer in chosen.pairs),
                      *(answer.clips for answer in (*chosen.wrong, *chosen.right)))
    try:
        videos = {clip.id: str(clip.video) for clip in run.clips if clip.id in ids}
    except (OSError, ValueError) as error:
        return {clip: Panel(clip, str(error)) for clip in ids}, LOOP[0]
    wanted, gone, seconds = {}, {}, []
    for clip in sorted(ids):
        if clip not in videos:
            gone[clip] = "no list names it any more"
            continue
        try:
            info = probe(videos[clip])
        except Exception as error:
            gone[clip] = one_line(videos[clip], error)
            continue
        seconds.append(float(info.num_frames / info.fps))
        moments = frame_positions(info.num_frames, min(info.num_frames, run.cfg.DATA.NUM_FRAMES)).tolist()
        wanted[clip] = Wanted(videos[clip], tuple(moments))
    films = make_films(list(wanted.values()), 0)
    panels = {clip: Panel(videos.get(clip, clip), line) for clip, line in gone.items()}
    for clip, one in wanted.items():
        film: Film | str = films[one.path, False]
        panels[clip] = Panel(one.path, film) if isinstance(film, str) else moving_panel(
            one.path, film, [int(moment) for moment in one.moments], keyframes)
    return panels, round(float(np.clip(np.median(seconds), *LOOP)), 2) if seconds else LOOP[0]
