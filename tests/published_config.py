"""What the published code writes of a run's options: all of its keys, those that mean nothing here too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from trokens.config import OPTIONS
from trokens.config.published import ONLY_VALUE, WITHOUT_EFFECT

# Options of ours, which the published code does not have and whose defaults say what it does.
OURS = {
    "AUG.CACHED_VIEWS", "AUG.ORDER", "DATA.ALLOW_MISSING", "DATA.CLIP_CACHE", "DATA.CLIP_CACHE_FORMAT",
    "DATA.CLIP_CACHE_GB", "DATA.SPLIT_CSV", "FEW_SHOT.MATCHER", "FEW_SHOT.PROTOTYPE", "MODEL.ACT_CHECKPOINT",
    "MODEL.BACKBONE_BATCH", "MODEL.BACKBONE_WEIGHTS", "MODEL.CACHE_GB", "MODEL.COMPILE", "MODEL.EMBED_DIM",
    "MODEL.FEATURE_CACHE", "MODEL.TIMM_NAME", "MODEL.TIMM_STAGE", "POINT_INFO.COORDS", "POINT_INFO.HOD.BINNING",
    "POINT_INFO.RESAMPLE", "POINT_INFO.TRACK_DTYPE", "SOLVER.ACCUMULATE", "TENSORBOARD.ENABLE", "TEST.BANK",
    "TEST.BANK_DIR", "TEST.BANK_DTYPE", "TEST.K_SHOTS", "TEST.SPLIT", "TRAIN.VAL_SPLIT", "WANDB.ENABLE",
}
# Values of some that mean nothing here, of every kind that there is.
_IDLE = {
    "AUG.COLOR_JITTER": 0.4, "AUG.INTERPOLATION": "bicubic", "DATA.MEAN": [0.45, 0.45, 0.45], "DATA.SAMPLE_RATIO": None,
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": [], "DATA.TRAIN_PCA_EIGVEC": [[-0.56, 0.72, 0.4], [-0.58, -0.0, -0.81]],
    "MULTIGRID.LONG_CYCLE_FACTORS": [[0.25, 0.71], [0.5, 0.71], [0.5, 1], [1, 1]], "MODEL.ARCH": "slow",
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": [], "NUM_SHARDS": 1, "SHARD_ID": 0, "TRAIN.BATCH_SIZE": 64,
}
# What the published files and command set; what base.yaml sets besides is the same there.
_RECIPE = {
    "TASK": "few_shot", "TRAIN.EVAL_PERIOD": 5, "TRAIN.CHECKPOINT_PERIOD": 1, "TRAIN.MIXED_PRECISION": True,
    "MODEL.MODEL_NAME": "Pointformer", "MODEL.LOSS_FUNC": "label_smoothing_cross_entropy",
    "MODEL.DINO_CONFIG": "dinov2_vitb14", "MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE": True,
    "MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE": True, "DATA.USE_RAND_AUGMENT": True,
    "DATA.DECODING_BACKEND": "torchvision", "AUG.AA_TYPE": "rand-m7-n4-mstd0.5-inc1", "SOLVER.BASE_LR": 0.0001,
    "SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.STEPS": [0, 20, 40], "SOLVER.LRS": [1, 0.1, 0.01],
    "SOLVER.MAX_EPOCH": 50, "SOLVER.WEIGHT_DECAY": 0.5, "SOLVER.WARMUP_EPOCHS": 5, "SOLVER.WARMUP_START_LR": 1e-06,
    "SOLVER.OPTIMIZING_METHOD": "adamw", "FEW_SHOT.TRAIN_OG_EPISODES": True,
    "POINT_INFO.NAME": "cotracker3_bip_fr_32", "POINT_INFO.SAMPLING_TYPE": "cluster_sample",
}
_FILES = {  # dataset, classes, episodes
    "ssv2_small": ("Ssv2", 64, 400), "ssv2_full": ("Ssv2", 64, 1000), "hmdb": ("HMDB51", 51, 200),
    "k400": ("K400", 64, 100), "ucf": ("UCF101", 101, 100), "finegym": ("FINEGYM", 99, 200),
}
NAMES = tuple(_FILES)


def published_dump(name: str, **changes: Any) -> str:
    """Return what ``cfg.dump()`` of the published code gives after a published file was loaded.

    Args:
        name: One of ``NAMES``.
        changes: Further values, with ``__`` for the dots of a key.
    """
    dataset, num_classes, episodes = _FILES[name]
    own = {"TRAIN.DATASET": dataset, "TEST.DATASET": dataset, "MODEL.NUM_CLASSES": num_classes,
           "FEW_SHOT.TRAIN_EPISODES": episodes, "SSV2.SPLIT": name if dataset == "Ssv2" else "standard"}
    values = {key: option.default for key, option in OPTIONS.items() if key not in OURS}
    values |= dict.fromkeys(WITHOUT_EFFECT, "") | _IDLE | ONLY_VALUE | _RECIPE | own
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return yaml.safe_dump(_nested(values))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, leaf = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree
