"""Loader processes and signals: only the main process may end them.

Schedulers, launchers and terminals signal every process of a run. The main process then finishes its step, for which it
needs the workers; and when it fails, it ends them by SIGTERM and waits, so that they may not be deaf to it either.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

from torch.utils.data import DataLoader

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SteadyLoader(DataLoader):
    """A DataLoader whose workers heed signals of the main process alone, from their first moment on."""

    def __init__(self, *args, **options):
        super().__init__(*args, worker_init_fn=heed_main_process, **options)

    def __iter__(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a worker inherits it before any handler acts
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def heed_main_process(_worker: int) -> None:
    """Let SIGTERM end this worker only where the main process sent it, and SIGINT not at all."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    if hasattr(signal, "sigwaitinfo"):
        main = multiprocessing.parent_process().pid
        threading.Thread(target=_end_when_asked, args=(main,), daemon=True).start()
    else:  # macOS does not tell who sent a signal
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _end_when_asked(main: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != main:
        pass
    os._exit(0)
