"""Write docs/CONFIG.md from the comments of trokens/config/defaults.py; --check only compares."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout runs without being installed


def reference() -> str:
    """Return the text docs/CONFIG.md should have."""
    from trokens.config import get_cfg, load_cfg
    from trokens.config.reference import iter_options, render
    from trokens.config.validate import option

    source = (ROOT / "trokens/config/defaults.py").read_text()
    base, default = load_cfg(ROOT / "configs/trokens/base.yaml"), get_cfg()
    keys = [entry.key for entry in iter_options(source)]
    return render(source, {key: option(base, key) for key in keys if option(base, key) != option(default, key)})


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
