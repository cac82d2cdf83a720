"""What is not finite is refused with what and where, in training, validation and test: it is never scored."""

import json
import shutil

import pytest
import torch
from tiny import APPEARANCE, MOTION, clip_embedder, command, main, points_dir, tiny_cfg

from trokens import build_model
from trokens.clips.split import build_split
from trokens.engine.evaluator import Evaluator
from trokens.engine.prepare import prepare
from trokens.engine.run import run_experiment
from trokens.fewshot import matchers
from trokens.models.checkpoint import (
    INTERRUPTED,
    checkpoint_dir,
    epoch_path,
    load_checkpoint,
    save_checkpoint,
    saved_epochs,
)
from trokens.models.trokens import Trokens
from trokens.points.io import read_tracks, write_tracks

CPU = torch.device("cpu")
NAN = float("nan")


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    run_experiment(tiny_cfg(tiny_data, folder), CPU)
    return folder


def evaluator(data, folder, options=None, **changes):
    """An evaluator of the test split, and a model with its clips."""
    cfg = tiny_cfg(data, folder, options, MODEL__NUM_CLASSES=6, **changes)
    torch.manual_seed(0)
    model, clips = build_model(cfg), build_split(cfg, "test")
    return Evaluator.from_config(cfg, clips, split="test"), clip_embedder(cfg, model, clips, "test")


@pytest.mark.parametrize("bank", ["memory", "disk"])
def test_tokens_that_are_not_finite_are_never_scored(tiny_data, tmp_path, bank):
    evaluation, embedder = evaluator(tiny_data, tmp_path, TEST__BANK=bank)
    with torch.no_grad():
        embedder.model.norm.weight[0] = NAN
    first = sorted(points_dir(tiny_data).glob("test__*"))[0]
    with pytest.raises(FloatingPointError, match=rf"Tokens are not finite for the clip '{first.stem}' \({first}\); the "
                                                 "weights, or what is read of these clips, are out of range"):
        evaluation.run(embedder)


@pytest.mark.parametrize("changes", [{}, {"FEW_SHOT__K_SHOT": 2}, {"FEW_SHOT__PROTOTYPE": "per_clip"}])
@pytest.mark.parametrize("bank", ["memory", "disk"])
def test_a_bank_of_half_precision_that_overflows_names_the_option(tiny_data, tmp_path, bank, changes):
    evaluation, embedder = evaluator(tiny_data, tmp_path, TEST__BANK=bank, TEST__BANK_DTYPE="half", **changes)
    with torch.no_grad():
        embedder.model.norm.weight.mul_(1e6)
    with pytest.raises(FloatingPointError, match=r"In float16 tokens are not finite for the clip 'test__.*'.*: set "
                                                 r"TEST\.BANK_DTYPE float\."):
        evaluation.run(embedder)
    whole, embedder = evaluator(tiny_data, tmp_path, TEST__BANK=bank, **changes)
    with torch.no_grad():
        embedder.model.norm.weight.mul_(1e6)
    assert 0 < whole.run(embedder)["accuracy"] < 1


@pytest.mark.parametrize("value", [NAN, float("inf")])
@pytest.mark.parametrize("k_shot", [1, 2])
def test_distances_that_are_not_finite_are_never_ranked(tiny_data, tmp_path, monkeypatch, value, k_shot):
    def broken(query, proto):
        return torch.full((*query.shape[:-2], proto.shape[-3]), value)

    monkeypatch.setitem(matchers.MATCHERS._entries, "broken", broken)
    evaluation, embedder = evaluator(tiny_data, tmp_path, FEW_SHOT__MATCHER="broken", FEW_SHOT__K_SHOT=k_shot)
    with pytest.raises(FloatingPointError, match=r"Distances are not finite in 30 of 30 episodes \(the first shows the "
                                                 r"clips test__\w+, test__.*\); matcher 'broken' cannot"):
        evaluation.run(embedder)


def test_tokens_too_large_to_be_compared_are_no_chance_result(tiny_data, tmp_path):
    evaluation, embedder = evaluator(tiny_data, tmp_path)
    with torch.no_grad():
        embedder.model.norm.weight.mul_(1e25)  # finite, but not their products
    with pytest.raises(FloatingPointError, match="Distances are not finite"):
        evaluation.run(embedder)


@pytest.mark.parametrize("cache", [True, False])
def test_features_that_are_not_finite_are_not_kept(tiny_data, tmp_path, monkeypatch, cache, capsys):
    features = Trokens.patch_features
    monkeypatch.setattr(Trokens, "patch_features", lambda self, video: features(self, video) * NAN)
    folder = tmp_path / "cache" if cache else ""
    assert main(command(tiny_data, tmp_path / "out", APPEARANCE, MODEL__FEATURE_CACHE=folder)) == 2
    error = capsys.readouterr().err
    assert error.startswith("FloatingPointError: The backbone's features are not finite for the clip")
    assert error.count("\n") == 1 and "MODEL.BACKBONE_WEIGHTS" in error


def test_a_checkpoint_with_nan_is_not_tested(tiny_data, trained, tmp_path, capsys):
    state = load_checkpoint(epoch_path(trained, 2))
    state["model_state"]["blocks.0.norm1.weight"][0] = NAN
    save_checkpoint(tmp_path / "x.pyth", state)
    assert main(command(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=tmp_path / "x.pyth")) == 2
    assert capsys.readouterr().err == (
        f"ValueError: {tmp_path}/x.pyth holds weights that are not finite (1 tensors, the first is "
        "blocks.0.norm1.weight): its training had failed; give another checkpoint.\n")
    assert not (tmp_path / "results.json").exists()


def spoiled_data(tiny_data, tmp_path, split: str):
    """A copy of the data set in which the tracks of one clip are NaN, and that clip's file."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    path = sorted(points_dir(data).glob(f"{split}__*"))[0]
    tracks = read_tracks(path)
    tracks.xy.fill_(NAN)
    write_tracks(path, tracks)
    return data, path


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_tracks_that_are_all_nan_end_the_run_in_one_sentence(tiny_data, tmp_path, capsys, split):
    data, path = spoiled_data(tiny_data, tmp_path, split)
    assert main(command(data, tmp_path / "out", FEW_SHOT__TRAIN_EPISODES=12)) == 2
    assert capsys.readouterr().err == (f"ValueError: {path} of clip '{path.stem}' has no position for any point that "
                                       "is shown: all are NaN; extract it again.\n")
    assert not (tmp_path / "out/results.json").exists()


def test_a_loss_that_is_not_finite_names_step_clips_and_remedies(tiny_data, tmp_path, capsys):
    changes = {"SOLVER__BASE_LR": 1e38, "SOLVER__OPTIMIZING_METHOD": "sgd"}
    assert main(command(tiny_data, tmp_path, **changes)) == 2
    error = capsys.readouterr().err
    assert error.startswith("FloatingPointError: Loss is nan at epoch 2, step 2: loss_class=nan loss_match=nan, on the "
                            "clips train__") and error.count("\n") == 1 and error.count("train__") == 6
    assert error.endswith("; lower SOLVER.BASE_LR, set SOLVER.CLIP_GRAD_L2NORM (1.0 is usual) or TRAIN.MIXED_PRECISION "
                          "False, or look at these clips.\n")
    plan = prepare(tiny_cfg(tiny_data, tmp_path / "x", **changes), CPU)
    plan.sampler.set_epoch(1)
    assert all(plan.splits["train"][index].id in error for index in plan.sampler[1].indices)
    assert list(saved_epochs(tmp_path)) == [1] and not (checkpoint_dir(tmp_path) / INTERRUPTED).exists()


def test_weights_that_the_last_step_spoiled_are_neither_validated_nor_saved(tiny_data, tmp_path, capsys):
    """The loss was finite; what the optimizer then did is not."""
    options = MOTION | {"SOLVER.BASE_LR": 1e38, "SOLVER.OPTIMIZING_METHOD": "sgd", "FEW_SHOT.TRAIN_EPISODES": 1}
    for changes in ({"TRAIN__EVAL_PERIOD": 1}, {"TRAIN__EVAL_PERIOD": 9, "SOLVER__MAX_EPOCH": 3}):
        out = tmp_path / str(len(changes))
        assert main(command(tiny_data, out, options, **changes)) == 2
        error = capsys.readouterr().err
        assert error.startswith("FloatingPointError: Weights are beyond 1e+09 or not finite (")
        assert "after 2 epochs and 0 steps, so nothing is saved; lower SOLVER.BASE_LR" in error
        assert list(saved_epochs(out)) == [1]
        state = load_checkpoint(epoch_path(out, 1))
        assert all(x.isfinite().all() for x in state["model_state"].values())
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert [r["epoch"] for r in records if r["phase"] == "val"] == [1] * (len(changes) == 1)
