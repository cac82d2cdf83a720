"""Loader processes: each keeps to one core, and only the main process may end them, with which they end.

Schedulers, launchers and terminals signal every process of a run. The main process then finishes its step, for which it
needs the workers; and when it fails, it ends them by SIGTERM and waits, so that they may not be deaf to it either.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import cv2
from torch.utils.data import DataLoader

from trokens.runtime.parents import end_with_parent
from trokens.runtime.signals import SIGNALS


class SteadyLoader(DataLoader):
    """A DataLoader whose workers keep to one core and heed signals of the main process alone, from the first moment."""

    def __init__(self, *args, **options):
        super().__init__(*args, worker_init_fn=_init_worker, **options)

    def __iter__(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a worker inherits it before any handler acts
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init_worker(_worker: int) -> None:
    cv2.setNumThreads(1)  # PyTorch does the same for its own
    signal.set_wakeup_fd(-1)  # of the main process, which counts its own signals there
    end_with_parent()
    heed_main_process()


def heed_main_process() -> None:
    """Let SIGTERM end this worker only where the main process sent it, and SIGINT not at all."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if hasattr(signal, "sigwaitinfo"):
        main = multiprocessing.parent_process().pid
        threading.Thread(target=_end_when_asked, args=(main,), daemon=True).start()
    else:  # macOS does not tell who sent a signal
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _end_when_asked(main: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != main:
        pass
    os._exit(0)
