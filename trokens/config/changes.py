"""What a run's config changes, and where each change was written."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from yacs.config import CfgNode as CN

from trokens.config.options import OPTIONS
from trokens.config.yaml_file import read_settings


@dataclass(frozen=True)
class Change:
    """An option that a run sets.

    Attributes:
        key: The option.
        value: In the run.
        base: What it would be without this change: in the file that the changed one starts from, or by default.
        file: Name of the file that says so; "" for the command line.
    """

    key: str
    value: Any
    base: Any
    file: str


def config_changes(cfg: CN, path: str | Path | None) -> list[Change]:
    """The options that are not as by default, those of the command line first, then file by file down to the last base.

    Args:
        cfg: The loaded config.
        path: The file, or the name, that it was loaded from; None, or one that is gone, where nobody knows: then all
            changes count as the command line's.
    """
    settings = [] if path is None else read_settings(path, [])  # base first
    files = list(dict.fromkeys(setting.file for setting in settings))[::-1]
    found = []
    for key, option in OPTIONS.items():
        steps = [("", option.unset)]  # what each file makes of it
        for setting in settings:
            if setting.key == key and not setting.problem:
                try:
                    steps.append((setting.file, option.read(setting.value)))
                except ValueError:
                    continue
        value = attrgetter(key)(cfg)
        if value != steps[-1][1]:
            found.append(Change(key, value, steps[-1][1], ""))
        elif value != (base := next((there for _, there in steps[::-1] if there != value), value)):
            file = steps[next(n for n in range(len(steps)) if all(there == value for _, there in steps[n:]))][0]
            found.append(Change(key, value, base, file))
    order = ["", *files]
    return [Change(one.key, one.value, one.base, Path(one.file).name) for one in
            sorted(found, key=lambda one: order.index(one.file))]
