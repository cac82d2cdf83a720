"""Shapes that have no part in a clip's motion: they drift, or each has a motion of its own."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from trokens.moving_shapes.alone import ANY_VIEW
from trokens.moving_shapes.scene import Pose, Scene, Variation, unit

_OWN = ("straight", "accelerate", "corner", "oscillate", "circle", "figure_eight")  # of those that stand out most
_VARIATION = Variation(direction=180, speed=0.3, axis=180, distance=0)


def drifting(rng: np.random.Generator, time: ndarray, drift: float) -> Pose:
    """A shape that drifts slowly about a random place."""
    center = rng.uniform(24, 104, 2) + np.outer(time - 0.5, rng.normal(0, drift, 2))
    return Pose(center, np.zeros_like(time), np.ones_like(time))


def roaming(rng: np.random.Generator, time: ndarray) -> Pose:
    """A shape that moves as much as those that matter, about a random place, in a way of its own."""
    motion = ANY_VIEW[_OWN[rng.integers(len(_OWN))]]
    pose = motion(Scene(time, rng, _VARIATION, axis=unit(0.0), distance=0))
    return pose.moved(rng.uniform(24, 104, 2) - pose.center.mean(0))
