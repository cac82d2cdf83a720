"""The training objective: what it computes, that it reaches every parameter, and that it can be driven to zero."""

from dataclasses import replace

import pytest
import torch
from small_task import CLASSES, COMBINATIONS, MATCHING, D, episode, model
from tiny import APPEARANCE, tiny_cfg
from torch.nn import functional as F

from trokens import build_model, match
from trokens.clips.loader import episode_loader
from trokens.clips.reader import ClipReader
from trokens.clips.split import build_split
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.matchers import clip_features, prototypes
from trokens.fewshot.task import FewShotTask


def test_the_loss_is_the_weighted_sum_of_its_two_parts():
    one, features = episode()
    trokens = model().eval()
    task = FewShotTask(trokens, matching=MATCHING, temperature=2.0, label_smoothing=0.2, class_weight=0.5,
                       match_weight=3.0)
    out = task(one, features)
    class_logits, tokens = trokens(one.clips, features)
    logits = match(tokens[3:], tokens[:3], one.way[:3], n_way=3)
    log_p = F.log_softmax(class_logits / 2, dim=1)
    smooth = torch.full((9, CLASSES), 0.2 / CLASSES) + 0.8 * F.one_hot(one.clips.class_id, CLASSES)
    loss_class = -(smooth * log_p).sum(1).mean()  # over support and query clips
    loss_match = -F.log_softmax(logits / 2, dim=1)[range(6), one.way[3:]].mean()
    torch.testing.assert_close(out["loss_class"], loss_class.detach())
    torch.testing.assert_close(out["loss_match"], loss_match.detach())
    torch.testing.assert_close(out["loss"], 0.5 * loss_class + 3 * loss_match)
    assert torch.equal(out["logits"], logits)
    assert out["accuracy"] == (logits.argmax(1) == one.way[3:]).float().mean()


def test_plain_cross_entropy_has_no_label_smoothing(tiny_data):
    cfg = tiny_cfg(tiny_data, tiny_data, MODEL__LOSS_FUNC="cross_entropy", SOLVER__TEMPRATURE=0.5,
                   FEW_SHOT__CLASS_LOSS_LAMBDA=0.3, FEW_SHOT__Q2S_LOSS_LAMBDA=2)
    task = FewShotTask.from_config(cfg, model())
    assert (task.label_smoothing, task.temperature, task.class_weight, task.match_weight) == (0.0, 0.5, 0.3, 2)
    assert task.matching == MATCHING
    assert FewShotTask.from_config(tiny_cfg(tiny_data, tiny_data), model()).label_smoothing == 0.1


def test_molos_contrast_compares_whole_clips_with_frames_of_the_other_side(tiny_data):
    one, features = episode()
    trokens = model().eval()
    plain, contrasted = (FewShotTask(trokens, matching=MATCHING, temperature=2.0, contrast_weight=weight)(one, features)
                         for weight in (0.0, 3.0))
    tokens = trokens(one.clips, features)[1]
    x, y, way = clip_features(tokens[3:]), prototypes(tokens[:3], one.way[:3], 3), one.way[3:]

    def distance(u, v):
        return 1 - u @ v / (u.norm() * v.norm() + 0.01)

    total = 0
    for q, right in zip(x, way.tolist(), strict=True):
        a = torch.stack([-sum(distance(q.mean(0), frame) for frame in c) / 2 for c in y])
        b = torch.stack([-sum(distance(c.mean(0), frame) for frame in q) / 2 for c in y])
        total -= (a.log_softmax(0)[right] + b.log_softmax(0)[right]) / 2
    torch.testing.assert_close(contrasted["loss"], plain["loss"] + 3 * total / len(x))
    assert torch.equal(contrasted["logits"], plain["logits"])
    assert FewShotTask.from_config(tiny_cfg(tiny_data, tiny_data, FEW_SHOT__MOLO_LOSS_LAMBDA=0.5),
                                   model()).contrast_weight == 0.5


@pytest.mark.parametrize("options", COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.parametrize("aggregation", ["spatial", "no_agg"])
def test_every_trainable_parameter_gets_a_gradient(options, aggregation):
    one, features = episode(options.get("feature_dim", D))
    task = FewShotTask(model(**options), matching=MATCHING | {"aggregation": aggregation}).train()
    task(one, features if options.get("appearance", True) else None)["loss"].backward()
    without = [name for name, p in task.named_parameters() if p.grad is None or not p.grad.isfinite().all()
               or not p.grad.any()]
    assert without == []


def test_a_backbone_learns_only_when_asked(tiny_data):
    clips = build_split(tiny_cfg(tiny_data, tiny_data), "train")
    for train in (False, True):
        cfg = tiny_cfg(tiny_data, tiny_data, APPEARANCE, MODEL__TRAIN_BACKBONE=train, MODEL__NUM_CLASSES=6)
        task = FewShotTask.from_config(cfg, build_model(cfg)).train()
        plans = EpisodeSampler([c.class_id for c in clips], n_way=2, k_shot=1, n_query=1, num_episodes=1, seed=0)
        one = next(iter(episode_loader(ClipReader.from_config(cfg, clips, augment=False), plans)))
        task(one)["loss"].backward()
        learning = {name for name, p in task.named_parameters() if p.requires_grad}
        assert {name for name, p in task.named_parameters() if p.grad is not None} == learning
        assert ("model.dino.model.conv_stem.weight" in learning) == train
        assert "model.dino.model.blocks.6.0.conv_pw.weight" not in learning  # above the stage that is read


def test_an_episode_is_overfitted(tiny_data):
    cfg = tiny_cfg(tiny_data, tiny_data, APPEARANCE, MODEL__NUM_CLASSES=6, MODEL__EMBED_DIM=32,
                   MIXUP__LABEL_SMOOTH_VALUE=0.0)
    clips = build_split(cfg, "train")
    torch.manual_seed(0)
    task = FewShotTask.from_config(cfg, build_model(cfg))
    plans = EpisodeSampler([c.class_id for c in clips], n_way=3, k_shot=1, n_query=2, num_episodes=1, seed=0)
    one = next(iter(episode_loader(ClipReader.from_config(cfg, clips, augment=False), plans)))
    features = task.model.patch_features(one.clips.video)
    one = replace(one, clips=replace(one.clips, video=None))
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=3e-3)
    first = task(one, features)
    for _ in range(150):
        optimizer.zero_grad()
        out = task(one, features)
        out["loss"].backward()
        optimizer.step()
    assert first["loss"] > 2 > 0.02 > out["loss"] > 0
    assert out["accuracy"] == 1
