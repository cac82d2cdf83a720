"""Values and combinations of values that no run can start from."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise

from yacs.config import CfgNode as CN

DINO_PATCH = 14
_DINO_WIDTH = {"s": 384, "b": 768, "l": 1024, "g": 1536}  # by the letter after dinov2_vit


class ConfigError(ValueError):
    """A config that no run can start from; the message has one line a problem, each with its remedy."""


def problems_of(cfg: CN) -> Iterator[str]:
    """Yield one sentence for every impossible value, or combination of values, that no option alone can tell."""
    if not cfg.OUTPUT_DIR.strip():
        yield f"OUTPUT_DIR = {cfg.OUTPUT_DIR!r} names no folder; set it to one."
    if cfg.MASTER_PORT > 65535:
        yield f"MASTER_PORT = {cfg.MASTER_PORT} is above the last port, 65535."
    yield from _model(cfg)
    yield from _data(cfg)
    yield from _solver(cfg)


def _model(cfg: CN) -> Iterator[str]:
    model, motion = cfg.MODEL, cfg.MODEL.MOTION_MODULE
    if model.APPEARANCE_MODULE_DISABLE and not (motion.USE_CROSS_MOTION_MODULE or motion.USE_HOD_MOTION_MODULE):
        yield ("MODEL.APPEARANCE_MODULE_DISABLE = True leaves nothing in the tokens while both "
               "MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE and MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE are off; "
               "switch one of the three on.")
    if cfg.POINT_INFO.USE_CORRELATION and model.APPEARANCE_MODULE_DISABLE:
        yield ("POINT_INFO.USE_CORRELATION = True takes points from patch features; set "
               "MODEL.APPEARANCE_MODULE_DISABLE False, or it to False.")
    if model.USE_PATCH_AS_CLS and (not model.USE_CLS_TOKEN or model.APPEARANCE_MODULE_DISABLE):
        other = "MODEL.APPEARANCE_MODULE_DISABLE False" if model.USE_CLS_TOKEN else "MODEL.USE_CLS_TOKEN True"
        yield f"MODEL.USE_PATCH_AS_CLS = True makes a class token of patch features; set {other}, or it to False."
    if model.FEAT_EXTRACTOR != "timm" and cfg.DATA.TRAIN_CROP_SIZE % DINO_PATCH:
        below = max(1, cfg.DATA.TRAIN_CROP_SIZE // DINO_PATCH) * DINO_PATCH
        yield (f"DATA.TRAIN_CROP_SIZE = {cfg.DATA.TRAIN_CROP_SIZE} is not a multiple of the backbone's patch, "
               f"{DINO_PATCH} pixels; {below} is.")
    if model.FEAT_EXTRACTOR == "timm" and not model.TIMM_NAME:
        yield "MODEL.FEAT_EXTRACTOR = 'timm' needs the name of a timm model; set MODEL.TIMM_NAME."
    if model.FEAT_EXTRACTOR == "none" and model.EMBED_DIM == 0:
        yield "MODEL.FEAT_EXTRACTOR = 'none' leaves the token width open; set MODEL.EMBED_DIM."
    if model.FEAT_EXTRACTOR == "none" and model.TRAIN_BACKBONE:
        yield "MODEL.FEAT_EXTRACTOR = 'none' has no backbone to train; set MODEL.TRAIN_BACKBONE False."
    is_dino = model.FEAT_EXTRACTOR == "dino"
    width = model.EMBED_DIM or (_DINO_WIDTH[model.DINO_CONFIG.removeprefix("dinov2_vit")[0]] if is_dino else 0)
    if width > 0 and cfg.MF.NUM_HEADS > 0 and width % cfg.MF.NUM_HEADS:
        source = "MODEL.EMBED_DIM" if model.EMBED_DIM else f"MODEL.DINO_CONFIG {model.DINO_CONFIG}"
        yield f"MF.NUM_HEADS = {cfg.MF.NUM_HEADS} does not divide the token width {width} ({source}); change either."
    hod = cfg.POINT_INFO.HOD
    if hod.TEMPORAL_PYRAMID and cfg.DATA.NUM_FRAMES.bit_length() < hod.TEMPORAL_PYRAMID_LEVELS:  # 2^(levels-1) parts
        yield (f"POINT_INFO.HOD.TEMPORAL_PYRAMID_LEVELS = {hod.TEMPORAL_PYRAMID_LEVELS} cuts DATA.NUM_FRAMES = "
               f"{cfg.DATA.NUM_FRAMES} into more parts than frames; lower it.")


def _data(cfg: CN) -> Iterator[str]:
    if cfg.SSV2.SPLIT == "standard" and "ssv2" in (cfg.TRAIN.DATASET.lower(), cfg.TEST.DATASET.lower()):
        yield "SSV2.SPLIT = 'standard' names no few-shot list; set it to ssv2_small or ssv2_full."
    if cfg.DATA.SPLIT_CSV and cfg.TRAIN.DATASET.lower() != "folder":
        yield (f"DATA.SPLIT_CSV = {cfg.DATA.SPLIT_CSV!r} is read by the folder dataset only; set TRAIN.DATASET folder "
               "or leave it empty.")
    if cfg.DATA.DECODING_BACKEND == "decord" and find_spec("decord") is None:
        yield "DATA.DECODING_BACKEND = 'decord' is not installed; run pip install decord, or set it to pyav."
    if cfg.DATA.CLIP_CACHE_FORMAT != "raw" and not cfg.DATA.CLIP_CACHE:
        yield (f"DATA.CLIP_CACHE_FORMAT = {cfg.DATA.CLIP_CACHE_FORMAT!r} changes frames only in a cache; set "
               "DATA.CLIP_CACHE to its folder, or the format to raw.")


def _solver(cfg: CN) -> Iterator[str]:
    solver = cfg.SOLVER
    if solver.WARMUP_EPOCHS >= solver.MAX_EPOCH:
        yield (f"SOLVER.WARMUP_EPOCHS = {solver.WARMUP_EPOCHS} does not end before SOLVER.MAX_EPOCH = "
               f"{solver.MAX_EPOCH}; lower the warm-up.")
    if solver.LR_POLICY == "steps_with_relative_lrs":
        if len(solver.STEPS) != len(solver.LRS):
            yield (f"SOLVER.STEPS has {len(solver.STEPS)} entries and SOLVER.LRS has {len(solver.LRS)}; "
                   "give one factor for each step.")
        if not solver.STEPS or solver.STEPS[0] != 0 or any(a >= b for a, b in pairwise(solver.STEPS)):
            yield f"SOLVER.STEPS = {solver.STEPS} has to start with 0 and ascend."
    if solver.OPTIMIZING_METHOD == "sgd" and solver.NESTEROV and (solver.MOMENTUM <= 0 or solver.DAMPENING != 0):
        yield (f"SOLVER.NESTEROV = True needs momentum without dampening; SOLVER.MOMENTUM is {solver.MOMENTUM} and "
               f"SOLVER.DAMPENING is {solver.DAMPENING}.")
