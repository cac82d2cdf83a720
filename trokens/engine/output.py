"""A run's own folder: nobody else writes there while it lasts, and nothing is left of runs that were killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trokens.checkpoint import checkpoint_dir
from trokens.distributed import in_main
from trokens.engine.loggers import setup_logging
from trokens.files import remove_all_unfinished
from trokens.runtime.lock import OTHER_FOLDER, folder_lock


@contextmanager
def own_output(folder: str | Path) -> Iterator[None]:
    """Own OUTPUT_DIR in the block, and log into it; every process of the run calls this.

    Raises:
        InUse: Another run owns it.
        WriteError: It cannot be made, or does not take a file.
        EndedByMain: One of these rose in the main process.
    """
    lock = folder_lock(folder, remedy=OTHER_FOLDER)
    with ExitStack() as stack:
        in_main(lambda: stack.enter_context(lock))
        in_main(lambda: _clean(Path(folder)))
        in_main(lambda: setup_logging(folder))
        yield


def _clean(folder: Path) -> None:
    for place in (folder, checkpoint_dir(folder)):
        remove_all_unfinished(place)
