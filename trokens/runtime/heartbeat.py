"""Processes of a run watch over each other: when one gives no sign of life, the others end instead of waiting for it.

How long a collective takes says nothing: one process may load weights meanwhile. So a thread of each process gives
signs of life, through a store of their own beside that of ``torch.distributed``.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import timedelta
from urllib.parse import urlparse

import torch.distributed as dist

from trokens.runtime.machine import LostProcess, state_of
from trokens.runtime.signals import end_at_once

logger = logging.getLogger(__name__)

BEATS = 6  # number of signs in the time that a process may be silent
LONGEST_SECONDS = 10.0  # between two signs
_LEFT = b"left"


class Heartbeat:
    """This process's signs of life, and its watch over those of the others.

    Args:
        store: Reaches every process.
        rank: Of this process.
        world_size: Number of processes.
        silence: Seconds without a sign after which a process is lost; 0 for never.
    """

    def __init__(self, store: dist.Store, rank: int, world_size: int, silence: float):
        self.store, self.rank, self.silence = store, rank, silence
        self.others = [other for other in range(world_size) if other != rank]
        self.seconds = min(LONGEST_SECONDS, silence / BEATS)
        self._ended = threading.Event()
        store.set(f"who/{rank}", f"{socket.gethostname()} {os.getpid()}")
        store.set(f"beat/{rank}", "0")
        self.who = {other: store.get(f"who/{other}").decode().split() for other in self.others}  # waits for all
        self._thread = threading.Thread(target=self._run, daemon=True)
        if silence:
            self._thread.start()

    def stop(self) -> None:
        """End without alarming the others."""
        self._ended.set()
        if self.silence:
            self._thread.join(self.seconds)

    def lost(self) -> LostProcess:
        """The error of this process where another one has ended, perhaps at this very moment."""
        until, gone = time.monotonic() + 1, []
        while not gone and time.monotonic() < until:
            gone = [f"process {other} (pid {pid})" for other, (host, pid) in self.who.items()
                    if host == socket.gethostname() and state_of(int(pid)) == "has ended"]
            time.sleep(0.01)
        who = " and ".join(gone) or "another process"
        return LostProcess(f"Process {self.rank} of {len(self.others) + 1} cannot go on: {who} of this run has ended; "
                           "see what it said, or what torchrun reports. The same command goes on from the last "
                           "checkpoint.")

    def _run(self) -> None:
        beats, last, missed = 0, {}, dict.fromkeys(self.others, 0)
        try:
            # Looks are counted, not seconds: when all were stopped and go on, each has to miss some anew.
            while not self._ended.wait(self.seconds):
                beats += 1
                self.store.set(f"beat/{self.rank}", str(beats))
                for other in self.others:
                    beat = self.store.get(f"beat/{other}")
                    missed[other] = missed[other] + 1 if beat == last.get(other) and beat != _LEFT else 0
                    last[other] = beat
                silent = [other for other in self.others if missed[other] * self.seconds >= self.silence]
                if silent:
                    self._end(silent)
            self.store.set(f"beat/{self.rank}", _LEFT)
        except (RuntimeError, ConnectionError) as error:
            # Where a process of the run keeps the store, it does so in the first one; else torchrun does.
            in_first = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
            if in_first and self.rank and "timeout" in str(error).lower():
                self._end([0])
            logger.debug("The store of signs of life is gone, and this process will end by other means: %s", error)

    def _end(self, silent: list[int]) -> None:
        if self.rank == min({self.rank, *self.others} - set(silent)):  # the first one that lives speaks for all
            for other in silent:
                host, pid = self.who[other]
                state = state_of(int(pid)) if host == socket.gethostname() else ""
                logger.error("Process %d of %d (pid %s on %s) has given no sign of life for %.3g minutes "
                             "(DIST_TIMEOUT) and %s: this run ends, and the same command goes on from its last "
                             "checkpoint.", other, len(self.others) + 1, pid, host, self.silence / 60,
                             state or "was stopped, or its machine is gone")
        end_at_once(1)


def start_heartbeat(init_method: str, rank: int, world_size: int, silence: float) -> Heartbeat:
    """Watch over the processes of a run that have just met.

    Args:
        init_method: How, see ``torch.distributed.init_process_group``.
        rank, world_size, silence: As for :class:`Heartbeat`.
    """
    wait = timedelta(seconds=max(silence, 60))
    if init_method.startswith("file://"):
        store = dist.FileStore(f"{urlparse(init_method).path}.beats", world_size)
    else:
        url = urlparse(init_method)  # env:// or tcp://host:port
        host, port = url.hostname or os.environ["MASTER_ADDR"], url.port or int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(host, port, world_size, False, timeout=wait, wait_for_workers=False)
    # A launcher keeps its store when it starts the processes anew.
    prefix = f"trokens/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    return Heartbeat(dist.PrefixStore(prefix, store), rank, world_size, silence)
