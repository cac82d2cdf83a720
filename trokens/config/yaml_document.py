"""One YAML text of options, whatever it holds: read within bounds of depth and aliases, each problem one sentence.

PyYAML alone lets the second of two equal keys win in silence, follows an alias that holds itself for ever, and ends in
Python's own errors at a number or a date that is none.
"""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import yaml

from trokens.config.validate import ConfigError
from trokens.config.values import shown

_log = logging.getLogger(__name__)

_MAX_DEPTH = 20
_MAX_NODES = 10_000  # keys and list entries, each counted as often as aliases repeat it
_MAX_NUMBER = 400  # characters of a number; a float has up to 309 digits
_MAX_NAME = 100  # characters of a key
_MAX_REASON = 500  # characters of what PyYAML says
_MAX_REPEATS = 10  # told by name
_TAG = "tag:yaml.org,2002:"
_SCALARS = tuple(_TAG + name for name in ("str", "int", "float", "bool", "null"))


class Setting(NamedTuple):
    """One option as it was set."""

    key: str  # with dots
    value: Any  # as written
    where: str = ""  # "file:line: ", or "" on the command line
    problem: str = ""  # why the value cannot be read, a sentence that begins with the key

    @property
    def file(self) -> str:
        return self.where.rsplit(":", 2)[0]


class _Loader(yaml.SafeLoader):
    """PyYAML's, but that a date is the text it was written as, and that depth ends."""

    yaml_implicit_resolvers: ClassVar[dict] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _SCALARS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        if self.depth == _MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"it nests deeper than {_MAX_DEPTH} levels",
                                              self.peek_event().start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Document:
    """One YAML text, or its bytes, and the name that messages call it by."""

    def __init__(self, content: bytes | str, name: str):
        self.content, self.name, self.left = content, name, _MAX_NODES
        self.repeats: list[str] = []

    def settings(self) -> list[Setting]:
        """Return what it sets.

        A key that is repeated has its last value, as in PyYAML: of two sections of one name the first counts nothing.
        One warning names those whose values differ.

        Raises:
            ConfigError: It is no YAML mapping, or beyond the bounds.
        """
        try:
            self.loader = _Loader(self.content)
            self.loader.name = self.name
            root = self.loader.get_single_node()
        except (yaml.YAMLError, UnicodeError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ConfigError(f"{self.name} is not valid YAML: {reason[:_MAX_REASON]}.") from error
        if root is None:
            return []
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{self.name} is a YAML {root.id}; a config is a mapping of options.")
        settings = self._section(root, "", ())
        by_key: dict[str, Setting] = {}
        for setting in settings:  # with dots and in its section
            first = by_key.setdefault(setting.key, setting)
            if first is not setting and first.value != setting.value:
                self.repeats.append(f"{shown(setting.key)} is {shown(first.value)} and then {shown(setting.value)}")
        if self.repeats:
            more = len(self.repeats) - _MAX_REPEATS
            _log.warning("%s sets keys twice, and the last value counts: %s%s.", self.name,
                         "; ".join(self.repeats[:_MAX_REPEATS]), f"; and {more} more" if more > 0 else "")
        return settings

    def _section(self, node: yaml.MappingNode, prefix: str, above: tuple[yaml.Node, ...]) -> list[Setting]:
        """Return the settings below a mapping that lies in the nodes ``above``."""
        found: dict[str, list[tuple[int, list[Setting]]]] = {}  # name -> each of its lines, and what it sets there
        for key_node, value_node in node.value:
            self._spend()
            name, line = key_node.value, key_node.start_mark.line + 1
            where = f"{self.name}:{line}: "
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{where}A key is a YAML {key_node.id}; options have names.")
            if name == "<<":
                raise ConfigError(f"{where}'<<' merges mappings, which a config cannot; write the options out, or name "
                                  "a file to start from as _BASE_.")
            if len(name) > _MAX_NAME:
                raise ConfigError(f"{where}A key has {len(name)} characters; no option has more than {_MAX_NAME}.")
            if value_node in (*above, node):
                raise ConfigError(f"{where}{shown(prefix + name)} holds itself; write the options out.")
            is_section = isinstance(value_node, yaml.MappingNode) and value_node.tag == f"{_TAG}map"
            own = self._section(value_node, f"{prefix}{name}.", (*above, node)) if is_section else [
                self._setting(prefix + name, value_node, where)]
            found.setdefault(name, []).append((line, own))
        self.repeats += filter(None, (_repeat(prefix + name, given) for name, given in found.items() if len(given) > 1))
        return [setting for given in found.values() for setting in given[-1][1]]

    def _setting(self, key: str, node: yaml.Node, where: str) -> Setting:
        try:
            return Setting(key, self._value(node, ()), where)
        except ConfigError:
            raise
        except (ValueError, ArithmeticError, LookupError, yaml.YAMLError):  # PyYAML makes numbers by Python's means
            kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return Setting(key, None, where, f"{shown(key)} = {shown(node.value)} cannot be read as {kind}; write a "
                           "plain value.")
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return Setting(key, None, where, f"{shown(key)} is a list of other things than numbers and text; write a "
                           "plain list.")
        return Setting(key, None, where, f"{shown(key)} is a YAML {kind[:_MAX_NAME]}; an option is a number, text, "
                       "True, False, null or a list of them.")

    def _value(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> Any:
        """Make a value: a number, text, or lists of them; a ValueError, or another error of Python's, if it is none."""
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq" and node not in above:
            return [self._value(item, (*above, node)) for item in node.value if self._spend()]
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
            raise ValueError
        if node.tag != f"{_TAG}str" and len(node.value) > _MAX_NUMBER:
            raise ValueError
        value = self.loader.construct_object(node)
        if isinstance(value, str):
            value.encode()  # no halves of characters, which no file can keep
            if "\0" in value:
                raise ValueError
        return value

    def _spend(self) -> bool:
        self.left -= 1
        if self.left < 0:
            raise ConfigError(f"{self.name} holds more than {_MAX_NODES} options and list entries, counted as often as "
                              "its aliases repeat them; a config needs a few hundred.")
        return True


def _repeat(key: str, given: Sequence[tuple[int, list[Setting]]]) -> str:
    """Say where a key was set and to what, unless nothing is lost by it."""
    contents = [{setting.key: repr((setting.value, setting.problem)) for setting in own} for _, own in given]
    lost = sorted({name for content in contents for name in content if contents[-1].get(name) != content[name]})
    if not lost:
        return ""
    if all(content.keys() == {key} for content in contents):
        return f"{shown(key)} is {_few([f'{shown(own[0].value)} in line {line}' for line, own in given])}"
    return (f"{shown(key)} stands in lines {_few([str(line) for line, _ in given])}, and only the last section is read,"
            f" without {', '.join(lost[:_MAX_REPEATS])}{', ...' * (len(lost) > _MAX_REPEATS)} of the others")


def _few(parts: list[str]) -> str:
    """Several parts of a sentence; of many the first and the last."""
    first = parts[:-1] if len(parts) <= 5 else [*parts[:3], "..."]
    return f"{', '.join(first)} and {parts[-1]}"
