"""Accuracy over episodes and its interval."""

import math

import pytest
import torch

from trokens.fewshot.metrics import mean_and_interval


def test_the_interval_is_1_96_standard_errors_with_the_sample_deviation():
    mean, interval = mean_and_interval(torch.tensor([0.0, 1.0, 1.0, 1.0]))
    assert mean == 0.75
    assert interval == pytest.approx(1.96 * 0.5 / 2)  # s = sqrt(3/4 * 1/4 * 4/3) = 0.5


def test_equal_episodes_have_no_interval_and_a_single_one_no_known_one():
    assert mean_and_interval(torch.full((7,), 0.4, dtype=torch.float64)) == pytest.approx((0.4, 0.0))
    mean, interval = mean_and_interval(torch.tensor([0.5]))
    assert mean == 0.5 and math.isnan(interval)


def test_many_episodes_are_averaged_without_rounding():
    accuracy = torch.tensor([0.2] * 9_999 + [0.4], dtype=torch.float32)
    assert mean_and_interval(accuracy)[0] == pytest.approx(0.20002, abs=1e-8)
