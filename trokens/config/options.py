"""Every option Trokens reads: its published name and default, what it means, what values it takes, what it counts for.

An option is written once, in the list of its section: ``options_run.py``, ``options_data.py`` or ``options_model.py``.
``docs/CONFIG.md`` is rendered from here. Our own values are in ``configs/trokens``.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any

from yacs.config import CfgNode as CN

from trokens.config.option import Option
from trokens.config.options_data import AUG, DATA, DATA_LOADER, MIXUP, SSV2
from trokens.config.options_model import MF, MODEL, POINT_INFO
from trokens.config.options_run import FEW_SHOT, RUN, SOLVER, TENSORBOARD, TEST, TRAIN, WANDB

SECTIONS: dict[str, list[Option]] = {
    "Run: where and how a run takes place": RUN,
    "TRAIN: training and validation": TRAIN,
    "TEST: the final test": TEST,
    "MODEL: backbone, tokens and loss": MODEL,
    "MF: the trajectory transformer": MF,
    "DATA: videos and lists": DATA,
    "DATA_LOADER: loader processes": DATA_LOADER,
    "AUG: augmentation": AUG,
    "MIXUP: the part of it that remains": MIXUP,
    "SSV2: Something-Something V2": SSV2,
    "FEW_SHOT: the shape of an episode, and matching": FEW_SHOT,
    "POINT_INFO: trajectories": POINT_INFO,
    "SOLVER: optimizer and schedule": SOLVER,
    "WANDB: Weights & Biases": WANDB,
    "TENSORBOARD: TensorBoard": TENSORBOARD,
}
OPTIONS: dict[str, Option] = {option.key: option for section in SECTIONS.values() for option in section}


def get_cfg() -> CN:
    """Return a fresh, mutable config of the published defaults."""
    return nested({key: option.default for key, option in OPTIONS.items()})


def nested(values: Mapping[str, Any]) -> CN:
    """Return the config that keeps the value of ``A.B`` as ``cfg.A.B``."""
    cfg = CN()
    for key, value in values.items():
        *sections, name = key.split(".")
        node = cfg
        for section in sections:
            node = node.setdefault(section, CN())
        node[name] = copy(value)
    return cfg
