"""Where a run's log lines go: the console and log.txt."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from trokens.runtime.distributed import is_main
from trokens.runtime.files import writing

logger = logging.getLogger(__name__)


def setup_logging(output_dir: str | Path | None = None) -> None:
    """Send log lines to the console and, given the folder, to log.txt; processes other than the main one show warnings
    alone, on the console.

    Raises:
        WriteError: log.txt cannot be made.
    """
    handlers: list[logging.Handler] = [_Console(sys.stdout)]
    if output_dir and is_main():
        path = Path(output_dir) / "log.txt"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(_LogFile(path, encoding="utf-8"))
    logging.basicConfig(level=logging.INFO if is_main() else logging.WARNING, handlers=handlers, force=True,
                        format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("httpx", "timm", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def note(text: str) -> None:
    """Write a line into log.txt alone: it was said on the console by other means."""
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 0, text, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


class _LogFile(logging.FileHandler):
    """A file of lines that ends with the first one that the disk does not take."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.addFilter(lambda _: False)  # taken from the list that is gone through, it would hide the next one
        stream, self.stream = self.stream, None
        with suppress(OSError):
            stream.close()
        logger.warning("%s takes no more lines (%s); the console goes on.", self.baseFilename, error.strerror)


class _Console(logging.StreamHandler):
    """Standard output, which may be a file on a full disk, or a pipe that nobody reads any more."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())  # else Python fails at its end, with what is left to be written
        os.close(nowhere)
