"""Intervals over episodes, clips, classes and seeds."""

from dataclasses import replace

import numpy as np
import pytest
from test_outcomes import answered

from trokens.fewshot.metrics import mean_and_interval
from trokens.fewshot.outcomes import Outcomes
from trokens.fewshot.uncertainty import class_accuracies, difference, intervals, over_seeds


def drawn_test(rng, centers, clips, episodes, spread=0.9, n_way=5):
    """A test of clips that lie around the centers of their classes; the nearest support clip answers."""
    classes = len(centers)
    points = centers[:, None] + spread * rng.normal(size=(classes, clips, centers.shape[1]))
    points = points.reshape(classes * clips, -1)
    ways = np.argsort(rng.random((episodes, classes)), 1)[:, :n_way]
    rows = ways[..., None] * clips + np.argsort(rng.random((episodes, n_way, clips)), 2)[..., :2]
    support, query = rows[..., :1], rows[..., 1:]
    distances = np.linalg.norm(points[query] - points[support[..., 0]][:, None], axis=-1)[:, :, None]
    return Outcomes([str(i) for i in range(len(points))], [str(i) for i in range(classes)],
                    np.repeat(np.arange(classes), clips), support, query, distances.argmin(-1))


def test_leaving_out_equals_a_loop_over_what_is_left():
    outcomes = drawn_test(np.random.default_rng(0), np.random.default_rng(1).normal(size=(7, 4)), 6, 4000, n_way=3)
    values = outcomes.accuracy
    found = intervals(values, outcomes)
    means = np.array([values[(outcomes.ways != number).all(1)].mean() for number in range(7)])
    assert found.episodes == mean_and_interval(values)[1]
    roughly = 2.447 * np.sqrt(6 / 7 * ((means - means.mean())**2).sum())  # noise of drawing is in
    assert found.classes == pytest.approx(roughly, rel=0.05)
    share = 3 / 7
    moved = []
    for number in range(7):
        there, rest = (outcomes.ways == number).any(1), values[(outcomes.ways != number).all(1)].mean()
        for clip in np.flatnonzero(outcomes.class_of == number):
            kept = there & (outcomes.members != clip).all(1)
            moved.append((1 - share) * rest + share * values[kept].mean())
    moved = np.array(moved).reshape(7, 6)
    spread = 5 / 6 * ((moved - moved.mean(1, keepdims=True))**2).sum()
    assert found.clips == pytest.approx(2.03 * np.sqrt(spread), rel=0.1)


def test_the_intervals_hold_the_truth_as_often_as_they_promise():
    rng = np.random.default_rng(0)
    fixed = rng.normal(size=(10, 6))
    truth = np.mean([drawn_test(rng, fixed, 100, 4000).accuracy.mean() for _ in range(10)])
    held = []
    for _ in range(100):
        outcomes = drawn_test(rng, fixed, 12, 2000)
        found = intervals(outcomes.accuracy, outcomes)
        error = abs(outcomes.accuracy.mean() - truth)
        held.append((error <= found.episodes, error <= found.clips))
    episodes, clips = np.mean(held, 0)
    assert episodes < 0.6 and clips >= 0.9


def test_other_classes_are_held_by_the_interval_over_classes_alone():
    rng = np.random.default_rng(0)
    truth = np.mean([drawn_test(rng, rng.normal(size=(10, 6)), 30, 200).accuracy.mean() for _ in range(400)])
    held = []
    for _ in range(100):
        outcomes = drawn_test(rng, rng.normal(size=(10, 6)), 12, 1000)
        found = intervals(outcomes.accuracy, outcomes)
        error = abs(outcomes.accuracy.mean() - truth)
        held.append((error <= found.clips, error <= found.classes))
    clips, classes = np.mean(held, 0)
    assert clips < 0.85 and classes >= 0.88


def test_what_is_in_every_episode_cannot_be_left_out():
    all_classes = drawn_test(np.random.default_rng(0), np.random.default_rng(1).normal(size=(5, 4)), 6, 300, n_way=5)
    assert intervals(all_classes.accuracy, all_classes).classes is None
    all_clips = drawn_test(np.random.default_rng(0), np.random.default_rng(1).normal(size=(7, 4)), 2, 300, n_way=3)
    found = intervals(all_clips.accuracy, all_clips)
    assert found.clips is None and found.classes > 0


def test_a_difference_is_paired():
    better, worse = answered()[2], answered()[2]
    given = np.where(np.random.default_rng(3).random(worse.given.shape) < 0.2, (worse.given + 1) % 3, worse.given)
    better = replace(worse, given=np.where(worse.right, worse.given, given))  # what was right stays right
    found = difference(better, worse)
    values = better.accuracy - worse.accuracy
    assert found.mean == pytest.approx(values.mean()) and found.mean > 0
    assert (found.won, found.lost) == ((values > 0).mean(), 0)
    assert found.intervals == intervals(values, worse)
    assert found.intervals.episodes < intervals(worse.accuracy, worse).episodes


def test_other_episodes_cannot_be_paired():
    with pytest.raises(ValueError, match="have other episodes"):
        difference(answered(0)[2], answered(1)[2])


def test_seeds_have_students_interval():
    mean, spread, half_width = over_seeds([0.9, 0.8, 0.85])
    assert (mean, spread) == (pytest.approx(0.85), pytest.approx(0.05))
    assert half_width == pytest.approx(4.303 * 0.05 / np.sqrt(3), rel=1e-3)
    assert np.isnan(over_seeds([0.9])[1:]).all()


def test_each_class_has_its_accuracy():
    outcomes = answered(episodes=200)[2]
    confusion = outcomes.confusion()
    for (name, accuracy, half_width, answers), row, number in zip(class_accuracies(outcomes), confusion, range(4),
                                                                  strict=True):
        assert (name, answers) == (outcomes.classes[number], row.sum())
        assert accuracy == pytest.approx(row[number] / row.sum())
        assert half_width is None or half_width > 0
