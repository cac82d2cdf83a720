"""A command that is several: its first word says which, whose file is imported then."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple


class Command(NamedTuple):
    """One of several.

    Attributes:
        name: As it is typed.
        file: Of this room, with a function ``main(argv, prog)`` that returns the exit code.
        help: What the list of commands says of it.
    """

    name: str
    file: str
    help: str


def choose(commands: Sequence[Command], argv: Sequence[str], prog: str, description: str, version: str = "") -> int:
    """Give the command that ``argv`` begins with the rest of it; without one, tell what there is.

    Args:
        commands: All there are.
        argv: Command line.
        prog: What has been typed before it.
        description: For --help.
        version: For --version, which is offered where this is given.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description, epilog=f"`{prog} COMMAND --help` tells more.")
    if version:
        parser.add_argument("--version", action="version", version=f"{prog} {version}")
    known = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in commands:
        known.add_parser(command.name, help=command.help, add_help=False)
    if not argv:
        parser.print_help()
        return 0
    if argv[0].startswith("-"):
        parser.parse_args(argv[:1])
    files = {command.name: command.file for command in commands}
    if argv[0] not in files:
        near = difflib.get_close_matches(argv[0], files, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        parser.error(f"Unknown command '{argv[0]}'.{hint} Known: {', '.join(files)}.")
    return import_module(f"trokens.cli.{files[argv[0]]}").main(argv[1:], f"{prog} {argv[0]}")
