"""From a config to its model."""

from __future__ import annotations

import logging

from trokens.config.border import keys_of
from trokens.fewshot.matchers import build_matcher
from trokens.models.backbone import (
    DINO_PATCH,
    backbone_shape,
    build_backbone,
    build_timm_backbone,
    freeze_unused,
)
from trokens.models.trokens import Trokens

logger = logging.getLogger(__name__)

MODEL_KEYS = {  # argument: the config's key that decides it
    "num_classes": "MODEL.NUM_CLASSES, where 0 stands for the number of train classes",
    "embed_dim": "MODEL.EMBED_DIM, or MODEL.DINO_CONFIG where that is 0",
    "backbone": "MODEL.DINO_CONFIG", "train_backbone": "MODEL.TRAIN_BACKBONE", "stage": "MODEL.TIMM_STAGE",
    "size": "DATA.TRAIN_CROP_SIZE", "grid": "DATA.TRAIN_CROP_SIZE or MODEL.FEAT_EXTRACTOR",
    "num_frames": "DATA.NUM_FRAMES", "num_points": "POINT_INFO.NUM_POINTS_TO_SAMPLE",
    "appearance": "MODEL.APPEARANCE_MODULE_DISABLE", "sample_mode": "MODEL.FEAT_EXTRACT_MODE",
    "base_pos_embed": "MF.USE_BASE_POS_EMBED", "point_pos_embed": "MF.USE_PT_SPACE_POS_EMBED",
    "patch_points": "POINT_INFO.USE_CORRELATION", "class_token": "MODEL.USE_CLS_TOKEN and MODEL.USE_PATCH_AS_CLS",
    "hod": "MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE",
    "bins": "POINT_INFO.HOD.NUM_BINS or POINT_INFO.HOD.TEMPORAL_PYRAMID",
    "binning": "POINT_INFO.HOD.BINNING", "levels": "POINT_INFO.HOD.TEMPORAL_PYRAMID_LEVELS",
    "cross_motion": "MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE",
    "depth": "MF.DEPTH", "num_heads": "MF.NUM_HEADS", "mlp_ratio": "MF.MLP_RATIO", "qkv_bias": "MF.QKV_BIAS",
    "head_act": "MF.HEAD_ACT",
    "matcher": "FEW_SHOT.MATCHER", "length": "FEW_SHOT.PATCH_TOKENS_AGG", "width": "FEW_SHOT.TRX_WIDTH",  # of a matcher
}


@keys_of(**MODEL_KEYS)
def build_model(cfg) -> Trokens:
    """The model that a config describes, on the CPU; its backbone's weights are loaded, the others drawn at random.

    Args:
        cfg: From :func:`trokens.load_cfg`. With MODEL.FEAT_EXTRACTOR none the backbone is left out and MODEL.EMBED_DIM
            gives the width; with MODEL.APPEARANCE_MODULE_DISABLE no backbone is needed.

    Raises:
        ValueError: An impossible option.
        FileNotFoundError: The backbone has no weights here and none can be fetched.
    """
    model, mf, points = cfg.MODEL, cfg.MF, cfg.POINT_INFO
    size, appearance = cfg.DATA.TRAIN_CROP_SIZE, not model.APPEARANCE_MODULE_DISABLE
    kind = model.FEAT_EXTRACTOR.lower()
    backbone, shape = None, (0, size // DINO_PATCH)
    if kind == "dino" and appearance:
        backbone = build_backbone(model.DINO_CONFIG, weights=model.BACKBONE_WEIGHTS)
    elif kind == "timm" and appearance:
        backbone = build_timm_backbone(model.TIMM_NAME, stage=model.TIMM_STAGE, weights=model.BACKBONE_WEIGHTS,
                                       image_size=size)
    elif kind in ("dino", "timm"):  # no appearance: only its width and grid are needed
        shape = backbone_shape(model.DINO_CONFIG if kind == "dino" else model.TIMM_NAME, model.TIMM_STAGE, size)
    elif kind != "none":
        raise ValueError(f"MODEL.FEAT_EXTRACTOR is '{model.FEAT_EXTRACTOR}'; expected dino, timm or none.")
    if backbone is not None:
        shape = backbone.embed_dim, backbone.grid(size)
        if model.TRAIN_BACKBONE:
            freeze_unused(backbone, size)
    if points.USE_PT_QUERY_MASK:
        logger.info("Points take part in attention from their query frame on (POINT_INFO.USE_PT_QUERY_MASK); "
                    "the published numbers were made with all points taking part everywhere.")
    hod = points.HOD
    built = Trokens(
        model.NUM_CLASSES, embed_dim=model.EMBED_DIM, backbone=backbone, train_backbone=model.TRAIN_BACKBONE,
        backbone_batch=model.BACKBONE_BATCH, feature_dim=shape[0], grid=shape[1], num_frames=cfg.DATA.NUM_FRAMES,
        num_points=points.NUM_POINTS_TO_SAMPLE, appearance=appearance, sample_mode=model.FEAT_EXTRACT_MODE,
        base_pos_embed=mf.USE_BASE_POS_EMBED, point_pos_embed=mf.USE_PT_SPACE_POS_EMBED,
        hod={"bins": hod.NUM_BINS, "per_frame": hod.PRESERVE_TEMPORAL, "binning": hod.BINNING,
             "pyramid_levels": hod.TEMPORAL_PYRAMID_LEVELS if hod.TEMPORAL_PYRAMID else 0}
        if model.MOTION_MODULE.USE_HOD_MOTION_MODULE else None,
        cross_motion=model.MOTION_MODULE.USE_CROSS_MOTION_MODULE,
        patch_points={"method": points.SAMPLING_TYPE, "hod_clusters": hod.NUM_CLUSTERS}
        if points.USE_CORRELATION else None,
        class_token="none" if not model.USE_CLS_TOKEN else "patches" if model.USE_PATCH_AS_CLS else "learned",
        mask="query" if points.USE_PT_QUERY_MASK else "visibility" if mf.USE_PT_VISIBILITY else "none",
        depth=mf.DEPTH, num_heads=mf.NUM_HEADS, mlp_ratio=mf.MLP_RATIO, qkv_bias=mf.QKV_BIAS, drop=mf.DROP,
        attn_drop=mf.ATTN_DROPOUT, drop_path=mf.DROP_PATH, pos_drop=mf.POS_DROPOUT, head_drop=mf.HEAD_DROPOUT,
        head_act=mf.HEAD_ACT, act_checkpoint=model.ACT_CHECKPOINT, compile_blocks=model.COMPILE)
    built.matcher = build_matcher(cfg, built.embed_dim)  # last: the weights of the others are drawn as without it
    return built
