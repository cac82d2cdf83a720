"""This machine: its cores, its free memory, and what its processes do."""

from __future__ import annotations

import os
from pathlib import Path

_STATES = {"R": "is computing", "D": "waits for a disk", "S": "waits", "T": "is stopped", "t": "is held by a debugger",
           "Z": "has ended", "X": "has ended"}


class LostProcess(RuntimeError):
    """A process has ended, was stopped, or does not come on; the message names it."""


def state_of(pid: int) -> str:
    """What a process does, as a verb: "is computing", "is stopped", "has ended", ...; "" if unknown."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return _STATES["X"] if Path("/proc/self/stat").exists() else ""
    return _STATES.get(status.rpartition(")")[2].split()[0], "")


def num_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(root: str = "/") -> int:
    """Bytes of memory that this process can still take: what the machine has, or less where a job's limit is nearer.

    Args:
        root: Where Linux shows ``proc`` and ``sys``. Elsewhere half of the physical memory counts as free.
    """
    try:
        available = 1024 * _numbers(Path(root, "proc/meminfo"))["MemAvailable"]
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:  # control groups, version 2: "0::/path"; the limit of a group holds for those below it
        group = Path(root, "proc/self/cgroup").read_text().split("0::/")[1].splitlines()[0]
    except (OSError, IndexError):
        return available
    for folder in [Path(group), *Path(group).parents]:
        here = Path(root, "sys/fs/cgroup", folder)
        try:
            left = int((here / "memory.max").read_text()) - int((here / "memory.current").read_text())
        except (OSError, ValueError):  # a group without a limit: "max"
            continue
        stat = _numbers(here / "memory.stat") if (here / "memory.stat").is_file() else {}
        cached = stat.get("active_file", 0) + stat.get("inactive_file", 0)  # the kernel gives it up when asked
        available = min(available, left + cached)
    return available


def _numbers(path: Path) -> dict[str, int]:
    """The numbers of a file with a name and a number on each line."""
    return {name.rstrip(":"): int(number) for name, number, *_ in map(str.split, path.read_text().splitlines())}


def check_memory(num_bytes: int, what: str, remedy: str) -> None:
    """Refuse work for whose memory the system would kill this process.

    Raises:
        MemoryError: So many bytes are not free; the message begins with ``what`` (and its verb), ends with ``remedy``.
    """
    if num_bytes > (free := available_memory()):
        raise MemoryError(f"{what} {num_bytes / 2**30:.1f} GB of memory, and {free / 2**30:.1f} GB are free; {remedy}.")
