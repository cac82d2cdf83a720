"""What other processes of this machine are doing, and the error for one that this process cannot do without."""

from __future__ import annotations

from pathlib import Path

_STATES = {"R": "is computing", "D": "waits for a disk", "S": "waits", "T": "is stopped", "t": "is held by a debugger",
           "Z": "has ended", "X": "has ended"}


class LostProcess(RuntimeError):
    """A process has ended, was stopped, or does not come on; the message names it."""


def state_of(pid: int) -> str:
    """What a process of this machine does, as a verb: "is computing", "is stopped", "has ended", ...; "" if unknown."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return _STATES["X"] if Path("/proc/self/stat").exists() else ""
    return _STATES.get(status.rpartition(")")[2].split()[0], "")
