"""More motions of two shapes: many differ in nothing but what one does while the other does the same.

What each does alone is one of a few things (to oscillate, to circle, to go straight, to spin, to grow and shrink);
the class is how the two go together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from trokens.moving_shapes.scene import Pose, Scene, at_mean_size, pair, posed, ramp, turned

_Pair = Callable[[Scene], tuple[Pose, Pose]]
_ROOMY = 1.2  # times the usual distance, for shapes that move toward each other


def _apart(s: Scene, first: ndarray, second: ndarray, distance: float = 1.0) -> tuple[Pose, Pose]:
    """Paths (T, 2) about two places that lie ``distance`` times the scene's from each other."""
    rest = distance * s.distance / 2 * s.axis
    return pair(s, rest + first, -rest + second)


def _beat(s: Scene, periods: float = 1.4) -> ndarray:
    """Angle of something that repeats, (T,), from a random start."""
    return 2 * np.pi * s.vary(periods) * s.time + s.phase()


# Both oscillate -------------------------------------------------------------------------------------------------

def _oscillate(first: str, second: str, lag: float = 0.0, sense: int = 1) -> _Pair:
    """Along or across the axis; the second one ``lag`` periods behind, or against the first one (sense -1)."""
    def oscillate(s: Scene) -> tuple[Pose, Pose]:
        beat, way = _beat(s), s.vary(16)
        return _apart(s, np.outer(np.sin(beat), way * getattr(s, first)),
                      np.outer(sense * np.sin(beat - 2 * np.pi * lag), way * getattr(s, second)), _ROOMY)
    return oscillate


def _alternate(s: Scene) -> tuple[Pose, Pose]:
    """Each oscillates for half the time and rests for the other half."""
    way = s.vary(20) * s.rng.choice([-1, 1]) * s.across
    halves = ramp(s.time, 0, 0.5), ramp(s.time, 0.5, 1)
    return _apart(s, *(np.outer(np.sin(2 * np.pi * half), way) for half in halves))


# Both circle ----------------------------------------------------------------------------------------------------

def _circle(lag: float = 0.0, mirrored: bool = False) -> _Pair:
    def circle(s: Scene) -> tuple[Pose, Pose]:
        turn, radius = _beat(s, 1.0) * s.rng.choice([-1, 1]), s.vary(17)
        other = np.pi - turn if mirrored else turn - 2 * np.pi * lag
        return _apart(s, turned(s, turn, radius), turned(s, other, radius), _ROOMY)
    return circle


def _moon(s: Scene) -> tuple[Pose, Pose]:
    path = turned(s, _beat(s, 0.75) * s.rng.choice([-1, 1]), s.distance)
    return pair(s, path, 0 * path)


def _spiral_out(s: Scene) -> tuple[Pose, Pose]:
    turn = s.rng.choice([-1, 1]) * 2 * np.pi * s.vary(0.6) * s.time
    path = turned(s, turn, s.distance * (0.3 + 0.45 * s.time))
    return pair(s, path, -path)


# Both go straight -----------------------------------------------------------------------------------------------

def _race(of_rear: float, of_front: float) -> _Pair:
    """One behind the other, going ``of_rear`` and ``of_front`` far; the gap is the usual one in the middle of time."""
    def race(s: Scene) -> tuple[Pose, Pose]:
        way = s.vary(1.0)
        middle = s.time - 0.5
        return _apart(s, np.outer(middle * of_front * way, s.axis), np.outer(middle * of_rear * way, s.axis))
    return race


def _side_by_side(s: Scene) -> tuple[Pose, Pose]:
    path = np.outer(s.time, s.across) * s.vary(48) * s.rng.choice([-1, 1])
    return _apart(s, path, path)


def _cross_paths(s: Scene) -> tuple[Pose, Pose]:
    """Ways that cross at a right angle; the second shape gets there later."""
    along, across = s.axis * s.vary(70), s.across * s.vary(70) * s.rng.choice([-1, 1])
    return pair(s, np.outer(s.time - 0.25, along), np.outer(s.time - 0.75, across))


# Both stay where they are ---------------------------------------------------------------------------------------

def _spin(first: ndarray, second: ndarray, s: Scene) -> tuple[Pose, Pose]:
    rest = np.tile(s.distance / 2 * s.axis, (len(first), 1))
    way = np.deg2rad(s.vary(210)) * s.rng.choice([-1, 1])
    return posed(s, rest, first * way), posed(s, -rest, second * way)


def _pulse(sense: int) -> _Pair:
    def pulse(s: Scene) -> tuple[Pose, Pose]:
        rest, beat, most = np.tile(s.distance / 2 * s.axis, (len(s.time), 1)), np.sin(_beat(s)), 1 + s.vary(0.4)
        return (posed(s, rest, scale=at_mean_size(most**beat)),
                posed(s, -rest, scale=at_mean_size(most**(sense * beat))))
    return pulse


def _swap_sizes(s: Scene) -> tuple[Pose, Pose]:
    rest, way = np.tile(s.distance / 2 * s.axis, (len(s.time), 1)), s.vary(2.0) ** (s.time - 0.5)
    return posed(s, rest, scale=at_mean_size(way)), posed(s, -rest, scale=at_mean_size(1 / way))


RELATIONS: dict[str, _Pair] = {
    "oscillate_together": _oscillate("axis", "axis"), "clap": _oscillate("axis", "axis", sense=-1),
    "sway": _oscillate("across", "across"), "oscillate_late": _oscillate("across", "across", lag=0.25),
    "oscillate_crosswise": _oscillate("axis", "across"), "oscillate_alternately": _alternate,
    "circle_together": _circle(), "circle_opposed": _circle(lag=0.5), "circle_mirrored": _circle(mirrored=True),
    "moon": _moon, "spiral_out": _spiral_out,
    "catch_up": _race(60, 20), "outrun": _race(20, 60), "side_by_side": _side_by_side, "cross_paths": _cross_paths,
    "spin_together": lambda s: _spin(s.time, s.time, s),
    "spin_alternately": lambda s: _spin(ramp(s.time, 0, 0.5), ramp(s.time, 0.5, 1), s),
    "pulse_together": _pulse(1), "pulse_alternately": _pulse(-1), "swap_sizes": _swap_sizes,
}
