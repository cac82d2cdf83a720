"""Standard output, which may have no reader any more (``| head``), or no room."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable

BROKEN_PIPE = 141  # the exit code of a program that SIGPIPE ends, as a shell tells it


def open_streams() -> None:
    """Let what a process says go nowhere where it was started with closed streams (``>&-``): else its first files would
    take their numbers, and what libraries say. Names of files that are no text may be said."""
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
    code = _outcome(main)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries again at its end
        if not code and not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"{type(error).__name__}: The output cannot be written ({error.strerror}).\n")
            return 2
    return code


def _outcome(main: Callable[[], int]) -> int:
    try:
        return main()
    except SystemExit as ended:
        return ended.code or 0  # type: ignore[return-value]  # sys.exit prints a text
    except BrokenPipeError:
        if not output_is_closed():
            raise
        return BROKEN_PIPE


def output_is_closed() -> bool:
    """Whether the reader of standard output has gone."""
    if not hasattr(select, "poll"):  # Windows, where a broken pipe has another error
        return True
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return bool(poll.poll(0))
