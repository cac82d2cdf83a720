"""Processes of one run: start, rank, and the few collectives that the rest needs. One process needs no setup."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from trokens.runtime.command import EndedElsewhere
from trokens.runtime.heartbeat import start_heartbeat
from trokens.runtime.signals import end_with_launcher

logger = logging.getLogger(__name__)

# What gloo and NCCL say where the other end of a connection is gone.
_LOST_PEER = re.compile("Connection (reset|closed) by peer|Broken pipe|remote process exited")


def rank() -> int:
    """Number of this process, 0 for a single one."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", 0))


def world_size() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if dist.is_initialized() else int(os.environ.get("WORLD_SIZE", 1))


def local_rank() -> int:
    """Number of this process on its node."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_world_size() -> int:
    """Number of processes of the run on this node."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def is_main() -> bool:
    """True in the one process that writes files and logs."""
    return rank() == 0


def pick_device(num_gpus: int) -> torch.device:
    """The device of this process: its own GPU where there is one and ``num_gpus`` is not 0, else the CPU.

    Raises:
        ValueError: More processes were started on this node than it has GPUs.
    """
    if num_gpus == 0 or not torch.cuda.is_available():
        if num_gpus and torch.backends.mps.is_available():
            logger.info("Apple GPUs are not used: running on the CPU.")
        return torch.device("cpu")
    if local_rank() >= torch.cuda.device_count():
        raise ValueError(f"Process {local_rank()} of this node has no GPU of its own: it has "
                         f"{torch.cuda.device_count()}. Lower --nproc_per_node, or use the CPU (NUM_GPUS 0 in "
                         "training, an empty CUDA_VISIBLE_DEVICES in point extraction).")
    return torch.device("cuda", local_rank())


@contextmanager
def process_group(device: torch.device, *, backend: str = "nccl", init_method: str = "env://",
                  master_port: int = 8888, timeout: timedelta = timedelta(hours=2),
                  silence: timedelta = timedelta(minutes=10)) -> Iterator[None]:
    """Join the other processes that torchrun started. This one ends with them. A single process joins nothing.

    Args:
        device: From :func:`pick_device`. On the CPU gloo is used whatever ``backend`` says. On GPUs both
            are used: ``backend`` for tensors on the GPU, gloo for those in host memory.
        init_method: As for ``torch.distributed.init_process_group``.
        master_port: Taken where the environment names none.
        timeout: How long the processes wait for each other; hours, as one may download weights meanwhile.
        silence: After that time without a sign of life a process is lost, and the others end; 0 for never.

    Raises:
        LostProcess: Another process has ended.
    """
    end_with_launcher()
    if world_size() == 1:
        yield
        return
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", str(master_port))
    backends = f"cpu:gloo,cuda:{backend}" if device.type == "cuda" and backend != "gloo" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backends, init_method=init_method, rank=rank(), world_size=world_size(), timeout=timeout)
    heartbeat = start_heartbeat(init_method, rank(), world_size(), silence.total_seconds())
    try:
        yield
    except RuntimeError as error:
        if _LOST_PEER.search(str(error)):
            raise heartbeat.lost() from error
        raise
    finally:
        heartbeat.stop()
        dist.destroy_process_group()


def barrier() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.all_reduce(torch.zeros(1))


def agreed(decide: Callable[[], Any]) -> Any:
    """Let the main process decide, and return its answer in every process: they might find a disk in different states.

    Raises:
        EndedElsewhere: The main process has failed, where the error itself is raised.
    """
    answer: list[Any] = [None, True]
    try:
        if is_main():
            answer = [decide(), False]
    finally:
        if dist.is_initialized():
            dist.broadcast_object_list(answer, src=0, device=torch.device("cpu"))
    if answer[1]:
        raise EndedElsewhere
    return answer[0]


def in_some(here: bool, work: Callable[[], object]) -> None:
    """Do something in those processes where ``here`` is true, while the others wait.

    Raises:
        EndedElsewhere: It has failed in another process, where the error itself is raised.
    """
    failed = torch.ones(1)
    try:
        if here:
            work()
        failed -= 1
    finally:
        failures = sum_over_processes(failed)
    if failures:
        raise EndedElsewhere


def in_main(work: Callable[[], object]) -> None:
    """Do something in the main process alone, such as writing a file of the run; see :func:`in_some`."""
    in_some(is_main(), work)


class StopFlag:
    """Tells every process of a run that one of them was asked to stop, at the same step in all.

    The collective runs on host memory beside the training step, so no GPU waits for it.
    """

    def __init__(self) -> None:
        self.requested = False
        self._work: tuple[dist.Work, torch.Tensor] | None = None

    def start(self) -> None:
        """Begin to ask the others; call once at the start of each step."""
        if dist.is_initialized():
            flag = torch.tensor([float(self.requested)])
            self._work = dist.all_reduce(flag, op=dist.ReduceOp.MAX, async_op=True), flag

    def result(self) -> bool:
        """True where any process had been asked to stop when :meth:`start` was called."""
        if self._work is None:
            return self.requested
        work, flag = self._work
        work.wait()
        self._work = None
        return bool(flag.item())


def sum_over_processes(x: torch.Tensor) -> torch.Tensor:
    """Sum of ``x`` (any shape, on the CPU) over all processes, in each of them; ``x`` itself is left alone."""
    x = x.clone()
    if dist.is_initialized():
        dist.all_reduce(x)
    return x


def broadcast(x: torch.Tensor, source: int) -> None:
    """Overwrite ``x`` (contiguous, on the CPU) with that of process ``source``; nothing happens in a single process."""
    if dist.is_initialized():
        dist.broadcast(x, src=source)


def merge_rows(rows: torch.Tensor, num_rows: int) -> torch.Tensor:
    """Put rows computed in turns back together, in every process.

    Args:
        rows: This process's rows r, r + w, r + 2w, ... of ``num_rows``, on the CPU; all of one shape and type,
            also in a process that has none.
        num_rows: Rows in all.

    Returns:
        (num_rows, ...) in order.
    """
    world = world_size()
    if not dist.is_initialized():
        assert len(rows) == num_rows
        return rows
    merged = rows.new_empty(num_rows, *rows.shape[1:])
    for r in range(world):
        part = rows.contiguous() if r == rank() else rows.new_empty(len(range(r, num_rows, world)), *rows.shape[1:])
        dist.broadcast(part, src=r)
        merged[r::world] = part
    return merged
