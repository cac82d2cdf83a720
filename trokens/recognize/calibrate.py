"""Leave-one-out calibration: how much motion counts, how sure an answer is, and what is too far.

Example i is asked for its own action y_i, with i itself left out. The share of motion and the temperature minimize

    - sum_i log softmax(-d_i / temperature)[y_i]
    + (share - share_0)^2 / (2 * 0.2^2) + log2(temperature / temperature_0)^2 / 2

with d_i the distances to the actions: the examples' own actions become most probable. A choice away from the values at
the start costs a little (a Gaussian prior), so that few examples change little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy.special import log_softmax
from scipy.stats import t as student

from trokens.recognize.compare import Distances, to_actions

_SHARES = (0.0, 1 / 4, 1 / 2, 2 / 3, 3 / 4, 7 / 8, 1.0)  # that are tried
_OCTAVES = np.arange(-2, 2.25, 0.25)  # of the temperature, around that at the start
_PRIOR_SHARE, _PRIOR_OCTAVES = 0.2, 1.0  # standard deviations of the prior
_SHRINKAGE = 2     # examples that the mean of all actions counts as, beside those of one action
_SMALLEST = 1e-3   # distance; equal clips have none


class Calibration(NamedTuple):
    """How distances are read; with one example an action, there is nothing to measure this by.

    Attributes:
        share: Of motion; looks have the rest.
        temperature: Distance over which an action becomes e times less probable. The default gives the least loss in
            1-shot episodes of real and of rendered clips.
    """

    share: float = 3 / 4
    temperature: float = 0.06


def calibrate(found: Distances, action: ndarray, num_actions: int, start: Calibration) -> Calibration:
    """Choose share and temperature as above. Examples that are alone in their action are not asked.

    Args:
        found: Between all examples, (E, E).
        action: Of each example, (E,).
        start: What holds before any example is left out.
    """
    asked = np.bincount(action, minlength=num_actions)[action] > 1
    if not asked.any():
        return start
    best, least = start, np.inf
    for share in _SHARES if found.motion is not None and found.looks is not None else (start.share,):
        distance = left_out(found.joined(share), action, num_actions)[asked]
        for octaves in _OCTAVES:
            temperature = start.temperature * 2.0 ** octaves
            own = log_softmax(-distance / temperature, axis=1)[np.arange(asked.sum()), action[asked]]
            cost = -own.sum() + ((share - start.share) / _PRIOR_SHARE) ** 2 / 2 + (octaves / _PRIOR_OCTAVES) ** 2 / 2
            if cost < least - 1e-9:
                best, least = Calibration(share, float(temperature)), cost
    return best


def left_out(distance: ndarray, action: ndarray, num_actions: int) -> ndarray:
    """Distance of each example to each action without that example itself: (E, E) -> (E, num_actions)."""
    others = distance.copy()
    np.fill_diagonal(others, np.inf)
    return to_actions(others, action, num_actions)


def limits(distance: ndarray, action: ndarray, num_actions: int, reject: float) -> ndarray:
    """The distance to each action beyond which a clip is none of them, (num_actions,).

    It is the upper end of a prediction interval (Student's t, of the logarithms): the next clip of the action lies
    beyond it with probability ``reject``, judged by the distances of its examples to the others of it, each left out.
    One action has too few examples for that, so its mean is shrunk toward that of all, and the spread is common.

    Args:
        distance: Between all examples, (E, E).
        action: Of each example, (E,); every action has two or more.
    """
    counts = np.bincount(action, minlength=num_actions)
    own = left_out(distance, action, num_actions)[np.arange(len(action)), action]
    own = np.log(np.maximum(own, _SMALLEST))
    mean = (np.bincount(action, own) + _SHRINKAGE * own.mean()) / (counts + _SHRINKAGE)
    freedom = len(own) - num_actions  # two examples see the distance between them from both ends
    spread = np.sqrt(((own - mean[action]) ** 2).sum() / freedom)
    return np.exp(mean + student.ppf(1 - reject, freedom) * spread * np.sqrt(1 + 1 / counts))
