"""A process ends with the one that started it, even where that was killed: it would train on, or wait for ever."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from multiprocessing import parent_process

from trokens.runtime.signals import end_at_once

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # between two looks at the parent
ORDERLY_SECONDS = 30.0  # for the step that runs, and its checkpoint; as long as torchrun waits


def end_with_parent() -> None:
    """End this child, a ``multiprocessing`` one, when its parent ends; from a thread, whatever it is doing."""
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = parent_process()
    is_direct = os.getppid() == parent.pid  # else a fork server stands in between
    while parent.is_alive() and (not is_direct or os.getppid() == parent.pid):  # siblings may keep it from telling
        parent.join(LOOK_SECONDS)
    end_at_once(1)


def end_with_launcher() -> None:
    """Stop this process, as SIGTERM does, when the torchrun that started it ends, and at once half a minute later.

    Nothing is done in a process that torchrun did not start: a shell may end before its commands.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_watch_launcher, args=(os.getppid(),), daemon=True).start()


def _watch_launcher(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(LOOK_SECONDS)
    logger.warning("torchrun, which started this process, has ended: stopping.")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORDERLY_SECONDS)
    end_at_once(143)
