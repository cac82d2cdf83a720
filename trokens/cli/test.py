"""Test a model: `trokens test --cfg hmdb TEST.CHECKPOINT_FILE_PATH FILE KEY VALUE ...`; or one as its seed makes it."""

from __future__ import annotations

from trokens.cli import train


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Do what `trokens train` does with TRAIN.ENABLE False; the exit codes are its own."""
    return train.main(argv, prog, trains=False)
