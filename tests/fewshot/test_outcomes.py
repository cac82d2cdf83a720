"""What a test answered."""

import numpy as np
import pytest

from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.outcomes import Outcomes

CLASS_NAMES = ["a"] * 4 + ["b"] * 4 + ["c"] * 4 + ["d"] * 4
IDS = [f"{name}{i % 4}" for i, name in enumerate(CLASS_NAMES)]


def answered(seed=0, k_shot=2, n_query=2, episodes=50):
    plans = list(EpisodeSampler([ord(name) for name in CLASS_NAMES], n_way=3, k_shot=k_shot, n_query=n_query,
                                num_episodes=episodes, seed=seed))
    distances = np.random.default_rng(seed).random((episodes, 3 * n_query, 3)).astype("float32")
    return plans, distances, Outcomes.of(plans, distances, IDS, CLASS_NAMES)


def test_accuracy_and_confusion_are_what_a_loop_counts():
    plans, distances, outcomes = answered()
    counts, accuracies = np.zeros((4, 4), dtype=int), []
    for plan, rows in zip(plans, distances, strict=True):
        support = plan.indices[:plan.num_support]
        class_of_way = {way: CLASS_NAMES[clip] for clip, way in zip(support, plan.way, strict=False)}
        right = 0
        for clip, row in zip(plan.indices[plan.num_support:], rows, strict=True):
            given = class_of_way[int(row.argmin())]
            counts["abcd".index(CLASS_NAMES[clip]), "abcd".index(given)] += 1
            right += given == CLASS_NAMES[clip]
        accuracies.append(right / len(rows))
    assert outcomes.accuracy.tolist() == accuracies
    assert (outcomes.confusion() == counts).all()
    assert outcomes.k_shot == 2 and outcomes.members.shape == (50, 12)


def test_a_loop_finds_the_same_clips_in_each_episode():
    plans, _, outcomes = answered(k_shot=1, n_query=3)
    for plan, members in zip(plans, outcomes.members, strict=True):
        assert sorted(plan.indices) == sorted(members)


@pytest.mark.parametrize(("seed", "same"), [(0, True), (1, False)])
def test_tests_are_paired_by_the_ids_of_their_clips(seed, same):
    first, second = answered()[2], answered(seed)[2]
    order = np.random.default_rng(1).permutation(len(IDS))  # the clips of another list are numbered in another order
    number = np.argsort(order)
    other = Outcomes([IDS[i] for i in order], second.classes, second.class_of[order], number[second.support],
                     number[second.query], second.given)
    assert first.same_episodes(other) is same
