"""Load a config: defaults <- ``_BASE_`` file <- file <- command line, checked as a whole before anything heavy."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode as CN

from trokens.config.defaults import get_cfg
from trokens.config.published import NEVER_READ, ONLY_VALUE, PUBLISHED_AUGMENTATION, WITHOUT_EFFECT
from trokens.config.validate import ConfigError, option, problems_of
from trokens.config.values import convert, shown, suggestion
from trokens.config.yaml_file import Setting, read_settings, text_settings

_log = logging.getLogger(__name__)

# Their published defaults name what is not offered; left unset they take the one value that is.
_UNSET = {"TASK": "few_shot", "MODEL.MODEL_NAME": "Pointformer"}

# How keys begin (with = after a whole one) that may differ between two runs of the same experiment: machines, paths,
# logging.
_NOT_IN_HASH = ("DATA.CHANGED_VIDEO", "DATA.CLIP_CACHE=", "DATA.CLIP_CACHE_GB", "DATA.PATH_TO_", "DATA.SPLIT_CSV",
                "DATA_LOADER.", "DIST_", "LOG_", "MASTER_PORT", "MODEL.ACT_CHECKPOINT", "MODEL.BACKBONE_BATCH",
                "MODEL.BACKBONE_WEIGHTS", "MODEL.CACHE_GB", "MODEL.COMPILE", "MODEL.FEATURE_CACHE", "NUM_GPUS",
                "OUTPUT_DIR", "TENSORBOARD.", "TEST.ALLOW_TRAINED_CLASSES", "TEST.BANK=", "TEST.BANK_DIR",
                "TEST.CHECKPOINT_FILE_PATH", "TEST.SAVE_RESULTS_PATH", "TRAIN.AUTO_RESUME",
                "TRAIN.CHECKPOINT_FILE_PATH", "TRAIN.CHECKPOINT_PERIOD", "TRAIN.KEEP_EVERY", "WANDB.")

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
    settings = [*read_settings(path, problems), *_read_pairs(overrides, problems)]
    is_read = not problems
    cfg = _start()
    refused = _merge(cfg, settings, problems)
    # A sentence about an option whose own value was refused would speak about its default.
    # So would one about the combination of what was read where a part was not.
    problems += [p for p in problems_of(cfg) if is_read and not any(key in p for key in refused)]
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = [f"And {len(problems) - _MAX_PROBLEMS} more problems; is this a config of Trokens?"]
    if problems:
        raise ConfigError("\n".join(problems))
    cfg.freeze()
    return cfg


def dump(cfg: CN) -> str:
    """Return the full config as YAML text, which ``load_cfg`` reads back."""
    return cfg.dump()


def config_hash(cfg: CN, sections: tuple[str, ...] = ("",)) -> str:
    """Return 12 hex digits that two configs share if they describe the same experiment.

    Paths, processes, ports and logging do not count; nor do, where ``sections`` are given, options outside of them.
    """
    counted = {key: value for key, value in _counted(cfg).items() if key.startswith(sections)}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:12]


def changed_options(cfg: CN, text: str) -> dict[str, tuple[Any, Any]]:
    """Compare the options that count for :func:`config_hash` with those of a dumped config.

    Args:
        cfg: The loaded config.
        text: What :func:`dump` gave, or the published code's ``cfg.dump()``, where an option of ours that it lacks has
            its default: what the published code does.

    Returns:
        Key -> (value there, value here) of those that differ; None there for one that an older version lacked.

    Raises:
        ConfigError: The text is no config.
    """
    options, there = dict(_leaves(_start())), {}
    settings = text_settings(text, "The config that the checkpoint keeps")
    if any(setting.key in WITHOUT_EFFECT for setting in settings):
        there = dict(options)
    for setting in settings:
        if setting.key in options:
            try:
                there[setting.key] = convert(setting.key, setting.value, options[setting.key])
            except ValueError:
                there[setting.key] = setting.value
    return {key: (there.get(key), here) for key, here in _counted(cfg).items() if there.get(key) != here}


def kept_options(text: str) -> dict[str, Any]:
    """The settings of a dumped config, ours or the published code's, as they are written; none of what is no config."""
    try:
        return {setting.key: setting.value for setting in text_settings(text, "The config that the checkpoint keeps")}
    except ConfigError:
        return {}


def _start() -> CN:
    cfg = get_cfg()
    for key, value in _UNSET.items():
        _put(cfg, key, value)
    return cfg


def _counted(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _leaves(tree) if not f"{key}=".startswith(_NOT_IN_HASH)}


def _merge(cfg: CN, settings: list[Setting], problems: list[str]) -> set[str]:
    """Put the settings into ``cfg``; return the keys whose values were refused."""
    defaults = dict(_leaves(cfg))
    known = defaults.keys() | WITHOUT_EFFECT
    sections = {key[:i] for key in known for i, char in enumerate(key) if char == "."}
    refused, idle = set(), []
    counting = {setting.key: setting for setting in settings}
    for key, value, where, problem in counting.values():
        if problem:
            problems.append(f"{where}{problem}")
            refused.add(key)
        elif where and _is_never_read(key, value):
            _log.warning("%s%s = %s is not there, and the published code never reads it: training starts from fresh "
                         "weights.", where, key, value)
        elif key in defaults:
            try:
                _put(cfg, key, convert(key, value, defaults[key]))
            except ValueError as error:
                problems.append(f"{where}{error}")
                refused.add(key)
        elif key in ONLY_VALUE and _plain(value) != ONLY_VALUE[key]:
            problems.append(f"{where}{key} = {shown(value)} is not offered; leave it out, or set it to "
                            f"{ONLY_VALUE[key]}.")
        elif key in WITHOUT_EFFECT:
            idle.append(key)
        elif key not in sections:
            near = suggestion(key, known) if len(problems) < _MAX_PROBLEMS else ""
            problems.append(f"{where}Unknown option {shown(key)}.{near}")
        elif value is not None:  # an empty section is None to YAML
            problems.append(f"{where}'{key}' = {shown(value)} is a section; set one of its options, such as "
                            f"'{min(name for name in known if name.startswith(key + '.'))}'.")
    if idle:
        _log.warning("Config keys of the published code that have no effect here: %s.", ", ".join(sorted(idle)))
        augmentation = counting.get("AUG.AA_TYPE")
        if cfg.DATA.USE_RAND_AUGMENT and augmentation and augmentation.where and (
                augmentation.file in {counting[key].file for key in idle}):  # a file written for that code
            _log.warning("%sAUG.AA_TYPE = %s takes effect here; the published code augments with %s, whatever it says.",
                         augmentation.where, cfg.AUG.AA_TYPE, PUBLISHED_AUGMENTATION)
    return refused


def _is_never_read(key: str, value: Any) -> bool:
    return key in NEVER_READ and os.path.basename(str(value)) == NEVER_READ[key] and not os.path.exists(str(value))


def _read_pairs(overrides: Sequence[Any], problems: list[str]) -> list[Setting]:
    if len(overrides) % 2:
        problems.append(f"Overrides come as KEY VALUE pairs; {shown(overrides[-1])} has no value.")
    return [Setting(str(key), value, "") for key, value in zip(overrides[::2], overrides[1::2], strict=False)]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _put(cfg: CN, key: str, value: Any) -> None:
    section, _, leaf = key.rpartition(".")
    (option(cfg, section) if section else cfg)[leaf] = value


def _plain(value: Any) -> Any:
    return {"true": True, "false": False, "1": 1, "0": 0}.get(str(value).lower(), value)
