"""Timing two ways of doing one thing in turns, so that a machine whose speed drifts compares fairly."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True)
class Figure:
    """A measured number: the median, the smallest and the largest of the repeats; a note says how it was measured.

    A "ratio" says how many times the named way is faster than the direct one.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """On what and how often a benchmark measures.

    Attributes:
        device: Where models run.
        repeats: Counted repetitions; one more before them warms up.
        small: Sizes for a quick check of the ratios instead of those that docs/PERFORMANCE.md reports.
        videos: Video files: for the loader instead of rendered ones, for extraction beside its own.
    """

    device: torch.device
    repeats: int = 5
    small: bool = False
    videos: tuple[str, ...] = ()


def in_turns(ways: Mapping[str, Callable[[], Any]], setting: Setting) -> dict[str, list[float]]:
    """Seconds of each way, run in turns A B A B ... after a warm-up.

    On a CPU they are this process's own processor time, which neighbors on the machine disturb least; on a GPU the
    time until the device is done.
    """
    def now() -> float:
        if setting.device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(setting.device)
        return time.perf_counter()

    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(setting.repeats + 1):
        for name, way in ways.items():
            begin = now()
            way()
            if repeat:
                seconds[name].append(now() - begin)
    return seconds


def figure(name: str, values: Sequence[float], unit: str = "s", note: str = "", *, factor: float = 1) -> Figure:
    """Median and spread of repeats, each multiplied by a factor."""
    return Figure(name, factor * median(values), unit, factor * min(values), factor * max(values), note)


def speedup(name: str, direct: Sequence[float], fast: Sequence[float], note: str = "") -> Figure:
    """How many times the fast way is faster than the direct one, turn by turn."""
    return figure(name, [d / f for d, f in zip(direct, fast, strict=True)], "ratio", note)


def peak_memory(name: str, run: Callable[..., Any], setting: Setting, *arguments) -> Figure:
    """Most memory that a new process takes to call ``run(setting, *arguments)``: of the device, or of the process."""
    with get_context("spawn").Pool(1) as pool:
        peak = pool.apply(_peak_bytes, (run, setting, arguments)) / 1e9
    return Figure(name, peak, "GB", peak, peak, "a process of its own, with torch")


def _peak_bytes(run: Callable[..., Any], setting: Setting, arguments: tuple) -> int:
    torch.set_num_threads(1)
    run(setting, *arguments)
    if setting.device.type == "cuda":
        return torch.cuda.max_memory_allocated(setting.device)
    if sys.platform == "linux":  # whose getrusage tells the peak of the process that started this one, if it is higher
        return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
