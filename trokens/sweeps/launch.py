"""Start runs, several at a time, each a process of its own; whatever ends the sweep ends them in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from trokens.runtime.signals import ORDERLY_SECONDS, STARTED_BY, already_ending
from trokens.sweeps.runs import Run

CONSOLE = "console.txt"  # of a run's folder: what it said


@dataclass(frozen=True)
class Ended:
    """A run that has come to its end.

    Attributes:
        run: Which.
        code: Exit code of its process.
        seconds: Time that it took.
        last: The last sentence that it said.
    """

    run: Run
    code: int
    seconds: float
    last: str


def launch(runs: Sequence[Run], jobs: int, gpus: Sequence[str] = ()) -> Generator[Ended, None, None]:
    """Run all, ``jobs`` at a time, and tell of each as it ends. Closing the generator ends those that run.

    Args:
        runs: In the order in which they start.
        jobs: Processes, or groups of them, at a time. Each gets its share of the CPU's cores, unless OMP_NUM_THREADS
            says otherwise.
        gpus: Names of the GPUs, as in CUDA_VISIBLE_DEVICES, to share among the jobs; none leaves that to the runs.
    """
    children = _Children()
    environments: SimpleQueue[dict[str, str]] = SimpleQueue()
    for slot in range(jobs):
        environments.put(_environment(slot, jobs, max((run.processes for run in runs), default=0), gpus))

    def work(run: Run) -> Ended:
        environment, start = environments.get(), time.monotonic()
        try:
            code = children.run(run, environment)
        finally:
            environments.put(environment)
        return Ended(run, code, time.monotonic() - start, _last_sentence(run))

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, run) for run in runs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()


class _Children:
    """Processes that run, each in a session of its own: a terminal's Ctrl-C reaches them through this one alone."""

    def __init__(self) -> None:
        self._lock, self._running, self._ended = threading.Lock(), set(), False

    def run(self, run: Run, environment: dict[str, str]) -> int:
        """Run to the end; the exit code."""
        run.folder.mkdir(parents=True, exist_ok=True)
        with open(run.folder / CONSOLE, "wb") as console:
            with self._lock:
                if self._ended:
                    return 128 + signal.SIGTERM
                child = subprocess.Popen(run.command, stdin=subprocess.DEVNULL, stdout=console,
                                         stderr=subprocess.STDOUT, env=environment, start_new_session=True)
                self._running.add(child)
            code = child.wait()
        with self._lock:
            self._running.discard(child)
        return code

    def end(self) -> None:
        """End what runs, which saves a checkpoint first if it is given the time."""
        with self._lock:
            self._ended, running = True, list(self._running)
        if running:
            already_ending()
        for child in running:
            child.terminate()
        until = time.monotonic() + ORDERLY_SECONDS
        for child in running:
            try:
                child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # with the processes that it has started
                child.wait()


def _environment(slot: int, jobs: int, processes: int, gpus: Sequence[str]) -> dict[str, str]:
    """That of the runs of one slot: its share of the cores and of the GPUs."""
    environment = {**os.environ, STARTED_BY: str(os.getpid())}
    if jobs > 1:
        cores = len(os.sched_getaffinity(0))
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // (jobs * max(processes, 1)))))
    if gpus and processes:
        own = [gpus[k % len(gpus)] for k in range(slot * processes, (slot + 1) * processes)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(dict.fromkeys(own))
    return environment


def _last_sentence(run: Run) -> str:
    """The last line that a run has said."""
    with suppress(OSError), open(run.folder / CONSOLE, "rb") as console:
        console.seek(max(0, console.seek(0, os.SEEK_END) - 4096))
        lines = console.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "It said nothing.")
    return "It said nothing."
