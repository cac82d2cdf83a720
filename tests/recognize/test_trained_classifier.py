"""The classifier with a trained model: its tokens are compared, from points that are extracted on the fly."""

import logging

import clips_of_actions
import numpy as np
import pytest
import torch
from tiny import APPEARANCE, tiny_cfg

from trokens import FewShotClassifier, match
from trokens.engine.run import run_experiment
from trokens.models.checkpoint import load_checkpoint
from trokens.recognize import trained as module

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tiny_data, tmp_path_factory):
    """What training left of a model that sees motion alone."""
    folder = tmp_path_factory.mktemp("run")
    run_experiment(tiny_cfg(tiny_data, folder), CPU)
    return folder / "checkpoints" / "checkpoint_best.pyth"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return clips_of_actions.write(tmp_path_factory.mktemp("clips"), ("down", "left"), clips=2, num_frames=12, size=64,
                                  speed=3.0)


@pytest.fixture(autouse=True)
def points_on_a_grid(monkeypatch):
    """So that no backbone is needed to place them."""
    monkeypatch.setattr(module, "choose_backbone", lambda name: None)
    module.trained.cache_clear()


def test_a_checkpoints_tokens_are_compared_and_kept(checkpoint, clips, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "trokens")
    fitted = FewShotClassifier.from_pretrained(checkpoint, cache=tmp_path / "cache").fit(clips)
    assert "POINT_INFO.NAME 'exact' does not say how its points are made" in caplog.text
    tokens = fitted.descriptions_[0].tokens
    assert tokens.shape == (4, 16) and np.isfinite(tokens).all()  # a frame each
    paths = [path for paths in clips.values() for path in paths]
    assert fitted.predict(paths).tolist() == ["down"] * 2 + ["left"] * 2
    explanation = fitted.explain(paths[0])
    assert explanation.answer.label == "down" and explanation.nearest[0].query_trails
    assert explanation.motion_share is None  # a page would call it a share of motion
    monkeypatch.setattr(module, "_tokens", None)  # a second query is answered from the cache
    probability = fitted.predict_proba(paths)
    fitted.save(tmp_path / "saved")
    np.testing.assert_array_equal(FewShotClassifier.load(tmp_path / "saved").predict_proba(paths), probability)


@pytest.mark.parametrize("matcher", ["otam", "trx"])
def test_a_checkpoints_own_matcher_compares(tiny_data, clips, tmp_path, matcher):
    run_experiment(tiny_cfg(tiny_data, tmp_path, FEW_SHOT__MATCHER=matcher, FEW_SHOT__TRX_WIDTH=8), CPU)
    one = {action: paths[:1] for action, paths in clips.items()}
    queries = [paths[1] for paths in clips.values()]
    checkpoint = tmp_path / "checkpoints" / "checkpoint_best.pyth"
    fitted = FewShotClassifier.from_pretrained(checkpoint, cache=tmp_path / "cache").fit(one)
    own = module.trained(checkpoint, fitted._describer()._checkpoint_key).model.matcher
    tokens = [torch.from_numpy(clip.tokens)[:, None] for clip in [*fitted._described(queries), *fitted.descriptions_]]
    with torch.no_grad():
        logits = match(torch.stack(tokens[:2]), torch.stack(tokens[2:]), torch.arange(2), 2,
                       matcher=matcher if own is None else own)
    np.testing.assert_allclose(fitted.predict_proba(queries), logits.softmax(1).numpy(), atol=1e-5)


def test_a_model_that_takes_points_from_patches_needs_no_extraction(tiny_data, clips, tmp_path, monkeypatch):
    run_experiment(tiny_cfg(tiny_data, tmp_path / "run", APPEARANCE, POINT_INFO__USE_CORRELATION=True,
                            SOLVER__MAX_EPOCH=1, SOLVER__WARMUP_EPOCHS=0, TEST__ENABLE=False), CPU)
    monkeypatch.setattr(module, "extract_video", None)
    path = tmp_path / "run" / "checkpoints" / "checkpoint_best.pyth"
    fitted = FewShotClassifier.from_pretrained(path, cache="").fit(clips)
    assert np.isfinite(fitted.descriptions_[0].tokens).all() and len(fitted.predict(clips["down"])) == 2


def test_the_confidence_starts_at_the_models_own_temperature(checkpoint, clips, tmp_path):
    one = {action: paths[:1] for action, paths in clips.items()}
    fitted = FewShotClassifier.from_pretrained(checkpoint, cache=tmp_path).fit(one)
    assert fitted.calibration_.temperature == 1.0 / 4  # of the logits, which sum over 4 frames


def test_points_are_made_as_the_name_of_their_folder_says():
    grid = module._point_options("flow_grid_12", None, "")
    assert (grid.tracker, grid.use_grid, grid.grid_size) == ("flow", True, 12)
    published = module._point_options("cotracker3_bip_fr_32", "dinov2_vitb14", "file.pth")
    assert (published.tracker, published.clustering, published.num_frames, published.backbone,
            published.backbone_weights) == ("cotracker3_offline", "bipartite", 32, "dinov2_vitb14", "file.pth")
    assert module._point_options("flow_kmeans_fr_8", "timm:resnet18:4", "").clustering == "kmeans"


@pytest.mark.parametrize(("change", "said"), [
    ({"cfg": None}, "keeps no config, so its model cannot be built"),
    ({"model_state": {"head.bias": torch.zeros(6)}}, "lacks .* parameters of its model")])
def test_a_checkpoint_that_tells_too_little_is_named(checkpoint, clips, tmp_path, change, said):
    path = tmp_path / "other.pyth"
    torch.save(load_checkpoint(checkpoint) | change, path)
    with pytest.raises(ValueError, match=f"^{path} {said}"):
        FewShotClassifier.from_pretrained(path, cache="").fit(clips)


def test_windows_are_answered_by_the_descriptor_alone(checkpoint, clips, tmp_path):
    fitted = FewShotClassifier.from_pretrained(checkpoint, cache=tmp_path).fit(clips)
    with pytest.raises(ValueError, match="Windows of a long video are answered by the descriptor alone"):
        list(fitted.windows(clips["down"][0]))
