"""Several processes of one run, and runs of tools/run_net.py from outside."""

from __future__ import annotations

import os
import queue
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import torch

from trokens.runtime.distributed import process_group

ROOT = Path(__file__).resolve().parents[1]
RUN_NET = ROOT / "tools/run_net.py"
# Imported once, then starts are quick.
PRELOAD = ["trokens.engine.run", "trokens.extraction.run", "trokens.moving_shapes.render", "pytest"]
TIMEOUT = 600  # seconds, of anything here: a test that hangs fails, a busy machine does not matter


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def _process(function: Callable, rank: int, world_size: int, port: int, results, args: tuple) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size),
                      LOCAL_WORLD_SIZE=str(world_size), MASTER_ADDR="localhost", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    with process_group(torch.device("cpu")):
        try:
            results.put((rank, function(rank, *args)))
        except BaseException as error:
            results.put((rank, error))
            raise


def in_processes(world_size: int, function: Callable, *args) -> list:
    """Call ``function(rank, *args)`` in ``world_size`` connected processes; its results, no tensors, by rank."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    results, port = context.Queue(), free_port()
    processes = [context.Process(target=_process, args=(function, rank, world_size, port, results, args), daemon=True)
                 for rank in range(world_size)]
    for process in processes:
        process.start()
    try:
        found = dict(results.get(timeout=TIMEOUT) for _ in processes)
    except queue.Empty:
        raise AssertionError(f"{function.__name__} did not return in {TIMEOUT} s") from None
    finally:
        for process in processes:
            process.join(timeout=10)  # they have given their results, or will give none
            process.kill()
    for result in found.values():
        if isinstance(result, BaseException):
            raise result
    return [found[rank] for rank in range(world_size)]


def wait_for(event: Callable[[], object], what: str, every: float = 0.01) -> None:
    """Return as soon as something has happened; look for it every so many seconds."""
    until = time.monotonic() + TIMEOUT
    while not event():
        assert time.monotonic() < until, f"{what} did not happen in {TIMEOUT} s"
        time.sleep(every)


def wait_until_gone(pid: int) -> None:
    """Return as soon as a process has ended, whoever is to wait for it."""
    def is_gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for(is_gone, f"the end of process {pid}")


def descendants(pid: int) -> set[int]:
    """Processes that a process has started, and those that they have started."""
    found, parents = set(), {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    new = {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def start(command: Sequence[str], launcher: Sequence[str] = ()) -> subprocess.Popen:
    """Start tools/run_net.py in a session of its own; the output is to be read with ``communicate``."""
    return subprocess.Popen([sys.executable, *launcher, str(RUN_NET), *command], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})


def finish(run: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a started run."""
    try:
        out, err = run.communicate(timeout=TIMEOUT)
    finally:
        run.kill()
    return run.returncode, out, err


@contextmanager
def limited(num_bytes: int):
    """No file may grow beyond that: the one error of a disk that needs no disk of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
