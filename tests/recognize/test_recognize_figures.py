"""What the untrained descriptor reaches on real clips: four Weizmann actions, one example of each."""

import numpy as np
import pytest

from trokens.recognize.cache import Cache
from trokens.recognize.calibrate import Calibration
from trokens.recognize.compare import compare
from trokens.recognize.describe import Describer, describe_one
from trokens.recognize.examples import read_examples
from trokens.recognize.looks import choose_backbone

EPISODES = 3000


def one_shot(distance, labels, seed=0):
    """Share of right answers: a random clip against one random other clip of each action."""
    rng, actions = np.random.default_rng(seed), sorted(set(labels))
    rows, right = {a: np.flatnonzero(labels == a) for a in actions}, 0
    for _ in range(EPISODES):
        own = actions[rng.integers(len(actions))]
        query = rng.choice(rows[own])
        nearest = min(actions, key=lambda a: distance[query, rng.choice(rows[a][rows[a] != query])])
        right += nearest == own
    return right / EPISODES


@pytest.fixture(scope="module")
def weizmann(real_clips, tmp_path_factory):
    examples = read_examples(real_clips / "weizmann")
    describer = Describer(choose_backbone("timm:tf_efficientnet_lite0:4"), Cache(tmp_path_factory.mktemp("cache")))
    described = [describe_one((example.path, None), describer) for example in examples]
    assert all(item.error is None for item in described)
    return [item.description for item in described], np.array([example.label for example in examples])


@pytest.mark.parametrize(("method", "least"), [("motion", 0.99), ("both", 0.99), ("looks", 0.88)])
def test_one_example_of_each_of_four_actions_tells_them_apart(weizmann, method, least):
    clips, labels = weizmann
    distance = compare(clips, clips, method).joined(Calibration().share)
    reached = one_shot(distance, labels)
    assert reached >= least, f"{method}: {reached:.1%}"
