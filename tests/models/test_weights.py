import hashlib
import logging
import pickle

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from trokens.models.backbone import DinoV2
from trokens.models.trokens import Trokens
from trokens.models.weights import load_weights, read_state_dict

SMALL = {"embed_dim": 16, "grid": 2, "num_frames": 4, "num_points": 6, "num_heads": 2, "hod": {"bins": 8}}


def build(**options):
    return Trokens(**{"num_classes": 5, **SMALL, **options})


def dino():
    return DinoV2(trained_grid=2, embed_dim=16, depth=1, num_heads=2)


def equal(model, other):
    own, given = model.state_dict(), other.state_dict()
    return all(torch.equal(own[key], given[key]) for key in own if key in given)


@pytest.mark.parametrize("wrap", [
    lambda state: state, lambda state: {"epoch": 3, "model_state": state, "cfg": "A: 1"},
    lambda state: {"model_state": {f"module.{key}": value for key, value in state.items()}}])
@pytest.mark.parametrize("suffix", [None, ".pyth", ".pth"])
def test_states_and_checkpoints_load(tmp_path, wrap, suffix):
    source, model = build(), build()
    checkpoint = wrap(source.state_dict())
    if suffix:
        torch.save(checkpoint, tmp_path / f"weights{suffix}")
        checkpoint = str(tmp_path / f"weights{suffix}")
    report = load_weights(model, checkpoint)
    assert equal(model, source) and report.missing == report.unexpected == []
    assert set(report.loaded) == set(model.state_dict())


def test_safetensors_load(tmp_path):
    source, model = build(), build()
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    load_weights(model, tmp_path / "weights.safetensors")
    assert equal(model, source)


def test_published_names_are_the_models_names(golden):
    published = load_file(golden / "model_n64_weights.safetensors")
    report = load_weights(Trokens(10, embed_dim=384, num_points=64, hod={}), published)
    assert report.missing == report.unexpected == []  # its spatial_pos_embed is unused here
    assert set(published) - set(report.loaded) == {"spatial_pos_embed"}


@pytest.mark.parametrize("options", [{"base_pos_embed": False}, {"base_pos_embed": False, "point_pos_embed": False}])
def test_unused_position_embeddings_are_not_unexpected(options):
    state = build().state_dict()
    report = load_weights(build(**{**options, "point_pos_embed": False}), state)
    assert report.missing == report.unexpected == []


def test_what_is_missing_or_unexpected_is_said_in_one_line(caplog):
    state = build(cross_motion=False).state_dict() | {"extra.weight": torch.zeros(1)}
    with caplog.at_level(logging.INFO, logger="trokens"):
        report = load_weights(build(), state)
    assert report.unexpected == ["extra.weight"]
    assert report.missing and all(name.startswith("cross_motion_module.") for name in report.missing)
    line, = caplog.messages
    assert "extra.weight" in line and "cross_motion_module.ln2.bias" in line


@pytest.mark.parametrize("options, argument", [
    ({"num_points": 7}, "num_points"), ({"num_classes": 6}, "num_classes"), ({"hod": {"bins": 9}}, "bins"),
    ({"num_frames": 5}, "num_frames"), ({"grid": 3}, "grid"), ({"embed_dim": 32}, "embed_dim"),
    ({"mlp_ratio": 2}, "mlp_ratio")])
def test_another_shape_names_the_argument(options, argument):
    model = build(**options)
    with pytest.raises(ValueError, match=f"^{argument} is not what the source was trained with") as error:
        load_weights(model, build().state_dict())
    assert "in the source and" in str(error.value)


def test_a_mismatch_leaves_the_model_alone():
    model = build(num_classes=6)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError):
        load_weights(model, build().state_dict())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_backbone_is_optional_on_both_sides():
    with_backbone, without = build(backbone=dino()), build()
    published = without.state_dict() | {f"dino.{key}": value for key, value in dino().state_dict().items()}
    published["dino.mask_token"] = torch.zeros(1, 16)  # Meta's key format
    assert load_weights(without, published).unexpected == []
    report = load_weights(with_backbone, published)
    assert report.missing == report.unexpected == [] and "dino.mask_token" not in report.loaded
    assert torch.equal(with_backbone.backbone.pos_embed, published["dino.pos_embed"])
    assert load_weights(with_backbone, without.state_dict()).missing == []  # frozen: left out of checkpoints
    trained = load_weights(build(backbone=dino(), train_backbone=True), without.state_dict())
    assert "dino.pos_embed" in trained.missing


def test_a_damaged_file_of_the_hugging_face_cache_is_refused(tmp_path):
    content = save({"a": torch.ones(9)})
    blob = tmp_path / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir()
    blob.write_bytes(content)
    (tmp_path / "model.safetensors").symlink_to(blob)
    assert read_state_dict(tmp_path / "model.safetensors")["a"].sum() == 9
    blob.write_bytes(content[:-1] + b"\x40")
    with pytest.raises(ValueError, match=r"model\.safetensors .*it is not what was downloaded; remove it and download"):
        read_state_dict(tmp_path / "model.safetensors")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemError('executed')",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_are_not_weights_are_errors(tmp_path):
    model = build()
    with pytest.raises(FileNotFoundError, match="No weights at"):
        load_weights(model, tmp_path / "none.pyth")
    (tmp_path / "text.pyth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save({"model_state": {}, "bomb": Bomb()}, tmp_path / "bomb.pyth")
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("text.pyth", "text.safetensors", "bomb.pyth", "bomb.pth"):
        with pytest.raises(ValueError, match=f"{name} is not a file of weights"):
            read_state_dict(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pyth")
    with pytest.raises(ValueError, match="expected a state dict"):
        read_state_dict(tmp_path / "list.pyth")
    with pytest.raises(ValueError, match=r"none of the model's parameters; it has a\.weight"):
        load_weights(model, {"a.weight": torch.zeros(1)})


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_weights_that_were_converted_to_other_numbers_are_refused(dtype):
    state = {key: value.to(dtype) for key, value in build().state_dict().items()}
    with pytest.raises(ValueError, match=rf"has numbers of {dtype} in the source and of torch.float32 in the model"):
        load_weights(build(), state)
