"""Which clips an episode shows."""

import pytest

from trokens.fewshot.episodes import EpisodeSampler

LABELS = [c for c in range(8) for _ in range(6)]
OPTIONS = {"n_way": 5, "k_shot": 1, "n_query": 2, "num_episodes": 10, "seed": 0}


def test_one_process_equals_four_interleaved():
    one = list(EpisodeSampler(LABELS, **OPTIONS))
    four = [list(EpisodeSampler(LABELS, rank=r, world_size=4, **OPTIONS)) for r in range(4)]
    assert [four[i % 4][i // 4] for i in range(10)] == one
    assert [len(EpisodeSampler(LABELS, rank=r, world_size=4, **OPTIONS)) for r in range(4)] == [3, 3, 2, 2]


def test_support_comes_first_and_shares_no_clip_with_the_query():
    for plan in EpisodeSampler(LABELS, **OPTIONS):
        support, query = plan.indices[:plan.num_support], plan.indices[plan.num_support:]
        assert len(set(plan.indices)) == len(plan.indices) == 15
        assert not set(support) & set(query)
        assert plan.way == (0, 1, 2, 3, 4, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
        of_way = {way: LABELS[i] for i, way in zip(support, plan.way, strict=False)}
        assert len(set(of_way.values())) == 5
        assert all(LABELS[i] == of_way[way] for i, way in zip(plan.indices, plan.way, strict=True))


def test_epochs_and_seeds_differ_and_an_epoch_can_be_entered_midway():
    sampler = EpisodeSampler(LABELS, rank=1, world_size=2, **OPTIONS)
    first = list(sampler)
    sampler.set_epoch(0, start=2)
    assert list(sampler) == first[2:]
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(EpisodeSampler(LABELS, **{**OPTIONS, "seed": 1})) != list(EpisodeSampler(LABELS, **OPTIONS))


@pytest.mark.parametrize(("change", "message"), [
    ({"n_way": 9}, "n_way is 9, but the split has 8 classes"),
    ({"n_query": 6}, r"Class 0 has 6 videos; k_shot \+ n_query needs 7 \(8 classes too small\)"),
])
def test_too_little_data_is_an_error_with_its_numbers(change, message):
    with pytest.raises(ValueError, match=message):
        EpisodeSampler(LABELS, **{**OPTIONS, **change})
