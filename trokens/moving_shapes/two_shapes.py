"""Motions of two shapes relative to each other.

Those of the first table look different on sight. Those of the second differ in nothing but how the two go together:
what each shape does alone is one of a few things (it oscillates, circles, goes straight, spins, or grows and shrinks).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from trokens.moving_shapes.scene import Pose, Scene, at_mean_size, pair, posed, ramp, turned

_Pair = Callable[[Scene], tuple[Pose, Pose]]
_ROOMY = 1.2  # times the usual distance, for shapes that move toward each other


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
    turn = np.pi * s.time * s.sense()
    path = s.distance * 0.6 * (np.outer(np.cos(turn), s.axis) + 0.5 * np.outer(np.sin(turn), s.across))
    return pair(s, path, -path)


def _orbit(s: Scene) -> tuple[Pose, Pose]:
    turn = s.sense() * 2 * np.pi * s.vary(0.75) * s.time + s.phase()
    path = turned(s, turn, s.distance)
    return pair(s, 0.7 * path, -0.3 * path)  # about their common middle, the second one narrowly


def _spiral(start: float, change: float) -> _Pair:
    """Around each other; their distance goes from ``start`` of the usual one by ``change``."""
    def spiral(s: Scene) -> tuple[Pose, Pose]:
        turn = s.sense() * 2 * np.pi * s.vary(0.6) * s.time
        path = turned(s, turn, s.distance * (start + change * s.time))
        return pair(s, path, -path)

    return spiral


def _across(s: Scene, way: ndarray) -> tuple[Pose, Pose]:
    """Both move across the axis, in opposite directions, by ``way`` (T,)."""
    path = np.outer(way, s.across)
    return _apart(s, path, -path)


def _take_turns(s: Scene) -> tuple[Pose, Pose]:
    way = s.across * s.vary(40) * s.sense()
    return _apart(s, np.outer(ramp(s.time, 0, 0.5), way), np.outer(ramp(s.time, 0.5, 1), way))


def _gears(s: Scene) -> tuple[Pose, Pose]:
    turn = s.time * np.deg2rad(s.vary(210)) * s.sense()
    rest = s.distance / 2 * s.axis
    return posed(s, rest, turn), posed(s, -rest, -turn)


TOGETHER: dict[str, _Pair] = {
    "approach": lambda s: _gap(s, s.time, 0.5),
    "separate": lambda s: _gap(s, 1 - s.time, 0.5),
    "one_approaches": lambda s: _gap(s, s.time, 0.0),
    "one_leaves": lambda s: _gap(s, 1 - s.time, 0.0),
    "collide": lambda s: _gap(s, 1 - np.abs(2 * s.time - 1), 0.5),
    "push": _push,
    "follow": _follow,
    "swap": _swap,
    "orbit": _orbit,
    "spiral_in": _spiral(0.75, -0.45),
    "pass_by": lambda s: _across(s, s.vary(48) * (s.time - 0.5) * s.sense()),
    "seesaw": lambda s: _across(s, s.vary(20) * np.sin(2 * np.pi * s.vary(1.4) * s.time + s.phase())),
    "take_turns": _take_turns,
    "gears": _gears,
}


# How two go together ----------------------------------------------------------------------------------------------

def _apart(s: Scene, first: ndarray, second: ndarray, distance: float = 1.0) -> tuple[Pose, Pose]:
    """Paths (T, 2) about two places that lie ``distance`` times the scene's from each other."""
    rest = distance * s.distance / 2 * s.axis
    return pair(s, rest + first, -rest + second)


def _beat(s: Scene, periods: float = 1.4) -> ndarray:
    """Angle of something that repeats, (T,), from a random start."""
    return 2 * np.pi * s.vary(periods) * s.time + s.phase()


def _oscillate(first: str, second: str, lag: float = 0.0, sense: int = 1) -> _Pair:
    """Along or across the axis; the second one ``lag`` periods behind, or against the first one (sense -1)."""
    def oscillate(s: Scene) -> tuple[Pose, Pose]:
        beat, way = _beat(s), s.vary(16)
        return _apart(s, np.outer(np.sin(beat), way * getattr(s, first)),
                      np.outer(sense * np.sin(beat - 2 * np.pi * lag), way * getattr(s, second)), _ROOMY)
    return oscillate


def _alternate(s: Scene) -> tuple[Pose, Pose]:
    """Each oscillates for half the time and rests for the other half."""
    way = s.vary(20) * s.sense() * s.across
    halves = ramp(s.time, 0, 0.5), ramp(s.time, 0.5, 1)
    return _apart(s, *(np.outer(np.sin(2 * np.pi * half), way) for half in halves))


def _circle(lag: float = 0.0, mirrored: bool = False) -> _Pair:
    def circle(s: Scene) -> tuple[Pose, Pose]:
        turn, radius = _beat(s, 1.0) * s.sense(), s.vary(17)
        other = np.pi - turn if mirrored else turn - 2 * np.pi * lag
        return _apart(s, turned(s, turn, radius), turned(s, other, radius), _ROOMY)
    return circle


def _moon(s: Scene) -> tuple[Pose, Pose]:
    path = turned(s, _beat(s, 0.75) * s.sense(), s.distance)
    return pair(s, path, 0 * path)


def _race(of_rear: float, of_front: float) -> _Pair:
    """One behind the other, going ``of_rear`` and ``of_front`` far; the gap is the usual one in the middle of time."""
    def race(s: Scene) -> tuple[Pose, Pose]:
        way = s.vary(1.0)
        middle = s.time - 0.5
        return _apart(s, np.outer(middle * of_front * way, s.axis), np.outer(middle * of_rear * way, s.axis))
    return race


def _side_by_side(s: Scene) -> tuple[Pose, Pose]:
    path = np.outer(s.time, s.across) * s.vary(48) * s.sense()
    return _apart(s, path, path)


def _cross_paths(s: Scene) -> tuple[Pose, Pose]:
    """Ways that cross at a right angle; the second shape gets there later."""
    along, across = s.axis * s.vary(70), s.across * s.vary(70) * s.sense()
    return pair(s, np.outer(s.time - 0.25, along), np.outer(s.time - 0.75, across))


def _spin(first: ndarray, second: ndarray, s: Scene) -> tuple[Pose, Pose]:
    rest, way = s.distance / 2 * s.axis, np.deg2rad(s.vary(210)) * s.sense()
    return posed(s, rest, first * way), posed(s, -rest, second * way)


def _pulse(sense: int) -> _Pair:
    def pulse(s: Scene) -> tuple[Pose, Pose]:
        rest, beat, most = s.distance / 2 * s.axis, np.sin(_beat(s)), 1 + s.vary(0.4)
        return (posed(s, rest, scale=at_mean_size(most**beat)),
                posed(s, -rest, scale=at_mean_size(most**(sense * beat))))
    return pulse


def _swap_sizes(s: Scene) -> tuple[Pose, Pose]:
    rest, way = s.distance / 2 * s.axis, s.vary(2.0) ** (s.time - 0.5)
    return posed(s, rest, scale=at_mean_size(way)), posed(s, -rest, scale=at_mean_size(1 / way))


RELATIONS: dict[str, _Pair] = {
    "oscillate_together": _oscillate("axis", "axis"), "clap": _oscillate("axis", "axis", sense=-1),
    "sway": _oscillate("across", "across"), "oscillate_late": _oscillate("across", "across", lag=0.25),
    "oscillate_crosswise": _oscillate("axis", "across"), "oscillate_alternately": _alternate,
    "circle_together": _circle(), "circle_opposed": _circle(lag=0.5), "circle_mirrored": _circle(mirrored=True),
    "moon": _moon, "spiral_out": _spiral(0.3, 0.45),
    "catch_up": _race(60, 20), "outrun": _race(20, 60), "side_by_side": _side_by_side, "cross_paths": _cross_paths,
    "spin_together": lambda s: _spin(s.time, s.time, s),
    "spin_alternately": lambda s: _spin(ramp(s.time, 0, 0.5), ramp(s.time, 0.5, 1), s),
    "pulse_together": _pulse(1), "pulse_alternately": _pulse(-1), "swap_sizes": _swap_sizes,
}
