"""Processes of a run that are stopped or killed: the others say which, and end."""

import os
import signal
import threading
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from processes import PRELOAD, TIMEOUT, descendants, free_port, start, wait_for, wait_until_gone
from tiny import ENDLESS, command, records

from trokens.runtime import heartbeat
from trokens.runtime.distributed import barrier, process_group
from trokens.runtime.heartbeat import Heartbeat
from trokens.runtime.machine import LostProcess, state_of


@pytest.fixture
def alarms(monkeypatch):
    """The processes that were said to be lost, by who said so; the tests' process does not end."""
    found = {}

    def end(self, silent):
        found.setdefault(self.rank, silent)
        self._ended.set()

    monkeypatch.setattr(Heartbeat, "_end", end)
    return found


def beats(silence: float, world_size: int = 3) -> list[Heartbeat]:
    """Some that have met, in one process."""
    store, made = dist.HashStore(), [None] * world_size

    def make(rank: int) -> None:
        made[rank] = Heartbeat(store, rank, world_size, silence)

    threads = [threading.Thread(target=make, args=(rank,)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


def leave(*some: Heartbeat) -> None:
    """Nothing may beat on after a test: its alarm would end the tests' own process."""
    for beat in some:
        beat.stop()
        beat._thread.join(TIMEOUT)
        assert not beat._thread.is_alive()


def test_who_is_silent_is_named_by_all_others(alarms):
    one, two, three = beats(0.3)
    alone = dist.HashStore()
    alone.set_timeout(timedelta(milliseconds=10))
    two.store = alone  # nobody hears it, and it hears nobody: as if its machine were gone
    wait_for(lambda: {0, 1, 2} <= alarms.keys(), "the alarm")
    assert alarms[0] == alarms[2] == [1] and alarms[1] == [0]
    leave(one, two, three)


def test_who_leaves_alarms_nobody(alarms):
    one, two, three = beats(1.2)
    two.stop()
    last = one.store.get("beat/2")
    wait_for(lambda: int(one.store.get("beat/2")) > int(last) + 9, "half as much again as the silence")
    assert not alarms and one.store.get("beat/1") == b"left"
    leave(one, two, three)


def test_the_first_one_that_lives_speaks(monkeypatch, caplog):
    ends = []
    monkeypatch.setattr(heartbeat, "end_at_once", ends.append)
    one, two, three = beats(0, 3)
    host = one.who[1][0]
    one._end([2])
    assert [record.getMessage() for record in caplog.records] == [
        f"Process 2 of 3 (pid {os.getpid()} on {host}) has given no sign of life for 0 minutes (DIST_TIMEOUT) and "
        f"{state_of(os.getpid())}: this run ends, and the same command goes on from its last checkpoint."]
    two._end([2])
    three.who[0] = ["elsewhere", "5"]
    assert len(caplog.records) == 1
    three._end([0, 1])
    assert "(pid 5 on elsewhere)" in caplog.text and "was stopped, or its machine is gone" in caplog.text
    assert ends == [1, 1, 1]


def lose_the_other(rank: int, port: int, results) -> None:
    """Process 1 is killed while process 0 waits for it, and says what comes of that."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="localhost", MASTER_PORT=str(port))
    try:
        with process_group(torch.device("cpu")):
            if rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            barrier()
    except LostProcess as error:
        results.put(str(error))


def test_a_process_that_was_killed_is_named_by_who_waits_for_it():
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    results, port = context.Queue(), free_port()
    processes = [context.Process(target=lose_the_other, args=(rank, port, results), daemon=True) for rank in (0, 1)]
    for process in processes:
        process.start()
    said = results.get(timeout=TIMEOUT)
    assert said == (f"Process 0 of 2 cannot go on: process 1 (pid {processes[1].pid}) of this run has ended; see what "
                    "it said, or what torchrun reports. The same command goes on from the last checkpoint.")


def process_of_rank(rank: int, launcher: int) -> int:
    """Process id of one that torchrun has started."""
    return next(pid for pid in sorted(descendants(launcher))
                if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


def test_a_run_whose_process_is_stopped_names_it_and_ends(tiny_data, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    run = start(command(tiny_data, tmp_path, ENDLESS, DIST_TIMEOUT=0.1), launcher)
    try:
        wait_for(lambda: records(tmp_path), "training")
        first, second = (process_of_rank(rank, run.pid) for rank in (0, 1))
        os.kill(second, signal.SIGSTOP)
        wait_until_gone(first)
        os.kill(second, signal.SIGKILL)  # torchrun gives it half a minute
        out, err = run.communicate(timeout=TIMEOUT)
    finally:
        run.kill()
    assert f"Process 1 of 2 (pid {second} on " in out and "run_net.py\", line" not in err
    assert "has given no sign of life for 0.1 minutes (DIST_TIMEOUT) and is stopped: this run ends" in out
