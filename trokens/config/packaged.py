"""The configs that come with the package, found by name from any folder."""

from __future__ import annotations

import os
from pathlib import Path

from trokens.config.values import suggestion

_PACKAGE = Path(__file__).resolve().parents[1]
_BASE = "base"  # what the others start from; no experiment of its own


def config_folder() -> Path:
    """Where they lie: in the package once it is installed, in a checkout beside it."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs/trokens"


def config_names() -> list[str]:
    """Names that stand for a config, in alphabetical order."""
    return sorted(path.stem for path in config_folder().glob("*.yaml") if path.stem != _BASE)


def find_config(name: str, folder: Path = Path()) -> Path:
    """The file that a path or a name stands for.

    Args:
        name: Path of a YAML file, or the name of a packaged config; a file of that name goes first.
        folder: Where a relative path starts from.
    """
    path = folder / name
    is_name = not os.path.isfile(path) and name in (*config_names(), _BASE)
    return config_folder() / f"{name}.yaml" if is_name else path


def names_told(name: str) -> str:
    """What a message says of the names where there is no file ``name``."""
    names = config_names()
    return f", or the name of one that comes with Trokens: {', '.join(names)}.{suggestion(Path(name).stem, names)}"
