"""The training objective: what it computes, that it reaches every parameter, and that it can be driven to zero."""

from dataclasses import replace

import pytest
import torch
from tiny import APPEARANCE, tiny_cfg
from torch.nn import functional as F

from trokens import Trokens, build_model, match
from trokens.clips.loader import episode_loader
from trokens.clips.reader import ClipReader
from trokens.clips.split import build_split
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.task import FewShotTask
from trokens.structures import Clips, Episode

WAYS, CLASSES, T, N, S, D = 3, 5, 4, 6, 3, 16
MATCHING = {"aggregation": "spatial", "norm": "none", "prototype": "published", "matcher": "bi_mhm"}


def episode(width: int = D) -> tuple[Episode, torch.Tensor]:
    """A random 3-way 1-shot episode of 9 clips, and patch features for it."""
    g = torch.Generator().manual_seed(0)
    way = torch.tensor([0, 1, 2, 0, 0, 1, 1, 2, 2])
    clips = Clips(video=None, tracks=torch.rand(9, T, N, 2, generator=g) * 2 - 1,
                  visibility=torch.rand(9, T, N, generator=g) > 0.3,
                  query_mask=(torch.arange(T)[:, None] >= torch.arange(N) % T).expand(9, -1, -1),
                  class_id=way + 1, index=torch.arange(9))
    return Episode(clips, way, WAYS, WAYS), torch.randn(9, T, S, S, width, generator=g)


def model(**options) -> Trokens:
    torch.manual_seed(0)
    return Trokens(CLASSES, **({"embed_dim": D, "grid": S, "num_frames": T, "num_points": N, "num_heads": 2,
                                "hod": {"bins": 8}} | options))


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


COMBINATIONS = {
    "everything": {},
    "appearance alone": {"hod": None, "cross_motion": False},
    "without HoD": {"hod": None},
    "without cross-motion": {"cross_motion": False},
    "motion alone": {"appearance": False},
    "HoD alone": {"appearance": False, "cross_motion": False},
    "cross-motion alone": {"appearance": False, "hod": None},
    "positions at the points": {"base_pos_embed": False},
    "no positions": {"base_pos_embed": False, "point_pos_embed": False},
    "projected features": {"feature_dim": 10},
    "HoD over the clip": {"hod": {"bins": 8, "per_frame": False}},
    "HoD pyramid": {"hod": {"bins": 8, "pyramid_levels": 3}},
    "query mask": {"mask": "query"},
    "visibility mask": {"mask": "visibility"},
    "bilinear": {"sample_mode": "bilinear"},
    "three blocks with every dropout": {"depth": 3, "drop_path": 0.2, "drop": 0.1, "attn_drop": 0.1, "pos_drop": 0.1,
                                        "head_drop": 0.1},
}


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
