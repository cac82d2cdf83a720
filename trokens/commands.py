"""How a command ends: in one line for what its user can mend, and with an exit code that tells what happened."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable


def exit_code(work: Callable[[], int], interrupted: str) -> int:
    """Do what a command is for.

    Args:
        work: Returns the exit code of a run that came to its end.
        interrupted: What to say after Ctrl-C.

    Returns:
        That code; 2 where the user's files or options do not allow the work; 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: names of files may be no text
    try:
        return work()
    except (ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return 130
