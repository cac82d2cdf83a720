"""Every option Trokens reads: its published name and default, its meaning, the values it takes, what it counts for.

Each is written once, below the heading of its section, in ``options_run.py``, ``options_model.py``, ``options_data.py``
or ``options_episodes.py``; ``docs/CONFIG.md`` is rendered from there. Our own values are in ``configs/trokens``.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any

from yacs.config import CfgNode as CN

from trokens.config.option import Option
from trokens.config.options_data import DATA
from trokens.config.options_episodes import EPISODES
from trokens.config.options_model import MODEL
from trokens.config.options_run import RUN

DOCUMENTED: list[Any] = [*RUN, *MODEL, *DATA, *EPISODES]  # headings and options
OPTIONS: dict[str, Option] = {entry.key: entry for entry in DOCUMENTED if isinstance(entry, Option)}


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
