"""Write docs/CONFIG.md from the options of trokens/config; --check only compares."""

import argparse
import sys
from operator import attrgetter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout runs without being installed

_HEADER = """# Options

Rendered from `trokens/config/options_*.py` by `python tools/config_reference.py`; edit the texts there.
*Default* is the published code's, *ours* the value of `configs/trokens/base.yaml` where it differs. Files set options
in nested sections and may name a `_BASE_` file; a command line sets them as `KEY VALUE` pairs after the file. A file of
`configs/trokens` also goes by its name, in any folder and for an installed package: `--cfg hmdb`, `_BASE_: hmdb`. One
of `configs/tats` has that in front: `--cfg tats/hmdb`.

The published code has more keys, which mean nothing here: they load, and one warning names them
(`trokens/config/published.py`). Those among them that would change the model are refused.
"""


def reference() -> str:
    """Return the text docs/CONFIG.md should have."""
    from trokens.config import load_cfg
    from trokens.config.options import DOCUMENTED

    base, lines = load_cfg(ROOT / "configs/trokens/base.yaml"), [_HEADER]
    for entry in DOCUMENTED:
        if isinstance(entry, str):
            lines += [f"\n## {entry}\n", "| option | default | ours | meaning |", "|---|---|---|---|"]
            continue
        value = attrgetter(entry.key)(base)
        default = f'"{entry.default}"' if isinstance(entry.default, str) else repr(entry.default)
        ours = "" if value == entry.default else f"`{value!r}`"
        lines.append(f"| `{entry.key}` | `{default}` | {ours} | {entry.doc} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Write the file, or exit with a message if --check finds it out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if docs/CONFIG.md is not up to date")
    target = ROOT / "docs/CONFIG.md"
    if not parser.parse_args(argv).check:
        target.write_text(reference())
    elif not target.exists() or target.read_text() != reference():
        sys.exit("docs/CONFIG.md is out of date; run python tools/config_reference.py.")


if __name__ == "__main__":
    main()
