"""Point files: `trokens points get` brings the published ones, `trokens points convert` writes the other format."""

from __future__ import annotations

from collections.abc import Sequence

from trokens.cli.choose import Command, choose

COMMANDS = (
    Command("get", "get_points", "get the published points and split lists from the Hugging Face hub"),
    Command("convert", "convert_points", "turn point files in pickles into safetensors, or back"),
)


def main(argv: Sequence[str], prog: str) -> int:
    """Run one of the two; the exit code is its own."""
    return choose(COMMANDS, argv, prog, "Get the published points, or convert point files.")
