"""Pauses of a recording: long stretches of time in which a file shows no new frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHORTEST = 1.0  # s; a shorter one is nothing to wonder at in a video of an uneven rate
_USUAL = 10  # times the clip's own median interval, so that a slideshow or a time lapse has none
LONGEST_INTERVAL = 60.0  # s; whatever the clip's own rate, nothing moves between two frames that are further apart


class Pause(NamedTuple):
    """A stretch without frames: it begins behind frame number ``frame``, and lasts, both in seconds."""

    frame: int
    begin: float
    length: float


def close_pauses(times: np.ndarray) -> tuple[np.ndarray, list[Pause]]:
    """Leave the pauses out of a line of time: what follows comes as soon as frames of this clip usually do.

    Args:
        times: Time of each frame in seconds, ascending from 0, (F,).

    Returns:
        The times (F,) without pauses, the given ones where there are none; and the pauses.
    """
    steps = np.diff(times)
    if not len(steps) or steps.max() <= SHORTEST:
        return times, []
    usual = float(np.median(steps))
    longest = min(max(SHORTEST, _USUAL * usual), LONGEST_INTERVAL)
    where = np.flatnonzero(steps > longest)
    if not len(where):
        return times, []
    pauses = [Pause(int(i), float(times[i]), float(steps[i])) for i in where]
    steps[where] = min(usual, LONGEST_INTERVAL)
    return np.concatenate([times[:1], times[0] + np.cumsum(steps)]), pauses
