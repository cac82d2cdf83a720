"""The motions of Moving Shapes: where two shapes are, how they are turned and how large, over time.

Every motion moves the same two shapes, laid out by one class-independent draw, so that no class can be told by
the number, the places or the mean size of its shapes. A motion of one shape is made by both alike; a relational one
is defined by what the two do to each other.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from trokens.moving_shapes.one_shape import ALONE, ANY_VIEW
from trokens.moving_shapes.scene import Pose, Scene, Variation, unit
from trokens.moving_shapes.two_shapes import RELATIONS, TOGETHER

MotionsOfSplit = dict[str, tuple[str, ...]]

BASIC_MOTIONS: MotionsOfSplit = {
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

VIEW_MOTIONS: MotionsOfSplit = {
    "train": (
        "straight", "brake", "roll", "spiral", "figure_eight", "pulse", "zoom_in", "stop_and_go", "bounce",
        "approach", "follow", "swap", "one_approaches", "collide", "push", "seesaw", "take_turns", "gears",
        "catch_up", "circle_mirrored",
    ),
    "val": ("swing", "zigzag", "pass_by", "spiral_in"),
    "test": (
        "accelerate", "corner", "oscillate", "circle", "rotate", "zoom_out", "separate", "orbit", "one_leaves", "clap",
    ),
}
"""These are the same from any side: turned, mirrored, near or far, slow or fast."""

RELATION_MOTIONS: MotionsOfSplit = {
    "train": (
        "approach", "one_approaches", "collide", "push", "follow", "swap", "seesaw", "take_turns", "gears",
        "oscillate_together", "oscillate_crosswise", "oscillate_alternately", "circle_together", "circle_mirrored",
        "moon", "spiral_out", "outrun", "spin_together", "pulse_alternately", "swap_sizes",
    ),
    "val": ("pass_by", "spiral_in", "oscillate_late", "side_by_side"),
    "test": (
        "separate", "one_leaves", "orbit", "clap", "sway", "circle_opposed", "catch_up", "cross_paths",
        "spin_alternately", "pulse_together",
    ),
}
"""Two shapes make these with each other; they are the same from any side too."""

_BYSTANDERS = ("straight", "accelerate", "corner", "oscillate", "circle", "figure_eight")  # those that stand out most
_ANY_WAY = Variation(direction=180, speed=0.3, axis=180, distance=0)


def poses(motion: str, time: ndarray, variation: Variation, rng: np.random.Generator) -> tuple[Pose, Pose]:
    """Draw the two shapes' poses for one clip.

    Args:
        motion: A name of one of the tables above.
        time: (T,) from 0 to 1.

    Raises:
        ValueError: No motion has this name.
    """
    alone, together = {**ALONE, **ANY_VIEW}, {**TOGETHER, **RELATIONS}
    if motion not in alone and motion not in together:
        raise ValueError(f"Motion '{motion}' is unknown; expected one of {', '.join(sorted({**alone, **together}))}.")
    middle = 64 + rng.uniform(-7, 7, 2)
    axis = unit(np.deg2rad(rng.uniform(-1, 1) * variation.axis))
    scene = Scene(time, rng, variation, axis, distance=50 + rng.uniform(-1, 1) * variation.distance)
    if motion in together:
        first, second = together[motion](scene)
        shift = middle - (first.center + second.center).mean(0) / 2
    else:
        first = second = alone[motion](scene)
        rest = scene.distance / 2 * scene.axis
        first, second = first.moved(rest), second.moved(-rest)
        shift = middle - first.center.mean(0) + rest
    return first.moved(shift), second.moved(shift)


def drifting(rng: np.random.Generator, time: ndarray, drift: float) -> Pose:
    """Draw a shape without a part in the clip's motion: it drifts slowly about a random place."""
    center = rng.uniform(24, 104, 2) + np.outer(time - 0.5, rng.normal(0, drift, 2))
    return Pose(center, np.zeros_like(time), np.ones_like(time))


def roaming(rng: np.random.Generator, time: ndarray) -> Pose:
    """Draw a shape that moves as much as the two that matter, about a random place, in a way of its own."""
    motion = ANY_VIEW[_BYSTANDERS[rng.integers(len(_BYSTANDERS))]]
    pose = motion(Scene(time, rng, _ANY_WAY, axis=unit(0.0), distance=0))
    return pose.moved(rng.uniform(24, 104, 2) - pose.center.mean(0))
