"""Load a config: defaults <- ``_BASE_`` file <- file <- command line, checked as a whole before anything heavy."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yacs.config import CfgNode as CN

from trokens.config.defaults import get_cfg
from trokens.config.published import ONLY_VALUE, WITHOUT_EFFECT
from trokens.config.validate import ConfigError, option, problems_of
from trokens.config.values import convert, suggestion

_log = logging.getLogger(__name__)

# Their published defaults name what is not offered; left unset they take the one value that is.
_UNSET = {"TASK": "few_shot", "MODEL.MODEL_NAME": "Pointformer"}

# How keys begin (with = after a whole one) that may differ between two runs of the same experiment: machines, paths,
# logging.
_NOT_IN_HASH = ("DATA.CLIP_CACHE=", "DATA.CLIP_CACHE_GB", "DATA.PATH_TO_", "DATA.SPLIT_CSV", "DATA_LOADER.",
                "DIST_BACKEND", "LOG_", "MASTER_PORT", "MODEL.ACT_CHECKPOINT", "MODEL.BACKBONE_BATCH",
                "MODEL.BACKBONE_WEIGHTS", "MODEL.CACHE_GB", "MODEL.COMPILE", "MODEL.FEATURE_CACHE", "NUM_GPUS",
                "OUTPUT_DIR", "TENSORBOARD.", "TEST.BANK=", "TEST.BANK_DIR", "TEST.CHECKPOINT_FILE_PATH",
                "TEST.SAVE_RESULTS_PATH", "TRAIN.AUTO_RESUME", "TRAIN.CHECKPOINT_FILE_PATH",
                "TRAIN.CHECKPOINT_PERIOD", "WANDB.")


class _Setting(NamedTuple):
    key: str
    value: Any
    where: str  # "file:line: ", or "" on the command line


def load_cfg(path: str | Path, overrides: Sequence[Any] = ()) -> CN:
    """Return the frozen, checked config of one run.

    Args:
        path: YAML file. Its ``_BASE_`` names a file to start from, relative to it.
        overrides: KEY, VALUE, KEY, VALUE, ... as on a command line; the last of a key counts.

    Raises:
        ConfigError: With every problem of the files, the command line and their combination, a line each.
    """
    problems: list[str] = []
    settings = [*_read_file(Path(path), problems), *_read_pairs(overrides, problems)]
    cfg = get_cfg()
    for key, value in _UNSET.items():
        _put(cfg, key, value)
    refused = _merge(cfg, settings, problems)
    # A sentence about an option whose own value was refused would speak about its default.
    problems += [p for p in problems_of(cfg) if not any(key in p for key in refused)]
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


def changed_options(cfg: CN, text: str) -> list[str]:
    """Name the options that count for :func:`config_hash` and have another value, or none, in a dumped config."""
    other = _counted(yaml.safe_load(text))
    return [key for key, value in _counted(cfg).items() if other.get(key) != value]


def _counted(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _leaves(tree) if not f"{key}=".startswith(_NOT_IN_HASH)}


def _merge(cfg: CN, settings: list[_Setting], problems: list[str]) -> set[str]:
    """Put the settings into ``cfg``; return the keys whose values were refused."""
    defaults = dict(_leaves(cfg))
    known = defaults.keys() | WITHOUT_EFFECT
    sections = {key[:i] for key in known for i, char in enumerate(key) if char == "."}
    refused, idle = set(), []
    for key, value, where in {setting.key: setting for setting in settings}.values():
        if key in defaults:
            try:
                _put(cfg, key, convert(key, value, defaults[key]))
            except ValueError as error:
                problems.append(f"{where}{error}")
                refused.add(key)
        elif key in ONLY_VALUE and _plain(value) != ONLY_VALUE[key]:
            problems.append(f"{where}{key} = {value!r} is not offered; leave it out, or set it to {ONLY_VALUE[key]}.")
        elif key in WITHOUT_EFFECT:
            idle.append(key)
        elif key not in sections:
            problems.append(f"{where}Unknown option '{key}'.{suggestion(key, known)}")
        elif value is not None:  # an empty section is None to YAML
            problems.append(f"{where}'{key}' = {value!r} is a section; set one of its options, such as "
                            f"'{min(name for name in known if name.startswith(key + '.'))}'.")
    if idle:
        _log.warning("Config keys of the published code that have no effect here: %s.", ", ".join(sorted(idle)))
    return refused


def _read_pairs(overrides: Sequence[Any], problems: list[str]) -> list[_Setting]:
    if len(overrides) % 2:
        problems.append(f"Overrides come as KEY VALUE pairs; '{overrides[-1]}' has no value.")
    return [_Setting(str(key), value, "") for key, value in zip(overrides[::2], overrides[1::2], strict=False)]


def _read_file(path: Path, problems: list[str], chain: tuple[Path, ...] = ()) -> list[_Setting]:
    """Return the settings of ``path`` behind those of its ``_BASE_``."""
    if path.resolve() in chain:
        problems.append(f"{path} is its own _BASE_; the chain of files has to end.")
        return []
    try:
        loader = yaml.SafeLoader(path.read_bytes())
        loader.name = str(path)
        root = loader.get_single_node()
        if root is None:
            return []
        if not isinstance(root, yaml.MappingNode):
            problems.append(f"{path} is a YAML {root.id}; a config is a mapping of options.")
            return []
        settings = list(_walk(loader, root, "", path, problems))
    except OSError as error:
        problems.append(f"{path} cannot be read ({error.strerror}); give the path of a YAML file.")
        return []
    except yaml.YAMLError as error:
        problems.append(f"{path} is not valid YAML: {' '.join(str(error).split())}.")
        return []
    bases = [setting for setting in settings if setting.key == "_BASE_"]
    settings = [setting for setting in settings if setting.key != "_BASE_"]
    for base in bases:
        if not isinstance(base.value, str):
            problems.append(f"{base.where}_BASE_ = {base.value!r} is not a path; name one file.")
            continue
        settings = _read_file(path.parent / base.value, problems, (*chain, path.resolve())) + settings
    return settings


def _walk(loader: yaml.SafeLoader, node: yaml.MappingNode, prefix: str, path: Path,
          problems: list[str]) -> Iterator[_Setting]:
    """Yield the leaves of a mapping; PyYAML would let the second of two equal keys win."""
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        name, line = str(key_node.value), key_node.start_mark.line + 1
        where = f"{path}:{line}: "
        if name in lines:
            problems.append(f"{where}'{name}' is set twice. The first is in line {lines[name]}; keep one.")
            continue
        lines[name] = line
        if isinstance(value_node, yaml.MappingNode):
            yield from _walk(loader, value_node, f"{prefix}{name}.", path, problems)
        else:
            yield _Setting(prefix + name, loader.construct_object(value_node, deep=True), where)


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
