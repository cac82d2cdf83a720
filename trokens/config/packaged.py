"""The configs that come with the package, found by name from any folder."""

from __future__ import annotations

import os
from pathlib import Path

from trokens.config.values import suggestion

_PACKAGE = Path(__file__).resolve().parents[1]
_BASE = "base"  # what the others start from; no experiment of its own
_OTHERS = ("tats",)  # folders of further methods, whose names stand in front: tats/hmdb


def config_folder(method: str = "") -> Path:
    """Where those of a method lie ("" is Trokens), or the sweeps: in an installed package, in a checkout beside it."""
    installed = _PACKAGE / "configs"
    return installed / method if installed.is_dir() else _PACKAGE.parent / "configs" / (method or "trokens")


def sweep_names() -> list[str]:
    """Names that stand for a sweep, in alphabetical order."""
    return sorted(path.stem for path in config_folder("sweeps").glob("*.yaml"))


def find_sweep(name: str) -> Path:
    """The file that a path, or the name of a packaged sweep, stands for; a file of that name goes first."""
    is_name = not os.path.isfile(name) and name in sweep_names()
    return config_folder("sweeps") / f"{name}.yaml" if is_name else Path(name)


def config_names() -> list[str]:
    """Names that stand for a config, in alphabetical order, those of further methods last."""
    own = sorted(path.stem for path in config_folder().glob("*.yaml") if path.stem != _BASE)
    return own + sorted(f"{other}/{path.stem}" for other in _OTHERS for path in config_folder(other).glob("*.yaml"))


def find_config(name: str, folder: Path = Path()) -> Path:
    """The file that a path or a name stands for.

    Args:
        name: Path of a YAML file, or the name of a packaged config; a file of that name goes first.
        folder: Where a relative path starts from.
    """
    path = folder / name
    is_name = not os.path.isfile(path) and name in (*config_names(), _BASE)
    method, _, stem = name.rpartition("/")
    return config_folder(method) / f"{stem}.yaml" if is_name else path


def names_told(name: str) -> str:
    """What a message says of the names where there is no file ``name``."""
    names = config_names()
    return f", or the name of one that comes with Trokens: {', '.join(names)}.{suggestion(Path(name).stem, names)}"
