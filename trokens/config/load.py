"""Load a config: defaults <- ``_BASE_`` file <- file <- command line, checked as a whole before anything heavy."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode as CN

from trokens.config.options import OPTIONS, nested
from trokens.config.published import NEVER_READ, ONLY_VALUE, PUBLISHED_AUGMENTATION, WITHOUT_EFFECT
from trokens.config.validate import ConfigError, problems_of
from trokens.config.values import shown, suggestion
from trokens.config.yaml_document import Setting
from trokens.config.yaml_file import read_settings

_log = logging.getLogger(__name__)

_KEYS = OPTIONS.keys() | WITHOUT_EFFECT
_SECTIONS = {key[:i] for key in _KEYS for i, char in enumerate(key) if char == "."}
_MAX_PROBLEMS = 30  # in one message


def load_cfg(path: str | Path, overrides: Sequence[Any] = ()) -> CN:
    """Return the frozen, checked config of one run.

    Args:
        path: YAML file, or the name of one that comes with the package, such as ``hmdb``. Its ``_BASE_`` names a file
            to start from, relative to it, or one of those.
        overrides: KEY, VALUE, KEY, VALUE, ... as on a command line; the last of a key counts.

    Raises:
        ConfigError: With every problem of the files, the command line and their combination, a line each.
    """
    problems: list[str] = []
    settings = read_settings(path, problems)
    if len(overrides) % 2:
        problems.append(f"Overrides come as KEY VALUE pairs; {shown(overrides[-1])} has no value.")
    settings += [Setting(str(key), value) for key, value in zip(overrides[::2], overrides[1::2], strict=False)]
    is_read = not problems
    counting = {setting.key: setting for setting in settings}  # the last of a key
    values, refused = _merge(counting.values(), problems)
    cfg = nested(values)
    _warn_of_published(cfg, {key: setting for key, setting in counting.items() if key not in refused})
    # A sentence about a combination would speak of defaults where a value in it was refused, or its file not read.
    problems += [p for p in problems_of(cfg) if is_read and not any(key in p for key in refused & OPTIONS.keys())]
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = [f"And {len(problems) - _MAX_PROBLEMS} more problems; is this a config of Trokens?"]
    if problems:
        raise ConfigError("\n".join(problems))
    cfg.freeze()
    return cfg


def dump(cfg: CN) -> str:
    """Return the full config as YAML text, which ``load_cfg`` reads back."""
    return cfg.dump()


def _merge(settings: Iterable[Setting], problems: list[str]) -> tuple[dict[str, Any], set[str]]:
    """Return the value of every option, and the keys whose values were refused; ``problems`` gets the reasons."""
    values = {key: option.unset for key, option in OPTIONS.items()}
    refused = set()
    for key, value, where, problem in settings:
        if problem:
            pass
        elif where and key in NEVER_READ and _is_never_read(key, value):
            _log.warning("%s%s = %s is not there, and the published code never reads it: training starts from fresh "
                         "weights.", where, key, value)
        elif key in OPTIONS:
            try:
                values[key] = OPTIONS[key].read(value)
            except ValueError as error:
                problem = str(error)
        elif key in ONLY_VALUE and _plain(value) != ONLY_VALUE[key]:
            problem = f"{key} = {shown(value)} is not offered; leave it out, or set it to {ONLY_VALUE[key]}."
        elif key in _SECTIONS and value is not None:  # an empty section is None to YAML
            example = min(name for name in _KEYS if name.startswith(f"{key}."))
            problem = f"'{key}' = {shown(value)} is a section; set one of its options, such as '{example}'."
        elif key not in _KEYS | _SECTIONS:
            near = suggestion(key, _KEYS) if len(problems) < _MAX_PROBLEMS else ""
            problem = f"Unknown option {shown(key)}.{near}"
        if problem:
            problems.append(f"{where}{problem}")
            refused.add(key)
    return values, refused


def _warn_of_published(cfg: CN, counting: Mapping[str, Setting]) -> None:
    """Name the settings without effect, and one that takes effect here alone."""
    idle = sorted(counting.keys() & WITHOUT_EFFECT)
    if not idle:
        return
    _log.warning("Config keys of the published code that have no effect here: %s.", ", ".join(idle))
    augmentation = counting.get("AUG.AA_TYPE")
    if cfg.DATA.USE_RAND_AUGMENT and augmentation and augmentation.where and (
            augmentation.file in {counting[key].file for key in idle}):  # a file written for that code
        _log.warning("%sAUG.AA_TYPE = %s takes effect here; the published code augments with %s, whatever it says.",
                     augmentation.where, cfg.AUG.AA_TYPE, PUBLISHED_AUGMENTATION)


def _is_never_read(key: str, value: Any) -> bool:
    return os.path.basename(str(value)) == NEVER_READ[key] and not os.path.exists(str(value))


def _plain(value: Any) -> Any:
    return {"true": True, "false": False, "1": 1, "0": 0}.get(str(value).lower(), value)
