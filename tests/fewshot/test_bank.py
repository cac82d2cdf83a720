"""Scoring from embedded clips equals scoring clips directly."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from tiny import APPEARANCE, MOTION, clip_embedder, tiny_cfg

from trokens import build_model, match
from trokens.clips.loader import collate
from trokens.clips.reader import ClipReader
from trokens.clips.split import build_split
from trokens.engine.evaluator import Evaluator
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.matchers import MATCHERS, clip_features
from trokens.fewshot.matchers.trx import Trx
from trokens.fewshot.metrics import mean_and_interval
from trokens.reuse.embed import ClipEmbedder
from trokens.reuse.features import feature_bytes
from trokens.reuse.store import FeatureStore

AGGREGATIONS, NORMS, PROTOTYPES = ("spatial", "temporal", "no_agg"), ("none", "max_div", "max_sub"), \
    ("published", "per_clip")
CPU = torch.device("cpu")


def plans(k_shot: int, num_clips: int = 20):
    return list(EpisodeSampler([i // 4 for i in range(num_clips)], n_way=3, k_shot=k_shot, n_query=4 - k_shot,
                               num_episodes=6, seed=0))


@pytest.fixture
def plain_matcher(monkeypatch) -> str:
    """Name of a second matcher beside the published one."""
    monkeypatch.setitem(MATCHERS._entries, "plain", lambda query, proto: torch.cdist(query.flatten(-2),
                                                                                     proto.flatten(-2)))
    return "plain"


@pytest.mark.parametrize(("aggregation", "norm", "prototype", "k_shot"),
                         list(product(AGGREGATIONS, NORMS, PROTOTYPES, (1, 2, 3))))
def test_bank_evaluation_equals_direct_evaluation(aggregation, norm, prototype, k_shot, plain_matcher):
    tokens = torch.randn(20, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    order = list(range(19, -1, -1))  # rows of the bank need not be rows of the split
    aggregated = TokenBank.can_aggregate(k_shot, prototype, "bi_mhm")
    for matcher, is_aggregated in product(("bi_mhm", plain_matcher), {False, aggregated}):
        options = {"aggregation": aggregation, "norm": norm, "prototype": prototype, "matcher": matcher}
        kept = clip_features(tokens[order], aggregation) if is_aggregated else tokens[order]
        bank = TokenBank(kept, order, is_aggregated=is_aggregated, **options)
        right = []
        for plan in plans(k_shot):
            rows, way, support = torch.tensor(plan.indices), torch.tensor(plan.way), plan.num_support
            direct = match(tokens[rows[support:]], tokens[rows[:support]], way[:support], 3, **options)
            torch.testing.assert_close(bank.score([plan])[0], direct, atol=1e-5, rtol=0)
            right.append((direct.argmax(1) == way[support:]).double().mean())
        assert torch.equal(bank.accuracy(plans(k_shot)), torch.stack(right))
        assert bank.accuracy([]).shape == (0,)


@pytest.mark.parametrize(("prototype", "k_shot"), list(product(PROTOTYPES, (1, 3))))
def test_half_precision_keeps_the_accuracy_within_its_interval(prototype, k_shot):
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(5, 1, 4, 16, 32, generator=generator)
    tokens = (classes + 2 * torch.randn(5, 8, 4, 16, 32, generator=generator)).flatten(0, 1)
    episodes = list(EpisodeSampler([i // 8 for i in range(40)], n_way=5, k_shot=k_shot, n_query=1, num_episodes=400,
                                   seed=0))
    options = {"aggregation": "spatial", "norm": "none", "prototype": prototype, "matcher": "bi_mhm"}
    (whole, interval), (half, _) = (
        mean_and_interval(TokenBank(tokens.to(dtype), range(40), is_aggregated=False, **options).accuracy(episodes))
        for dtype in (torch.float32, torch.float16))
    assert abs(whole - half) < interval / 10 and 0.3 < whole < 0.95


def test_k_shots_need_every_token_only_for_the_published_prototype():
    assert [TokenBank.can_aggregate(k, p, "bi_mhm") for k, p in product((1, 2), PROTOTYPES)] == [
        True, True, False, True]
    assert TokenBank.can_aggregate(2, "published", Trx(8, 4, 8))


@pytest.mark.parametrize("count", [1, 7, 8])
def test_every_clip_is_embedded_once_and_in_order(tiny_data, count):
    cfg = tiny_cfg(tiny_data, tiny_data, MODEL__NUM_CLASSES=6)
    reader = ClipReader.from_config(cfg, build_split(cfg, "train"), augment=False)
    seen = []

    def embed(clips):
        seen.extend(clips.index.tolist())
        return clips.tracks.flatten(1)

    indices = list(range(2 * count, 0, -2))
    rows = ClipEmbedder(build_model(cfg), reader, CPU, batch_size=4).collect(embed, indices)
    assert torch.equal(rows, collate([reader.read(i, with_video=False) for i in indices]).tracks.flatten(1))
    assert seen == indices


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("k_shot", [1, 2])
def test_the_evaluator_scores_what_the_model_gives(tiny_data, keep, k_shot):
    cfg = tiny_cfg(tiny_data, tiny_data, APPEARANCE, FEW_SHOT__K_SHOT=k_shot, FEW_SHOT__TEST_EPISODES=12,
                   MODEL__NUM_CLASSES=6, MF__USE_PT_VISIBILITY=True)
    clips = build_split(cfg, "test")
    torch.manual_seed(0)
    model = build_model(cfg).train()
    evaluator, embedder = Evaluator.from_config(cfg, clips, split="test"), clip_embedder(cfg, model, clips, "test")
    if keep:
        room = 15 * feature_bytes(model)  # 4 frames of 8 x 8 x 40 numbers
        assert room == 15 * 4 * 4 * 8 * 8 * 40
        assert FeatureStore(None, room - 1).keep(embedder, evaluator.shown()) is None
        embedder = replace(embedder, features=FeatureStore(None, room).keep(embedder, evaluator.shown()))
    results = [evaluator.run(embedder) for _ in range(2)]
    assert model.training and not model.backbone.training
    model.eval()
    with torch.no_grad():
        tokens = model(collate([embedder.reader.read(i, with_video=True) for i in range(15)]))[1]
    right = []
    for plan in evaluator.plans[k_shot]:
        rows, way, support = torch.tensor(plan.indices), torch.tensor(plan.way), plan.num_support
        logits = match(tokens[rows[support:]], tokens[rows[:support]], way[:support], 3)
        right.append((logits.argmax(1) == way[support:]).double().mean())
    want = {"split": "test", "accuracy": torch.stack(right).mean().item(), "chance": 1 / 3, "episodes": 12, "clips": 15,
            "n_way": 3, "k_shot": k_shot, "n_query": 1}
    for result in results:
        assert {key: result[key] for key in want} == want
        assert result["interval"] == pytest.approx(1.96 * torch.stack(right).std().item() / 12**0.5)


def test_there_are_no_features_to_keep_without_a_frozen_backbone(tiny_data):
    for options in (MOTION, APPEARANCE | {"MODEL.TRAIN_BACKBONE": True}):
        model = build_model(tiny_cfg(tiny_data, tiny_data, options, MODEL__NUM_CLASSES=6))
        assert feature_bytes(model) == 0


def test_a_split_with_fewer_classes_is_validated_on_fewer_ways_but_never_tested_so(tiny_data):
    cfg = tiny_cfg(tiny_data, tiny_data, FEW_SHOT__N_WAY=5)
    clips = build_split(cfg, "val")
    validation = Evaluator.from_config(cfg, clips, split="val")
    assert {plan.n_way for plan in validation.plans[1]} == {3}
    with pytest.raises(ValueError, match="n_way is 5, but the split has 3 classes"):
        Evaluator.from_config(cfg, clips, split="test")
