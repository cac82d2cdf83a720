"""Motions of one shape, which both shapes of a clip make alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trokens.moving_shapes.scene import Pose, Scene, at_mean_size, posed, ramp, unit


def _translate(degrees: float) -> Callable[[Scene], Pose]:
    return lambda s: posed(s, np.outer(s.time, s.heading(degrees) * s.vary(46)))


def _rotate(sense: int) -> Callable[[Scene], Pose]:
    return lambda s: posed(s, angle=s.time * sense * np.deg2rad(s.vary(210)))


def _zoom(sense: int) -> Callable[[Scene], Pose]:
    def zoom(s: Scene) -> Pose:
        return posed(s, scale=at_mean_size(s.vary(2.0) ** (sense * (s.time - 0.5))))
    return zoom


def _oscillate(degrees: float, periods: float = 1.4) -> Callable[[Scene], Pose]:
    return lambda s: posed(s, np.outer(np.sin(2 * np.pi * s.vary(periods) * s.time + s.phase()),
                                       s.heading(degrees) * s.vary(22)))


def _circle(sense: int) -> Callable[[Scene], Pose]:
    return lambda s: posed(s, s.vary(22) * unit(sense * 2 * np.pi * s.vary(1.0) * s.time + s.phase()))


def _zigzag(s: Scene) -> Pose:
    beat = (s.vary(2.0) * s.time + s.rng.uniform()) % 1
    return posed(s, np.outer(s.time, s.heading(0) * s.vary(42)) + np.outer(np.abs(beat - 0.5), s.heading(90) * 56))


def _stop_and_go(s: Scene) -> Pose:
    steps = (ramp(s.time, 0, 0.2) + ramp(s.time, 0.4, 0.6) + ramp(s.time, 0.8, 1)) / 3
    return posed(s, np.outer(steps, s.heading(0) * s.vary(48)))


def _fall(s: Scene) -> Pose:
    return posed(s, np.outer(s.time**2, s.heading(90) * s.vary(56)))


def _bounce(s: Scene) -> Pose:
    beat = (s.vary(1.6) * s.time + s.rng.uniform()) % 1
    drift = np.outer(s.time, s.heading(0) * s.sense() * 14)
    return posed(s, drift + np.outer(4 * beat * (1 - beat), s.heading(-90) * s.vary(28)))


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


# Motions that stay what they are when a scene is turned, mirrored, nearer or farther -------------------------------

def _accelerate(s: Scene) -> Pose:
    return posed(s, np.outer(s.time**2, s.heading(0) * s.vary(48)))


def _brake(s: Scene) -> Pose:
    return posed(s, np.outer(1 - (1 - s.time)**2, s.heading(0) * s.vary(48)))


def _corner(s: Scene) -> Pose:
    legs = ramp(s.time, 0, 0.5), ramp(s.time, 0.5, 1)
    return posed(s, np.outer(legs[0], s.heading(0) * s.vary(36)) + np.outer(legs[1], s.heading(90) * s.vary(36)))


def _roll(s: Scene) -> Pose:
    way = s.vary(46)
    return posed(s, np.outer(s.time, s.heading(0) * way), angle=s.time * way / 21)  # as a wheel of that radius does


def _spiral(s: Scene) -> Pose:
    turn = 2 * np.pi * s.vary(1.5) * s.time + s.phase()
    return posed(s, s.vary(28) * s.time[:, None] * unit(turn))


def _figure_eight(s: Scene) -> Pose:
    turn = 2 * np.pi * s.vary(1.2) * s.time + s.phase()
    along, across = s.heading(0) * s.vary(26), s.heading(90) * s.vary(16)
    return posed(s, np.outer(np.sin(turn), along) + np.outer(np.sin(2 * turn), across))


def _swing(s: Scene) -> Pose:
    return posed(s, angle=np.deg2rad(s.vary(60)) * np.sin(2 * np.pi * s.vary(1.8) * s.time + s.phase()))


def _pulse(s: Scene) -> Pose:
    beat = np.sin(2 * np.pi * s.vary(1.8) * s.time + s.phase())
    return posed(s, scale=at_mean_size((1 + s.vary(0.4)) ** beat))


ANY_VIEW: dict[str, Callable[[Scene], Pose]] = {
    "straight": _translate(0), "accelerate": _accelerate, "brake": _brake, "corner": _corner, "roll": _roll,
    "oscillate": _oscillate(0, periods=1.8), "circle": _circle(1), "spiral": _spiral, "figure_eight": _figure_eight,
    "rotate": _rotate(1), "swing": _swing, "pulse": _pulse,
}
