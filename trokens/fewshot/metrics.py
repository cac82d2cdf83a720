"""Accuracy over episodes and its interval."""

import math

import numpy as np
import torch
from torch import Tensor


def mean_and_interval(accuracy: Tensor | np.ndarray) -> tuple[float, float]:
    """Mean of per-episode accuracies and the half width of its 95 % confidence interval.

    Args:
        accuracy: Share of right answers in each episode, (E,), in [0, 1].

    Returns:
        (mean, 1.96 * s / sqrt(E)) with s the sample standard deviation (E - 1), in the unit of the input.
        The interval is nan for a single episode.
    """
    accuracy = torch.as_tensor(accuracy).double()
    if len(accuracy) < 2:
        return accuracy.mean().item(), math.nan
    return accuracy.mean().item(), 1.96 * accuracy.std(unbiased=True).item() / math.sqrt(len(accuracy))
