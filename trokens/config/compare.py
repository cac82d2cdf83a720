"""What two configs differ in, and whether it matters: to an experiment, to kept tokens, to trained weights."""

import hashlib
import json
from operator import attrgetter
from typing import Any

from yacs.config import CfgNode as CN

from trokens.config.options import OPTIONS
from trokens.config.published import WITHOUT_EFFECT
from trokens.config.validate import ConfigError
from trokens.config.yaml_document import Document
from trokens.config.yaml_file import MAX_BYTES

_QUERY_MASK = "POINT_INFO.USE_PT_QUERY_MASK"


def config_hash(cfg: CN, counts_for: str = "results") -> str:
    """Return 12 hex digits that two configs share if they describe the same experiment, or the same tokens of clips.

    Args:
        cfg: The loaded config.
        counts_for: "results" or "tokens", the :class:`Option`'s attribute.
    """
    values = {key: attrgetter(key)(cfg) for key, option in OPTIONS.items() if getattr(option, counts_for)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


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
    written = _written(text)
    there = {key: option.unset for key, option in OPTIONS.items()} if written.keys() & WITHOUT_EFFECT else {}
    for key in written.keys() & OPTIONS.keys():
        try:
            there[key] = OPTIONS[key].read(written[key])
        except ValueError:
            there[key] = written[key]
    return {key: (there.get(key), here) for key, option in OPTIONS.items()
            if option.results and there.get(key) != (here := attrgetter(key)(cfg))}


def changed_meaning(cfg: CN, text: str) -> dict[str, tuple[Any, Any]]:
    """Compare the options that give a model's weights their meaning with those of the config that a checkpoint keeps.

    An option that the checkpoint's config lacks had its default. The published code never applies its query mask,
    whatever its config says. Arguments, result and errors are those of :func:`changed_options`.
    """
    changed = {key: (there, here) for key, (there, here) in changed_options(cfg, text).items()
               if OPTIONS[key].weights and not (there is None and here == OPTIONS[key].default)}
    if _written(text).keys() & WITHOUT_EFFECT:  # of the published code
        changed.pop(_QUERY_MASK, None)
        if attrgetter(_QUERY_MASK)(cfg):
            changed[_QUERY_MASK] = (False, True)
    return changed


def kept_options(text: str) -> dict[str, Any]:
    """The settings of a dumped config, ours or the published code's, as they are written; none of what is no config."""
    try:
        return _written(text)
    except ConfigError:
        return {}


def _written(text: str) -> dict[str, Any]:
    name = "The config that the checkpoint keeps"
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        raise ConfigError(f"{name} is no text of at most {MAX_BYTES >> 10} KiB.")
    return {setting.key: setting.value for setting in Document(text, name).settings()}
