"""A tracker's options on a command line: `--tracker_options KEY=VALUE ...`; light to import."""

from __future__ import annotations

import argparse

import yaml


def add_tracker_options(parser: argparse.ArgumentParser) -> None:
    """Let a command take a tracker's options, as a list of (key, value) pairs; `build_tracker` checks them."""
    parser.add_argument("--tracker_options", nargs="+", type=tracker_option, default=[], metavar="KEY=VALUE",
                        help="options of the tracker, such as visibility_rule=paper weights=scaled_offline.pth")


def tracker_option(text: str) -> tuple[str, str | int | float | bool]:
    """``key=value``, the value as YAML reads it."""
    key, equals, written = text.partition("=")
    try:
        value = yaml.safe_load(written)
    except (yaml.YAMLError, ValueError, LookupError, RecursionError):  # a date such as 2000-13-01, !!bool no
        value = None
    if not equals or not isinstance(value, str | int | float):  # a truth value is an int
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE with a number, a word, true or false")
    return key, value
