"""What commands share: numbers that are too low, what is said while they work, and how they end."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from trokens.runtime.files import in_words
from trokens.runtime.output import open_streams, output_is_closed, written_out
from trokens.runtime.signals import Stopped, end_quietly, ends_on_signals, kill_children


class EndedElsewhere(Exception):
    """What a process of a run ends with where another one has said why."""


def check_at_least(parser: argparse.ArgumentParser, args: argparse.Namespace, **least: int) -> None:
    """End a command that was given a number below the least one of its flag."""
    for flag, number in least.items():
        if getattr(args, flag) < number:
            parser.error(f"--{flag} is {getattr(args, flag)}; it must be at least {number}.")


def end_with(main: Callable[[], int]) -> NoReturn:
    """End this process with the exit code of its command's main function, also where a signal comes before or after."""
    open_streams()
    end_quietly()
    code = written_out(main)
    kill_children()
    sys.exit(code)


def run_command(work: Callable[[], int], interrupted: str) -> int:
    """Do what a command is for; what the project's modules have to say meanwhile goes to stderr.

    Args:
        work: Returns the exit code of a run that came to its end.
        interrupted: What to say after Ctrl-C, SIGTERM or SIGHUP.

    Returns:
        That code; 2 where the user's files or options do not allow the work, said in one line; 130 after Ctrl-C, 143
        after SIGTERM or SIGHUP.

    Raises:
        BrokenPipeError: Nobody reads the output any more; for :func:`end_with`.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("trokens").setLevel(logging.INFO)
    try:
        with ends_on_signals(interrupted):
            return work()
    except EndedElsewhere:
        return 2
    except (ValueError, OSError, RuntimeError) as error:
        if isinstance(error, BrokenPipeError) and output_is_closed():
            raise
        sys.stderr.write(f"{type(error).__name__}: {in_words(error)}\n")
        return 2
    except (KeyboardInterrupt, Stopped) as stop:
        with suppress(OSError):  # of a terminal that was closed
            sys.stderr.write(f"{interrupted}\n")
        return 130 if isinstance(stop, KeyboardInterrupt) else 143
