"""The motions of Moving Shapes: where two shapes are, how they are turned and how large, over time.

Every motion moves the same two shapes, laid out by one class-independent draw, so that no class can be told by
the number, the places or the mean size of its shapes. A motion of one shape is made by both alike; a relational one
is defined by what the two do to each other.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from trokens.moving_shapes.alone import ALONE, ANY_VIEW
from trokens.moving_shapes.relations import RELATIONS
from trokens.moving_shapes.scene import Pose, Scene, Variation, unit
from trokens.moving_shapes.together import TOGETHER

Splits = dict[str, tuple[str, ...]]

MOTION_SPLITS: Splits = {
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

VIEW_SPLITS: Splits = {
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
"""Of motions that are the same from any side: turned, mirrored, near or far, slow or fast."""

RELATION_SPLITS: Splits = {
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
"""Of motions that two shapes make with each other, all the same from any side too."""


def poses(motion: str, time: ndarray, variation: Variation, rng: np.random.Generator) -> tuple[Pose, Pose]:
    """Draw the two shapes' poses for one clip.

    Args:
        motion: A class name of one of the splits above.
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
