"""What a motion is drawn from, and what it gives: where shapes are, how they are turned and how large, over time.

Lengths are in units of a frame 128 pixels wide, angles in radians, clockwise in the picture (x right, y down).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray


@dataclass(frozen=True)
class Pose:
    """One shape over time: ``center`` (T, 2), ``angle`` (T,) and ``scale`` (T,), all float64."""

    center: ndarray
    angle: ndarray
    scale: ndarray

    def moved(self, offset: ndarray) -> Pose:
        return Pose(self.center + offset, self.angle, self.scale)


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

    def sense(self) -> int:
        """1 or -1: which of two opposite ways."""
        return self.rng.choice([-1, 1])

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


def posed(scene: Scene, center: ndarray | None = None, angle: ndarray | None = None,
          scale: ndarray | None = None) -> Pose:
    """A pose that rests at the origin, as it is, but for what is given; ``center`` is (T, 2), or (2,) at rest."""
    still = np.zeros_like(scene.time)
    center = np.zeros(2) if center is None else center
    return Pose(np.broadcast_to(center, (len(still), 2)), still if angle is None else angle,
                still + 1 if scale is None else scale)


def at_mean_size(scale: ndarray) -> ndarray:
    """(T,) scaled to the same mean area as that of any other clip."""
    return scale / np.sqrt((scale**2).mean())


def ramp(time: ndarray, start: float, stop: float) -> ndarray:
    """0 before ``start``, 1 after ``stop``, straight between them."""
    return np.clip((time - start) / (stop - start), 0, 1)


def pair(s: Scene, first: ndarray, second: ndarray) -> tuple[Pose, Pose]:
    """Two shapes that only move."""
    return posed(s, first), posed(s, second)


def turned(s: Scene, turn: ndarray, radius: float | ndarray) -> ndarray:
    """(T, 2) at ``radius`` from the origin, ``turn`` (T,) radians clockwise from the axis."""
    return np.asarray(radius)[..., None] * (np.outer(np.cos(turn), s.axis) + np.outer(np.sin(turn), s.across))
