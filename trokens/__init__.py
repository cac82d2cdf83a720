"""Trokens: few-shot action recognition with trajectory tokens.

The public names below load their modules when first used, so `import trokens` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"  # its one place: pyproject.toml reads it here

_HOME = {
    "load_cfg": "trokens.config",
    "build_model": "trokens.models.build",
    "Trokens": "trokens.models.trokens",
    "load_weights": "trokens.models.weights",
    "from_pretrained": "trokens.models.pretrained",
    "build_backbone": "trokens.models.backbone",
    "match": "trokens.fewshot.matchers",
    "hod": "trokens.points.hod",
    "cluster_patches": "trokens.points.clustering",
    "sample_points": "trokens.points.sampling",
    "track": "trokens.trackers",
    "build_tracker": "trokens.trackers",
    "read_video": "trokens.video",
    "FewShotClassifier": "trokens.recognize.classifier",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trokens' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
