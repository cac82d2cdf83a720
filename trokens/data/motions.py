"""The motions of Moving Shapes: where two shapes are, how they are turned and how large, over time.

Every motion moves the same two shapes, laid out by one class-independent draw, so that no class can be told by
the number, the places or the mean size of its shapes. A motion of one shape is made by both alike; a relational one
is defined by what the two do to each other. Lengths are in units of a frame 128 pixels wide, angles in radians,
clockwise in the picture (x right, y down).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

SPLITS: dict[str, tuple[str, ...]] = {
    "train": (
        "translate_right", "translate_up", "translate_down", "translate_up_left", "translate_down_right",
        "rotate_clockwise", "zoom_in", "oscillate_horizontal", "circle_counterclockwise", "stop_and_go", "bounce",
        "approach", "follow", "swap", "one_approaches", "collide", "push", "seesaw", "take_turns", "gears",
    ),
    "val": ("translate_down_left", "zigzag", "pass_by", "spiral_in"),
    "test": (
        "translate_left", "translate_up_right", "rotate_counterclockwise", "zoom_out", "oscillate_vertical",
        "circle_clockwise", "fall", "separate", "orbit", "one_leaves",
    ),
}


@dataclass(frozen=True)
class Pose:
    """One shape over time: ``center`` (T, 2), ``angle`` (T,) and ``scale`` (T,), all float64."""

    center: ndarray
    angle: ndarray
    scale: ndarray


@dataclass(frozen=True)
class Variation:
    """How much clips of one class differ, plus or minus.

    Attributes:
        direction: Of a movement, in degrees.
        speed: Of movements and turns, as a fraction.
        axis: Of the line that the two shapes lie on, in degrees from the horizontal.
        distance: Of the two shapes.
    """

    direction: float
    speed: float
    axis: float
    distance: float


@dataclass(frozen=True)
class Scene:
    """What a motion is drawn from.

    Attributes:
        time: 0 at the first frame to 1 at the last, (T,).
        rng: Source of the motion's own draws.
        variation: Their spread.
        axis: Unit vector from the second shape to the first, (2,).
        distance: Distance of the two shapes at rest.
    """

    time: ndarray
    rng: np.random.Generator
    variation: Variation
    axis: ndarray
    distance: float

    def vary(self, value: float) -> float:
        """``value`` times a factor of this clip."""
        return value * (1 + self.rng.uniform(-1, 1) * self.variation.speed)

    def phase(self) -> float:
        return self.rng.uniform(0, 2 * np.pi)

    def heading(self, degrees: float) -> ndarray:
        """Unit vector (2,) that points ``degrees`` clockwise from the right, plus this clip's deviation."""
        return unit(np.deg2rad(degrees + self.rng.uniform(-1, 1) * self.variation.direction))

    @property
    def across(self) -> ndarray:
        """Unit vector (2,) a quarter turn clockwise from the axis."""
        return np.array([-self.axis[1], self.axis[0]])


def unit(angle: float | ndarray) -> ndarray:
    """(...,) radians to unit vectors (..., 2)."""
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def poses(motion: str, time: ndarray, variation: Variation, rng: np.random.Generator) -> tuple[Pose, Pose]:
    """Draw the two shapes' poses for one clip.

    Args:
        motion: A class name of ``SPLITS``.
        time: (T,) from 0 to 1.

    Raises:
        ValueError: No motion has this name.
    """
    if motion not in ALONE and motion not in TOGETHER:
        raise ValueError(f"Motion '{motion}' is unknown; expected one of {', '.join(sorted({**ALONE, **TOGETHER}))}.")
    middle = 64 + rng.uniform(-7, 7, 2)
    axis = unit(np.deg2rad(rng.uniform(-1, 1) * variation.axis))
    scene = Scene(time, rng, variation, axis, distance=50 + rng.uniform(-1, 1) * variation.distance)
    if motion in TOGETHER:
        first, second = TOGETHER[motion](scene)
        shift = middle - (first.center + second.center).mean(0) / 2
    else:
        first = second = ALONE[motion](scene)
        rest = scene.distance / 2 * scene.axis
        first, second = _moved(first, rest), _moved(second, -rest)
        shift = middle - first.center.mean(0) + rest
    return _moved(first, shift), _moved(second, shift)


def _moved(pose: Pose, offset: ndarray) -> Pose:
    return Pose(pose.center + offset, pose.angle, pose.scale)


def _pose(scene: Scene, center: ndarray | None = None, angle: ndarray | None = None,
          scale: ndarray | None = None) -> Pose:
    still = np.zeros_like(scene.time)
    return Pose(np.zeros((len(still), 2)) if center is None else center,
                still if angle is None else angle, still + 1 if scale is None else scale)


def _ramp(time: ndarray, start: float, stop: float) -> ndarray:
    """0 before ``start``, 1 after ``stop``, straight between them."""
    return np.clip((time - start) / (stop - start), 0, 1)


# Motions that both shapes make alike ---------------------------------------------------------------------------

def _translate(degrees: float) -> Callable[[Scene], Pose]:
    return lambda s: _pose(s, np.outer(s.time, s.heading(degrees) * s.vary(46)))


def _rotate(sense: int) -> Callable[[Scene], Pose]:
    return lambda s: _pose(s, angle=s.time * sense * np.deg2rad(s.vary(210)))


def _zoom(sense: int) -> Callable[[Scene], Pose]:
    def zoom(s: Scene) -> Pose:
        scale = s.vary(2.0) ** (sense * (s.time - 0.5))
        return _pose(s, scale=scale / np.sqrt((scale**2).mean()))  # the same mean area as that of any other clip
    return zoom


def _oscillate(degrees: float) -> Callable[[Scene], Pose]:
    return lambda s: _pose(s, np.outer(np.sin(2 * np.pi * s.vary(1.4) * s.time + s.phase()),
                                       s.heading(degrees) * s.vary(22)))


def _circle(sense: int) -> Callable[[Scene], Pose]:
    return lambda s: _pose(s, s.vary(22) * unit(sense * 2 * np.pi * s.vary(1.0) * s.time + s.phase()))


def _zigzag(s: Scene) -> Pose:
    beat = (s.vary(2.0) * s.time + s.rng.uniform()) % 1
    return _pose(s, np.outer(s.time, s.heading(0) * s.vary(42)) + np.outer(np.abs(beat - 0.5), s.heading(90) * 56))


def _stop_and_go(s: Scene) -> Pose:
    steps = (_ramp(s.time, 0, 0.2) + _ramp(s.time, 0.4, 0.6) + _ramp(s.time, 0.8, 1)) / 3
    return _pose(s, np.outer(steps, s.heading(0) * s.vary(48)))


def _fall(s: Scene) -> Pose:
    return _pose(s, np.outer(s.time**2, s.heading(90) * s.vary(56)))


def _bounce(s: Scene) -> Pose:
    beat = (s.vary(1.6) * s.time + s.rng.uniform()) % 1
    drift = np.outer(s.time, s.heading(0) * s.rng.choice([-1, 1]) * 14)
    return _pose(s, drift + np.outer(4 * beat * (1 - beat), s.heading(-90) * s.vary(28)))


ALONE: dict[str, Callable[[Scene], Pose]] = {
    "translate_right": _translate(0), "translate_down_right": _translate(45), "translate_down": _translate(90),
    "translate_down_left": _translate(135), "translate_left": _translate(180), "translate_up_left": _translate(225),
    "translate_up": _translate(270), "translate_up_right": _translate(315),
    "rotate_clockwise": _rotate(1), "rotate_counterclockwise": _rotate(-1),
    "zoom_in": _zoom(1), "zoom_out": _zoom(-1),
    "oscillate_horizontal": _oscillate(0), "oscillate_vertical": _oscillate(90),
    "circle_clockwise": _circle(1), "circle_counterclockwise": _circle(-1),
    "zigzag": _zigzag, "stop_and_go": _stop_and_go, "fall": _fall, "bounce": _bounce,
}


# Motions of two shapes relative to each other ------------------------------------------------------------------

def _pair(s: Scene, first: ndarray, second: ndarray) -> tuple[Pose, Pose]:
    return _pose(s, first), _pose(s, second)


def _gap(s: Scene, part: ndarray, of_second: float) -> tuple[Pose, Pose]:
    """Distance going from far (part 0) to near (part 1); ``of_second`` is the second shape's share of the way."""
    gap = np.outer(s.distance + s.vary(48) * (0.5 - part), s.axis)
    return _pair(s, (1 - of_second) * gap, -of_second * gap)


def _push(s: Scene) -> tuple[Pose, Pose]:
    near, way = 0.75 * s.distance, np.outer(s.time, s.axis) * s.vary(56)
    touch = np.outer(np.maximum(s.time - 0.5, 0), s.axis) * s.vary(56)
    return _pair(s, -way, -touch - (near + 28) * s.axis)


def _follow(s: Scene) -> tuple[Pose, Pose]:
    def path(way: ndarray) -> ndarray:
        return np.outer(way, s.axis) + np.outer(18 * np.sin(way * 2 * np.pi / 76 + phase), s.across)
    phase, way = s.phase(), s.time * s.vary(48)
    return _pair(s, path(way + s.distance), path(way))


def _turned(s: Scene, turn: ndarray, radius: float | ndarray) -> ndarray:
    """(T, 2) at ``radius`` from the origin, ``turn`` (T,) radians clockwise from the axis."""
    return np.asarray(radius)[..., None] * (np.outer(np.cos(turn), s.axis) + np.outer(np.sin(turn), s.across))


def _swap(s: Scene) -> tuple[Pose, Pose]:
    turn = np.pi * s.time * s.rng.choice([-1, 1])
    path = s.distance * 0.6 * (np.outer(np.cos(turn), s.axis) + 0.5 * np.outer(np.sin(turn), s.across))
    return _pair(s, path, -path)


def _orbit(s: Scene) -> tuple[Pose, Pose]:
    turn = s.rng.choice([-1, 1]) * 2 * np.pi * s.vary(0.75) * s.time + s.phase()
    path = _turned(s, turn, s.distance)
    return _pair(s, 0.7 * path, -0.3 * path)  # about their common middle, the second one narrowly


def _spiral_in(s: Scene) -> tuple[Pose, Pose]:
    turn = s.rng.choice([-1, 1]) * 2 * np.pi * s.vary(0.6) * s.time
    path = _turned(s, turn, s.distance * (0.75 - 0.45 * s.time))
    return _pair(s, path, -path)


def _across(s: Scene, way: ndarray) -> tuple[Pose, Pose]:
    """Both move across the axis, in opposite directions, by ``way`` (T,)."""
    rest, path = s.distance / 2 * s.axis, np.outer(way, s.across)
    return _pair(s, rest + path, -rest - path)


def _take_turns(s: Scene) -> tuple[Pose, Pose]:
    rest, way = s.distance / 2 * s.axis, s.across * s.vary(40) * s.rng.choice([-1, 1])
    return _pair(s, rest + np.outer(_ramp(s.time, 0, 0.5), way), -rest + np.outer(_ramp(s.time, 0.5, 1), way))


def _gears(s: Scene) -> tuple[Pose, Pose]:
    turn = s.time * np.deg2rad(s.vary(210)) * s.rng.choice([-1, 1])
    rest = np.tile(s.distance / 2 * s.axis, (len(turn), 1))
    return _pose(s, rest, turn), _pose(s, -rest, -turn)


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
