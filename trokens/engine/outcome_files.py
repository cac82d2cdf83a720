"""The files that say what a test answered: episodes.jsonl, a line an episode, predictions.jsonl, a line a query clip.

Other people's code can score the very same episodes, and ours can test those that are listed in such a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trokens.clips.split import Clip
from trokens.fewshot.episodes import EpisodePlan
from trokens.fewshot.outcomes import Outcomes
from trokens.runtime.files import write_text

EPISODES, PREDICTIONS = "episodes.jsonl", "predictions.jsonl"


def write_outcomes(folder: str | Path, answered: Sequence[Outcomes]) -> None:
    """Write both files, of one or several numbers of shots.

    Raises:
        WriteError: The disk does not take one of them.
    """
    write_text(Path(folder) / EPISODES, "".join(line for one in answered for line in _episode_lines(one)))
    write_text(Path(folder) / PREDICTIONS, "".join(line for one in answered for line in _prediction_lines(one)))


def _episode_lines(outcomes: Outcomes) -> Iterator[str]:
    clips, classes = np.array(outcomes.clips, dtype=object), np.array(outcomes.classes, dtype=object)
    for episode, ways in enumerate(outcomes.ways):
        yield _line(k_shot=outcomes.k_shot, episode=episode, classes=classes[ways].tolist(),
                    support=clips[outcomes.support[episode]].tolist(), query=clips[outcomes.query[episode]].tolist())


def _prediction_lines(outcomes: Outcomes) -> Iterator[str]:
    assert outcomes.distances is not None
    for episode, ways in enumerate(outcomes.ways):
        names = [outcomes.classes[number] for number in ways]
        for way, queries in enumerate(outcomes.query[episode]):
            for n, clip in enumerate(queries):
                distances = [float(f"{x:.6g}") for x in outcomes.distances[episode, way, n]]
                yield _line(k_shot=outcomes.k_shot, episode=episode, query=outcomes.clips[clip], true=names[way],
                            given=names[outcomes.given[episode, way, n]], distances=distances)


def _line(**values: Any) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def read_plans(path: str | Path, clips: Sequence[Clip], k_shots: Sequence[int]) -> dict[int, list[EpisodePlan]]:
    """The episodes of a file, of these numbers of shots.

    Args:
        path: episodes.jsonl of a run, or of other code.
        clips: The split that they are of.

    Raises:
        ValueError: The file is none of episodes, names another clip or class, or lacks a number of shots.
    """
    rows = {clip.id: row for row, clip in enumerate(clips)}
    plans: dict[int, list[EpisodePlan]] = {k_shot: [] for k_shot in k_shots}
    for number, episode in _read_episodes(path):
        if episode["k_shot"] not in plans:
            continue
        for name, support, query in zip(episode["classes"], episode["support"], episode["query"], strict=True):
            for clip in [*support, *query]:
                if clip not in rows:
                    raise ValueError(f"{path}:{number}: the split has no clip '{clip}'; give episodes of this split.")
                if (there := clips[rows[clip]].class_name) != name:
                    raise ValueError(f"{path}:{number}: clip '{clip}' shows '{name}' there, and '{there}' in the list "
                                     "of the split; give episodes of this split.")
        sets = [[(rows[clip], way) for way, some in enumerate(episode[part]) for clip in some]
                for part in ("support", "query")]
        indices, way = zip(*sets[0], *sets[1], strict=True)
        plans[episode["k_shot"]].append(EpisodePlan(indices, way, len(episode["classes"]), len(sets[0]),
                                                    f"{Path(path).name}/{episode['episode']}"))
    for k_shot, found in plans.items():
        if not found:
            raise ValueError(f"{path} has no {k_shot}-shot episodes; name those that it has (TEST.K_SHOTS, "
                             "FEW_SHOT.K_SHOT).")
    return plans


def read_outcomes(episodes: str | Path, predictions: str | Path) -> list[Outcomes]:
    """What was answered in the episodes of a file, of each number of shots that the answers are of, ascending.

    A prediction names the episode (with ``k_shot`` where the file of episodes has several), its query, and ``given``,
    the class, or else ``distances``, the nearest of which counts.

    Raises:
        ValueError: A file is broken, or a query has no answer, several, or one that names another class.
    """
    listed: dict[int, dict[Any, tuple[int, dict[str, Any]]]] = {}
    for number, episode in _read_episodes(episodes):
        listed.setdefault(episode["k_shot"], {})[episode["episode"]] = number, episode
    answers = _read_answers(predictions, listed)
    return [_outcomes(episodes, predictions, [episode for _, episode in listed[k_shot].values()], answers[k_shot])
            for k_shot in sorted(answers)]


def _outcomes(path: str | Path, predictions: str | Path, episodes: Sequence[dict[str, Any]],
              answers: dict[tuple[Any, str], dict[str, Any]]) -> Outcomes:
    class_of: dict[str, str] = {}
    for episode in episodes:
        for name, support, query in zip(episode["classes"], episode["support"], episode["query"], strict=True):
            for clip in [*support, *query]:
                if class_of.setdefault(clip, name) != name:
                    raise ValueError(f"{path}: clip '{clip}' shows '{class_of[clip]}' in one episode and '{name}' in "
                                     "another.")
    clips = {clip: number for number, clip in enumerate(class_of)}
    classes = {name: number for number, name in enumerate(sorted(set(class_of.values())))}
    given, distances = [], []
    for episode in episodes:
        for clip in (clip for queries in episode["query"] for clip in queries):
            if (answer := answers.get((episode["episode"], clip))) is None:
                raise ValueError(f"{predictions} has no answer to '{clip}' of episode {episode['episode']} "
                                 f"({len(answers)} answers are there).")
            given.append(_given(predictions, answer, episode["classes"]))
            distances.append(answer.get("distances"))
    support, query = (np.array([[[clips[clip] for clip in some] for some in episode[part]] for episode in episodes])
                      for part in ("support", "query"))
    known = all(one is not None for one in distances)
    return Outcomes(list(clips), list(classes), np.array([classes[class_of[clip]] for clip in clips]), support, query,
                    np.array(given).reshape(query.shape),
                    np.array(distances, dtype=float).reshape(*query.shape, -1) if known else None)


def _given(path: str | Path, answer: dict[str, Any], classes: Sequence[str]) -> int:
    given, distances = answer.get("given"), answer.get("distances")
    if distances is not None and len(distances) != len(classes):
        raise ValueError(f"{path}: '{answer['query']}' of episode {answer['episode']} has {len(distances)} distances; "
                         f"{len(classes)} classes are in question.")
    if given is None and distances is not None:
        return int(np.argmin(distances))
    if given not in classes:
        raise ValueError(f"{path}: '{answer['query']}' of episode {answer['episode']} was taken for '{given}', and in "
                         f"question are {', '.join(classes)}.")
    return classes.index(given)


def _read_episodes(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, episode) of a file whose episodes of one number of shots have one shape."""
    shapes: dict[int, tuple] = {}
    numbers = set()
    for number, episode in _read_lines(path, ("episode", "classes", "support", "query")):
        support, query = episode["support"], episode["query"]
        counts = {len(some) for some in support}, {len(some) for some in query}
        if len(support) != len(episode["classes"]) or len(query) != len(support) or any(len(n) != 1 for n in counts) \
                or 0 in counts[0] | counts[1] or len(set(episode["classes"])) < len(support):
            raise ValueError(f"{path}:{number}: an episode has a list of support clips and one of query clips for each "
                             "of its classes, each of the same length.")
        (k_shot,), (n_query,) = counts
        shape = len(support), n_query
        if shapes.setdefault(k_shot, shape) != shape:
            raise ValueError(f"{path}:{number}: this episode has {shape[0]} classes with {shape[1]} query clips, one "
                             f"before it {shapes[k_shot][0]} with {shapes[k_shot][1]}; keep them in two files.")
        if (k_shot, episode["episode"]) in numbers:
            raise ValueError(f"{path}:{number}: episode {episode['episode']} is there twice.")
        numbers.add((k_shot, episode["episode"]))
        yield number, {**episode, "k_shot": k_shot}


def _read_answers(path: str | Path, listed: dict[int, dict]) -> dict[int, dict[tuple[Any, str], dict[str, Any]]]:
    found: dict[int, dict[tuple[Any, str], dict[str, Any]]] = {}
    for number, answer in _read_lines(path, ("episode", "query")):
        if "k_shot" not in answer and len(listed) > 1:
            raise ValueError(f"{path}:{number}: the episodes have {', '.join(map(str, sorted(listed)))} shots; say "
                             "which k_shot an answer is of.")
        k_shot = answer.get("k_shot", next(iter(listed)))
        some, key = found.setdefault(k_shot, {}), (answer["episode"], answer["query"])
        if k_shot not in listed or answer["episode"] not in listed[k_shot]:
            raise ValueError(f"{path}:{number}: episode {answer['episode']} ({k_shot}-shot) is none of those listed.")
        if key in some:
            raise ValueError(f"{path}:{number}: '{answer['query']}' of episode {answer['episode']} is answered twice.")
        some[key] = answer
    if not found:
        raise ValueError(f"{path} has no answers.")
    return found


def _read_lines(path: str | Path, keys: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict) or not value.keys() >= set(keys):
                raise ValueError(f"{path}:{number}: this is no JSON object with {', '.join(keys)}.")
            yield number, value
