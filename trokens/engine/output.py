"""A run's own folder: nobody else writes there while it lasts, and nothing is left of runs that were killed."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from torch import nn

from trokens.config import dump
from trokens.engine.evaluator import BankOptions
from trokens.engine.loggers import setup_logging
from trokens.engine.results import result_paths
from trokens.models.checkpoint import BEST, checkpoint_dir, trained_state
from trokens.runtime.distributed import in_main
from trokens.runtime.files import WriteError, check_writable, remove_all_unfinished, write_text
from trokens.runtime.lock import OTHER_FOLDER, folder_lock


@contextmanager
def own_output(folder: str | Path) -> Iterator[None]:
    """Own OUTPUT_DIR in the block, and log into it; every process of the run calls this.

    Raises:
        InUse: Another run owns it.
        WriteError: It cannot be made, or does not take a file.
        EndedElsewhere: One of these rose in the main process.
    """
    lock = folder_lock(folder, remedy=OTHER_FOLDER)
    with ExitStack() as stack:
        in_main(lambda: stack.enter_context(lock))
        in_main(lambda: _clean(Path(folder)))
        in_main(lambda: setup_logging(folder))
        yield


def start_output(cfg) -> None:
    """Write the config down, and find out now whether the bank and the results can be written at the end; in the main
    process.

    Raises:
        WriteError: One of them cannot.
    """
    write_text(Path(cfg.OUTPUT_DIR) / "config.yaml", dump(cfg))
    for path in result_paths(cfg):
        check_writable(path)
    if cfg.TEST.BANK == "disk":
        check_writable(BankOptions.from_config(cfg).folder / f"{cfg.TEST.SPLIT}.bank")


def check_room(cfg, model: nn.Module) -> None:
    """Refuse to train where not even one checkpoint can be written, which would be found out after an epoch.

    Raises:
        WriteError: So it is.
    """
    moments = {"sgd": 1, "adam": 2, "adamw": 2}[cfg.SOLVER.OPTIMIZING_METHOD]
    size = sum(value.nbytes for value in trained_state(model).values())
    size += moments * sum(p.nbytes for p in model.parameters() if p.requires_grad)
    best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
    check_writable(best)
    if 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[0] < size:  # it is negative where there is none
        raise WriteError.of(best, OSError(errno.EFBIG, os.strerror(errno.EFBIG)))
    free = shutil.disk_usage(cfg.OUTPUT_DIR).free
    if size > free:
        raise WriteError(f"{checkpoint_dir(cfg.OUTPUT_DIR)} has room for {free / 2**20:.1f} MB, and a checkpoint takes "
                         f"{size / 2**20:.1f} MB; free some space there, or choose another OUTPUT_DIR.")


def _clean(folder: Path) -> None:
    for place in (folder, checkpoint_dir(folder)):
        remove_all_unfinished(place)
