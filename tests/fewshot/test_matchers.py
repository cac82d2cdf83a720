import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trokens.fewshot.matchers import MATCHERS, clip_features, match, pairwise_logits, prototypes
from trokens.fewshot.matchers.bi_mhm import distance_of_two, token_distance
from trokens.fewshot.prototypes import published_prototypes

AGGREGATIONS, NORMS = ["spatial", "temporal", "no_agg"], ["none", "max_div", "max_sub"]


@pytest.fixture
def tokens():
    return torch.randn(11, 4, 6, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def head(small_golden):
    return {name: torch.from_numpy(x) for name, x in np.load(small_golden / "head.npz").items()}


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("norm", ["none", "max_div"])
def test_match_gives_the_golden_logits(head, aggregation, norm):
    tokens, way = head["tokens"], head["way"]
    logits = match(tokens[5:], tokens[:5], way[:5], 5, aggregation, norm)
    assert torch.allclose(logits, head[f"logits_{aggregation}_{norm}"], atol=1e-4)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("norm", ["none", "max_div"])
def test_the_episode_has_the_golden_loss(golden, aggregation, norm):
    data = {name.removeprefix("1shot_"): x for name, x in load_file(golden / "fewshot_head_1shot.safetensors").items()}
    support, way = data["is_support"], data["batch_label"]
    logits = match(data["tokens"][~support], data["tokens"][support], way[support], 5, aggregation, norm)
    loss = torch.nn.functional.cross_entropy(logits, way[~support])
    assert torch.allclose(loss, data[f"q2s_loss_{aggregation}_{norm}"][0], atol=1e-4)


def test_token_distance_gives_the_golden_cosine(head):
    assert torch.allclose(1 - token_distance(head["cos_x"], head["cos_y"]), head["cos_out"], atol=1e-5)


def by_loops(query, support, way, n_way, aggregation, norm, prototype):
    """The definition, one clip and one class at a time."""
    def aggregate(clip):
        return {"spatial": clip.mean(1), "temporal": clip.mean(0), "no_agg": clip.flatten(0, 1)}[aggregation]

    classes = []
    for w in range(n_way):
        shots = [clip for clip, label in zip(support, way.tolist(), strict=True) if label == w]
        if prototype == "published":
            classes.append(aggregate((sum(shots) / len(shots)).clamp(min=0)))
        else:
            classes.append(sum(aggregate(shot.clamp(min=0)) for shot in shots) / len(shots))
    rows = []
    for clip in query:
        x = aggregate(clip.clamp(min=0))
        row = torch.stack([distance_of_two(x, y) for y in classes])
        rows.append({"none": row, "max_div": row / row.max(), "max_sub": row - row.max()}[norm])
    return -torch.stack(rows)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("prototype", ["published", "per_clip"])
def test_match_equals_its_definition(tokens, aggregation, norm, prototype):
    way = torch.tensor([2, 0, 1, 0, 2, 2, 1])  # shuffled, unequal shots
    options = {"aggregation": aggregation, "norm": norm, "prototype": prototype}
    got = match(tokens[7:], tokens[:7], way, 3, **options)
    assert torch.allclose(got, by_loops(tokens[7:], tokens[:7], way, 3, **options), atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_the_nearest_class_has_the_highest_logit(tokens, norm):
    assert match(tokens[:5], tokens[:5], torch.arange(5), 5, norm=norm).argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_prototypes_agree_for_one_shot(tokens):
    published, per_clip = (match(tokens[5:], tokens[:5], torch.arange(5), prototype=p)
                           for p in ("published", "per_clip"))
    assert torch.equal(published, per_clip)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_prototypes_of_a_table_are_the_prototypes(tokens, aggregation):
    shots = torch.tensor([[0, 4, 7], [2, 4, 1]])
    got = published_prototypes(tokens, shots, aggregation)
    want = prototypes(tokens[shots.flatten()], torch.tensor([0, 0, 0, 1, 1, 1]), 2, aggregation)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=0)


def test_episodes_can_be_scored_together(tokens):
    feats = clip_features(tokens)
    queries, classes = feats[[5, 6, 7, 8]].view(2, 2, 4, 8), feats[[0, 1, 2, 3, 4, 5]].view(2, 3, 4, 8)
    together = pairwise_logits(queries, classes, "max_div")
    assert together.shape == (2, 2, 3)
    for episode in range(2):
        assert torch.allclose(together[episode], pairwise_logits(queries[episode], classes[episode], "max_div"))


def test_chunks_do_not_change_logits(tokens, monkeypatch):
    feats = clip_features(tokens, "no_agg")
    whole = pairwise_logits(feats[5:], feats[:5])
    monkeypatch.setattr("trokens.fewshot.matchers.bi_mhm.CHUNK", 24 * 5 * 24 * 2 + 1)
    assert torch.allclose(pairwise_logits(feats[5:], feats[:5]), whole, atol=1e-6)


def test_matching_is_float32_under_autocast(tokens):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = match(tokens[5:], tokens[:5], torch.arange(5))
    assert torch.equal(low, match(tokens[5:], tokens[:5], torch.arange(5)))


def test_silent_tokens_leave_gradients_finite(tokens):
    silent = (-tokens.abs()).requires_grad_()  # ReLU makes every token zero
    logits = match(silent[5:], silent[:5], torch.arange(5), norm="max_div")
    logits.sum().backward()
    assert logits.isfinite().all() and silent.grad.isfinite().all()


def test_a_matcher_is_added_by_registering_it(tokens):
    @MATCHERS.register("first_token")
    def first_token(query, proto):
        return torch.cdist(query[..., 0, :], proto[..., 0, :])

    try:
        logits = match(tokens[:5], tokens[:5], torch.arange(5), matcher="first_token")
        assert logits.argmax(1).tolist() == [0, 1, 2, 3, 4]
    finally:
        MATCHERS._entries.pop("first_token")


def test_bad_input_is_named(tokens):
    way = torch.arange(5)
    for options, message in [({"aggregation": "mean"}, "aggregation is 'mean'"),
                             ({"norm": "max"}, "norm is 'max'"), ({"prototype": "x"}, "prototype is 'x'"),
                             ({"matcher": "bi_mh"}, "Did you mean 'bi_mhm'"), ({"n_way": 6}, "6-way matching needs"),
                             ({"n_way": 4}, r"classes \[0, 1, 2, 3, 4\]")]:
        with pytest.raises(ValueError, match=message):
            match(tokens[5:], tokens[:5], way, **options)
    with pytest.raises(ValueError, match="support_way is"):
        match(tokens[5:], tokens[:4], way)
    with pytest.raises(ValueError, match="query_tokens are"):
        match(tokens[5:, :3], tokens[:5], way)
    assert prototypes(tokens[:5], way, 5).shape == (5, 4, 8)
