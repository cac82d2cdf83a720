"""How a command runs and ends: its exit code, what it says, and an output that has no reader any more."""

from __future__ import annotations

import argparse
import io
import logging
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from trokens.runtime.files import in_words
from trokens.runtime.signals import Stopped, end_quietly, ends_on_signals, kill_children

BROKEN_PIPE = 141  # the exit code of a program that SIGPIPE ends, as a shell tells it


class EndedElsewhere(Exception):
    """This process of a run ends because another one failed, which has said why."""


def check_at_least(parser: argparse.ArgumentParser, args: argparse.Namespace, **least: int) -> None:
    """End a command that was given a number below the least one of its flag."""
    for flag, number in least.items():
        if getattr(args, flag) < number:
            parser.error(f"--{flag} is {getattr(args, flag)}; it must be at least {number}.")


def run_command(work: Callable[[], int], interrupted: str) -> int:
    """Do what a command is for; what the package logs meanwhile goes to stderr.

    Args:
        work: Returns the exit code of a run that came to its end.
        interrupted: What to say after Ctrl-C, SIGTERM or SIGHUP.

    Returns:
        That code; 2 where the user's files or options do not allow the work, said in one line; 130 after Ctrl-C, 143
        after SIGTERM or SIGHUP.

    Raises:
        BrokenPipeError: Nobody reads the output any more; :func:`end_with` deals with it.
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
        with suppress(OSError):  # the terminal may be closed
            sys.stderr.write(f"{interrupted}\n")
        return 130 if isinstance(stop, KeyboardInterrupt) else 143


def end_with(main: Callable[[], int]) -> NoReturn:
    """End this process with the exit code of its command's main function; signals before and after it end it too."""
    open_streams()
    end_quietly()
    code = written_out(main)
    kill_children()
    sys.exit(code)


def open_streams() -> None:
    """Open the standard streams that the caller closed (``>&-``), to nowhere; else the first files that are opened
    would take their numbers, and what libraries say. Also let file names that are no text be said."""
    while (file := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(file)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 -- to the end of the process
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def written_out(main: Callable[[], int]) -> int:
    """Call the main function of a command, and write all that it has said.

    Returns:
        Its exit code; BROKEN_PIPE, without a word, where the reader of the output has gone before it was done; 2 where
        the output cannot be written, said in one line.
    """
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code or 0  # type: ignore[assignment]  # sys.exit prints a text
    except BrokenPipeError:
        if not output_is_closed():
            raise
        code = BROKEN_PIPE
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries again at its end
        if not code and not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"{type(error).__name__}: The output cannot be written ({error.strerror}).\n")
            return 2
    return code


def output_is_closed() -> bool:
    """Whether the reader of standard output has gone."""
    if not hasattr(select, "poll"):  # Windows, where a broken pipe has another error
        return True
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return bool(poll.poll(0))
