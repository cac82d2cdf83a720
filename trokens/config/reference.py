"""Render docs/CONFIG.md: the comments of defaults.py are the documentation."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_OPTION = re.compile(r"^_C\.([A-Z0-9_.]+) = (?!CN\()(.+)$")
_SECTION = re.compile(r"^# ([A-Za-z0-9_]+) -- (.+)$")

_HEADER = """# Options

Rendered from `trokens/config/defaults.py` by `python tools/config_reference.py`; edit the comments there.
*Default* is the published code's, *ours* the value of `configs/trokens/base.yaml` where it differs. Files set options
in nested sections and may name a `_BASE_` file; a command line sets them as `KEY VALUE` pairs after the file. A file of
`configs/trokens` also goes by its name, in any folder and for an installed package: `--cfg hmdb`, `_BASE_: hmdb`.

The published code has more keys, which mean nothing here: they load, and one warning names them
(`trokens/config/published.py`). Those among them that would change the model are refused.
"""


class Option(NamedTuple):
    """One option as defaults.py writes it."""

    section: str
    key: str
    default: str
    meaning: str


def iter_options(source: str) -> Iterator[Option]:
    """Yield the options of defaults.py's text in file order; ``meaning`` is "" where no comment stands above."""
    section, comment = "", []
    for line in source.splitlines():
        if heading := _SECTION.match(line):
            section, comment = f"{heading[1]}: {heading[2]}", []
        elif option := _OPTION.match(line):
            yield Option(section, option[1], option[2], " ".join(comment))
            comment = []
        elif line.startswith("# ") and not line.startswith("# --"):
            comment.append(line[2:])
        else:
            comment = []


def render(source: str, ours: Mapping[str, Any]) -> str:
    """Return the Markdown text.

    Args:
        source: Text of defaults.py.
        ours: Key -> value of base.yaml, for the options whose value differs from the default.
    """
    lines, section = [_HEADER], ""
    for option in iter_options(source):
        if option.section != section:
            section = option.section
            lines += [f"\n## {section}\n", "| option | default | ours | meaning |", "|---|---|---|---|"]
        value = f"`{ours[option.key]!r}`" if option.key in ours else ""
        lines.append(f"| `{option.key}` | `{option.default}` | {value} | {option.meaning} |")
    return "\n".join(lines) + "\n"
