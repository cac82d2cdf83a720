"""Distances of motion and looks, joined into one."""

import numpy as np
import torch

from trokens.recognize.calibrate import Calibration
from trokens.recognize.compare import NEAR, Distances, bounded


def test_what_is_far_is_far():
    near = bounded(torch.tensor([0.0, 0.1, 0.2, 0.3, NEAR], dtype=torch.float64))
    assert near[0] == 0 and (near.diff() > 0).all() and abs(near[-1] - (1 - np.exp(-1))) < 1e-12
    far = bounded(torch.tensor([1.0, 1.5, 1.9], dtype=torch.float64))
    assert (far.diff() > 0).all() and far.max() < 1  # they keep their order
    assert far[2] - far[0] < 0.01 * (near[3] - near[1])


def test_motion_that_resembles_nothing_leaves_the_answer_to_looks():
    """A clip whose action is seen from another side: all examples move otherwise, one of them a little less so."""
    motion, looks = torch.tensor([[1.5, 1.1, 1.2]], dtype=torch.float64), np.array([[1.2, 1.7, 1.7]])
    moves = np.array([0.05])
    found = Distances(bounded(motion).numpy(), looks, moves)
    assert found.joined(Calibration().share).argmin() == 0
    assert found._replace(motion=motion.numpy()).joined(Calibration().share).argmin() == 1  # had it not been bounded
    alike = found._replace(motion=bounded(torch.tensor([[1.5, 0.2, 1.2]], dtype=torch.float64)).numpy())
    assert alike.joined(Calibration().share).argmin() == 1  # motion that is alike counts most
