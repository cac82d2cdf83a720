"""A sweep file: a config, and settings of it that are to be compared, each with several seeds.

    cfg: moving_shapes                         # a config by its name, or a path from the sweep file
    options: {SOLVER.MAX_EPOCH: 14}            # of all runs
    rows:                                      # named settings: a mapping, or a list KEY, VALUE, ...
      trokens:
      without HoD: {MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE: False}
      tats: {cfg: tats/moving_shapes}          # a row may have another config
    grid: {FEW_SHOT.K_SHOT: [1, 5]}            # every row with each value; alone it makes the rows
    seeds: [1, 2, 3]                           # RNG_SEED
    baseline: trokens                          # the row that others are compared to
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trokens.config import ConfigError
from trokens.config.packaged import find_config, find_sweep, sweep_names
from trokens.config.values import shown, suggestion

KEYS = ("cfg", "options", "rows", "grid", "seeds", "baseline")
OWN_KEYS = {"RNG_SEED": "seeds", "OUTPUT_DIR": "--out"}  # options that a sweep sets, and what says to what
MAX_BYTES = 2**16
_NAME = re.compile(r"[\w][\w .,=+-]*", re.ASCII)


@dataclass(frozen=True)
class Row:
    """One setting of a sweep.

    Attributes:
        name: Of its folder, and of its row in the table.
        config: Path of its config.
        options: KEY, VALUE, KEY, VALUE, ..., as on a command line.
    """

    name: str
    config: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says: every row is to be run with every seed."""

    name: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    baseline: str | None


class _Loader(yaml.SafeLoader):
    """PyYAML's, but that of two rows of one name the first is not lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return mapping


def read_sweep(path: str | Path) -> Sweep:
    """Read a sweep file.

    Args:
        path: Of the file, or the name of a sweep that comes with the package, such as ``moving_shapes``.

    Raises:
        ConfigError: It cannot be read, or is no sweep; the options themselves are checked with their config.
    """
    path = find_sweep(str(path))
    given = _content(path)
    try:
        return _sweep(path, given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _content(path: Path) -> Any:
    names = f", or the name of one that comes with Trokens: {', '.join(sweep_names())}"
    if not path.is_file():
        raise ConfigError(f"There is no sweep file {path}; give the path of a YAML file{names}."
                          f"{suggestion(path.stem, sweep_names())}")
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path} is too large for a sweep file: it has more than {MAX_BYTES >> 10} KiB.")
        return yaml.load(content, _Loader)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())[:500].rstrip('.')}.") from error


def _sweep(path: Path, given: Any) -> Sweep:
    if not isinstance(given, Mapping):
        raise ConfigError("a sweep file is a mapping with the keys cfg, rows or grid, and seeds.")
    for key in given.keys() - set(KEYS):
        raise ConfigError(f"Unknown key {shown(key)}; a sweep file has {', '.join(KEYS)}.{suggestion(str(key), KEYS)}")
    seeds = given.get("seeds", [1])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ConfigError(f"seeds = {shown(seeds)} is no list of whole numbers from 0, like [1, 2, 3].")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds = {shown(seeds)} holds a number twice.")
    rows = tuple(_rows(path, given))
    names = [row.name for row in rows]
    if len(set(names)) < len(names):
        raise ConfigError(f"Two rows have one name: {', '.join(names)}.")
    baseline = given.get("baseline")
    if baseline is not None and baseline not in names:
        raise ConfigError(f"baseline = {shown(baseline)} is none of the rows: {', '.join(names)}.")
    return Sweep(path.stem, rows, tuple(seeds), baseline)


def _rows(path: Path, given: Mapping[str, Any]) -> list[Row]:
    """Rows times grid, each with the common options before its own."""
    common, rows = {"cfg": given.get("cfg"), **_options("options", given.get("options"))}, given.get("rows")
    if rows is not None and not (isinstance(rows, Mapping) and rows):
        raise ConfigError(f"rows = {shown(rows)} is no mapping of names to options.")
    named = [(str(name), _options(f"rows: {name}", some)) for name, some in (rows or {"": {}}).items()]
    found = []
    for (name, some), point in itertools.product(named, _grid(given.get("grid"))):
        options = {**common, **some, **point}
        config = options.pop("cfg")
        if not isinstance(config, str):
            raise ConfigError(f"cfg = {shown(config)} is no config; name one, or give a path.")
        name = ",".join(filter(None, (name, *_parts(point)))) or Path(config).stem
        if not _NAME.fullmatch(name):
            raise ConfigError(f"The row {shown(name)} cannot name a folder; use letters, digits and .,=+-_ alone.")
        flat = itertools.chain.from_iterable(options.items())
        found.append(Row(name, str(find_config(config, path.parent)), tuple(map(str, flat))))
    return found


def _grid(given: Any) -> list[dict[str, Any]]:
    """All combinations of a grid's values, the last key's values changing first; one without options for no grid."""
    if given is None:
        return [{}]
    if not isinstance(given, Mapping) or not all(isinstance(values, list) and values for values in given.values()):
        raise ConfigError(f"grid = {shown(given)} is no mapping of options to lists of their values.")
    _refuse_own(given)
    return [dict(zip(given, values, strict=True)) for values in itertools.product(*given.values())]


def _parts(point: Mapping[str, Any]) -> list[str]:
    """What a combination adds to a row's name, such as "K_SHOT=1": each option by its last part, if that is enough."""
    last = [key.rpartition(".")[2] for key in point]
    short = [name if last.count(name) == 1 else key for name, key in zip(last, point, strict=True)]
    return [f"{name}={re.sub(r'[^A-Za-z0-9_.+-]+', '_', str(value)).strip('_')}"
            for name, value in zip(short, point.values(), strict=True)]


def _options(where: str, given: Any) -> dict[str, Any]:
    """Options as a mapping, whose sections may be nested, or as a list KEY, VALUE, ...; with dots."""
    if isinstance(given, list):
        if len(given) % 2 or not all(isinstance(key, str) for key in given[::2]):
            raise ConfigError(f"{where} = {shown(given)} is no list of KEY, VALUE pairs.")
        given = dict(zip(given[::2], given[1::2], strict=True))
    if not isinstance(given or {}, Mapping):
        raise ConfigError(f"{where} = {shown(given)} is no mapping of options, and no list KEY, VALUE, ....")
    found: dict[str, Any] = {}
    for key, value in (given or {}).items():
        inner = _options(f"{where}.{key}", value) if isinstance(value, Mapping) else {"": value}
        found |= {f"{key}.{name}" if name else str(key): one for name, one in inner.items()}
    _refuse_own(found)
    return found


def _refuse_own(keys: Mapping[str, Any] | Sequence[str]) -> None:
    for key in OWN_KEYS.keys() & set(keys):
        raise ConfigError(f"{key} is what {OWN_KEYS[key]} of a sweep sets; leave it out of the options.")
