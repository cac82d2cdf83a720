"""Motions of two shapes relative to each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from trokens.moving_shapes.scene import Pose, Scene, pair, posed, ramp, turned


def _gap(s: Scene, part: ndarray, of_second: float) -> tuple[Pose, Pose]:
    """Distance going from far (part 0) to near (part 1); ``of_second`` is the second shape's share of the way."""
    gap = np.outer(s.distance + s.vary(48) * (0.5 - part), s.axis)
    return pair(s, (1 - of_second) * gap, -of_second * gap)


def _push(s: Scene) -> tuple[Pose, Pose]:
    near, way = 0.75 * s.distance, np.outer(s.time, s.axis) * s.vary(56)
    touch = np.outer(np.maximum(s.time - 0.5, 0), s.axis) * s.vary(56)
    return pair(s, -way, -touch - (near + 28) * s.axis)


def _follow(s: Scene) -> tuple[Pose, Pose]:
    def path(way: ndarray) -> ndarray:
        return np.outer(way, s.axis) + np.outer(18 * np.sin(way * 2 * np.pi / 76 + phase), s.across)
    phase, way = s.phase(), s.time * s.vary(48)
    return pair(s, path(way + s.distance), path(way))


def _swap(s: Scene) -> tuple[Pose, Pose]:
    turn = np.pi * s.time * s.rng.choice([-1, 1])
    path = s.distance * 0.6 * (np.outer(np.cos(turn), s.axis) + 0.5 * np.outer(np.sin(turn), s.across))
    return pair(s, path, -path)


def _orbit(s: Scene) -> tuple[Pose, Pose]:
    turn = s.rng.choice([-1, 1]) * 2 * np.pi * s.vary(0.75) * s.time + s.phase()
    path = turned(s, turn, s.distance)
    return pair(s, 0.7 * path, -0.3 * path)  # about their common middle, the second one narrowly


def _spiral_in(s: Scene) -> tuple[Pose, Pose]:
    turn = s.rng.choice([-1, 1]) * 2 * np.pi * s.vary(0.6) * s.time
    path = turned(s, turn, s.distance * (0.75 - 0.45 * s.time))
    return pair(s, path, -path)


def _across(s: Scene, way: ndarray) -> tuple[Pose, Pose]:
    """Both move across the axis, in opposite directions, by ``way`` (T,)."""
    rest, path = s.distance / 2 * s.axis, np.outer(way, s.across)
    return pair(s, rest + path, -rest - path)


def _take_turns(s: Scene) -> tuple[Pose, Pose]:
    rest, way = s.distance / 2 * s.axis, s.across * s.vary(40) * s.rng.choice([-1, 1])
    return pair(s, rest + np.outer(ramp(s.time, 0, 0.5), way), -rest + np.outer(ramp(s.time, 0.5, 1), way))


def _gears(s: Scene) -> tuple[Pose, Pose]:
    turn = s.time * np.deg2rad(s.vary(210)) * s.rng.choice([-1, 1])
    rest = np.tile(s.distance / 2 * s.axis, (len(turn), 1))
    return posed(s, rest, turn), posed(s, -rest, -turn)


TOGETHER: dict[str, Callable[[Scene], tuple[Pose, Pose]]] = {
    "approach": lambda s: _gap(s, s.time, 0.5),
    "separate": lambda s: _gap(s, 1 - s.time, 0.5),
    "one_approaches": lambda s: _gap(s, s.time, 0.0),
    "one_leaves": lambda s: _gap(s, 1 - s.time, 0.0),
    "collide": lambda s: _gap(s, 1 - np.abs(2 * s.time - 1), 0.5),
    "push": _push,
    "follow": _follow,
    "swap": _swap,
    "orbit": _orbit,
    "spiral_in": _spiral_in,
    "pass_by": lambda s: _across(s, s.vary(48) * (s.time - 0.5) * s.rng.choice([-1, 1])),
    "seesaw": lambda s: _across(s, s.vary(20) * np.sin(2 * np.pi * s.vary(1.4) * s.time + s.phase())),
    "take_turns": _take_turns,
    "gears": _gears,
}
