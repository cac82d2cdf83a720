"""Timing two ways of doing one thing in turns, so that a machine whose speed drifts compares fairly."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: What was measured, ``part/what``.
        value: The median over the repeats.
        unit: "s", "ms", "clips/s", "GB", "ratio", ...; a ratio says how many times the named way is better than the
            direct one.
        low, high: Smallest and largest of the repeats.
        note: How it was measured, where the name does not say.
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

    On a CPU they are this process's own processor time (all its threads), which neighbors on the machine disturb
    least; on a GPU the time until the device is done.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(setting.repeats + 1):
        for name, way in ways.items():
            begin = _now(setting.device)
            way()
            if repeat:
                seconds[name].append(_now(setting.device) - begin)
    return seconds


def _now(device: torch.device) -> float:
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(name: str, run: Callable[..., Any], setting: Setting, *arguments) -> Figure:
    """Most memory that a new process takes to call ``run(setting, *arguments)``: of the device, or of the process."""
    with get_context("spawn").Pool(1) as pool:
        peak = pool.apply(_peak_bytes, (run, setting, arguments, torch.get_num_threads())) / 1e9
    return Figure(name, peak, "GB", peak, peak, "a process of its own, with torch")


def _peak_bytes(run: Callable[..., Any], setting: Setting, arguments: tuple, threads: int) -> int:
    torch.set_num_threads(threads)
    run(setting, *arguments)
    if setting.device.type == "cuda":
        return torch.cuda.max_memory_allocated(setting.device)
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would tell the peak of the process that started this one, where that was higher
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def figure(name: str, values: list[float], unit: str = "s", note: str = "") -> Figure:
    """Median and spread of repeats."""
    return Figure(name, median(values), unit, min(values), max(values), note)


def speedup(name: str, direct: list[float], fast: list[float], note: str = "") -> Figure:
    """How many times the fast way is faster than the direct one, turn by turn."""
    return figure(name, [d / f for d, f in zip(direct, fast, strict=True)], "ratio", note)
