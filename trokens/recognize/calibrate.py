"""What the examples say about the comparison itself, each left out in turn: weights, confidence, what is too far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy.special import log_softmax
from scipy.stats import t as student

from trokens.recognize.compare import MOTION_SHARE, Distances, joined, to_actions

# With one example an action there is nothing to measure these by; this one gives the least loss in 1-shot episodes
# of real and of rendered clips.
TEMPERATURE = 0.06
_OCTAVES = np.arange(-2, 2.25, 0.25)  # of the temperature, around that at the start
_SHARES = (0.0, 1 / 4, 1 / 2, 2 / 3, MOTION_SHARE, 7 / 8, 1.0)
_DRAWN = 2         # examples that the mean of all actions counts as, beside those of one action
_SMALLEST = 1e-3   # distance; equal clips have none
_PRIOR_SHARE, _PRIOR_OCTAVES = 0.2, 1.0  # standard deviations of what is expected before any example is left out


class Calibration(NamedTuple):
    """How distances are read.

    Attributes:
        share: Of motion beside looks.
        temperature: Distance over which an action becomes e times less probable.
    """

    share: float = MOTION_SHARE
    temperature: float = TEMPERATURE


def calibrate(found: Distances, action: ndarray, num_actions: int, start: Calibration) -> Calibration:
    """Choose what makes the examples' own actions most probable, when each is left out.

    The sum of their negative log probabilities is minimized; each choice away from the default costs a little, as a
    Gaussian prior, so that few examples change little. Examples that are alone in their action are not asked.

    Args:
        found: Between all examples, (E, E).
        action: Of each example, (E,).
        start: What holds before any example is left out.
    """
    asked = np.bincount(action, minlength=num_actions)[action] > 1
    if not asked.any():
        return start
    shares = _SHARES if found.motion is not None and found.looks is not None else (start.share,)
    best, least = start, np.inf
    for share in shares:
        distance = left_out(joined(found, share), action, num_actions)[asked]
        for octaves in _OCTAVES:
            temperature = start.temperature * 2.0 ** octaves
            chosen = log_softmax(-distance / temperature, axis=1)[np.arange(asked.sum()), action[asked]]
            cost = -chosen.sum() + ((share - start.share) / _PRIOR_SHARE) ** 2 / 2 + (
                octaves / _PRIOR_OCTAVES) ** 2 / 2
            if cost < least - 1e-9:
                best, least = Calibration(share, float(temperature)), cost
    return best


def left_out(distance: ndarray, action: ndarray, num_actions: int) -> ndarray:
    """Distance of each example to each action without that example itself: (E, E) -> (E, num_actions)."""
    others = distance.copy()
    np.fill_diagonal(others, np.inf)
    return to_actions(others, action, num_actions)


def one_example(reject: float, label) -> ValueError:
    """Why clips of none of the actions cannot be told."""
    return ValueError(f"reject is {reject:g}, but action '{label}' has one example: the distance beyond which a clip "
                      "is unknown is measured by leaving examples out, so every action needs two.")


def limits(distance: ndarray, action: ndarray, classes: ndarray, reject: float) -> ndarray:
    """The distance to each action beyond which a clip is none of them, (num_actions,).

    It is the upper end of a prediction interval (Student's t, of the logarithms): the next clip of the action
    lies beyond it with probability ``reject``, judged by the distances of its examples to the others of it, each left
    out. An action alone has too few examples for that: its mean is drawn to that of all, and the spread is common.

    Args:
        distance: Between all examples, (E, E).
        action: Of each example, (E,).
        classes: The actions.

    Raises:
        ValueError: An action has one example.
    """
    counts = np.bincount(action, minlength=len(classes))
    if counts.min() < 2:
        raise one_example(reject, classes[counts.argmin()])
    own = left_out(distance, action, len(classes))[np.arange(len(action)), action]
    own = np.log(np.maximum(own, _SMALLEST))
    mean = (np.bincount(action, own) + _DRAWN * own.mean()) / (counts + _DRAWN)
    freedom = len(own) - len(classes)  # two examples see the distance between them from both ends
    spread = np.sqrt(((own - mean[action]) ** 2).sum() / freedom)
    return np.exp(mean + student.ppf(1 - reject, freedom) * spread * np.sqrt(1 + 1 / counts))
