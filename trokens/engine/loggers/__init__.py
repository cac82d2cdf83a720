"""Where a run's figures go: metrics.jsonl, and further loggers, each in a file of this folder.

A logger is a class, decorated with ``@LOGGERS.register(name)``, with three methods: ``from_config(cfg)``, which returns
None where the run does not ask for it, ``__call__(record)`` and ``close()``. Its file is found by itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trokens.registry import Registry
from trokens.runtime.distributed import in_main, is_main
from trokens.runtime.files import append_line, write_text

logger = logging.getLogger(__name__)

LOGGERS = Registry("logger", __name__)


class RunLog:
    """Writes records of figures; what cannot be reached never stops the run.

    Args:
        output_dir: Gets metrics.jsonl.
        start: (epoch, step) of the last record that stays; an interrupted run makes later ones again.
        loggers: Further receivers, each called with every record.
    """

    def __init__(self, output_dir: str | Path, *, start: tuple[int, int] = (0, 0), loggers: Iterable = ()):
        self.path = Path(output_dir) / "metrics.jsonl"
        self.loggers = list(loggers)
        in_main(lambda: self._keep_until(start))

    def _keep_until(self, start: tuple[int, int]) -> None:
        lines = self.path.read_text(errors="replace").splitlines() if self.path.is_file() else []
        write_text(self.path, "".join(line + "\n" for line in lines if _before(line, start)))

    def write(self, record: dict[str, Any]) -> None:
        """Add one record: ``phase``, ``epoch``, ``step`` and figures.

        Raises:
            WriteError: The disk does not take it; nothing of it is left.
            EndedElsewhere: The main process, which alone writes, has failed.
        """
        in_main(lambda: self._write(record))

    def _write(self, record: dict[str, Any]) -> None:
        append_line(self.path, json.dumps(record))
        for one in list(self.loggers):
            try:
                one(record)
            except Exception as error:
                self.loggers.remove(one)
                logger.warning("%s stopped taking figures (%s); metrics.jsonl goes on.", type(one).__name__, error)

    def close(self) -> None:
        """Close the further loggers."""
        for one in self.loggers:
            try:
                one.close()
            except Exception as error:
                logger.warning("%s did not close (%s).", type(one).__name__, error)


def _before(line: str, start: tuple[int, int]) -> bool:
    """True for a whole record up to ``start``; a line cut off by a crash, or of other JSON, is not one."""
    try:
        record = json.loads(line)
        return record["phase"] != "test" and (record["epoch"], record["step"]) <= start
    except (json.JSONDecodeError, KeyError, TypeError):
        return False


def figures_of(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record, named PHASE/NAME."""
    skipped = ("phase", "global_step")
    return {f"{record['phase']}/{k}": v for k, v in record.items() if k not in skipped and isinstance(v, int | float)}


def build_log(cfg, *, start: tuple[int, int]) -> RunLog:
    """The log of a run with the loggers that the config asks for."""
    found = []
    for name in LOGGERS if is_main() else ():
        try:
            found.append(LOGGERS.get(name).from_config(cfg))
        except ImportError:
            logger.warning("%s is not installed: logging to metrics.jsonl only (pip install %s).", name, name)
        except Exception as error:
            logger.warning("%s did not start (%s): logging to metrics.jsonl only.", name, error)
    return RunLog(cfg.OUTPUT_DIR, start=start, loggers=[one for one in found if one is not None])
