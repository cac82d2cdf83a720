"""Where a run's figures go: metrics.jsonl, and further loggers, each in a file of this folder.

A logger is a class, decorated with ``@LOGGERS.register(name)``, with three methods: ``from_config(cfg)``, which returns
None where the run does not ask for it, ``__call__(record)`` and ``close()``. It may have a fourth for the end of a
test, ``finish(results, pictures)``: what results.json says, and pictures (H, W, 3) uint8 by name. Its file is found by
itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trokens.registry import Registry
from trokens.runtime.distributed import in_main, is_main
from trokens.runtime.files import append_line, write_text

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

LOGGERS = Registry("logger", __name__)
MOST_PAIRS = 20  # of confused classes in a table


class RunLog:
    """Writes records of figures; what cannot be reached never stops the run.

    Args:
        output_dir: Gets metrics.jsonl.
        loggers: Further receivers, each called with every record.
    """

    def __init__(self, output_dir: str | Path, *, loggers: Iterable = ()):
        self.path = Path(output_dir) / "metrics.jsonl"
        self.loggers = list(loggers)

    def begin(self, start: tuple[int, int] = (0, 0)) -> None:
        """Begin to train.

        Args:
            start: (epoch, step) of the last record that stays; an interrupted run makes later ones again.
        """
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

    def finish(self, results: dict[str, Any], pictures: Mapping[str, np.ndarray]) -> None:
        """Give the further loggers the figures of the test, see above; called in the main process alone."""
        for one in [one for one in self.loggers if hasattr(one, "finish")]:
            try:
                one.finish(results, pictures)
            except Exception as error:
                logger.warning("%s took no figures of the test (%s); results.json has them.", type(one).__name__, error)

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


def final_figures(results: dict[str, Any]) -> dict[str, float]:
    """The numbers of a test by name: accuracy and intervals of each number of shots, accuracy of each class."""
    found = {}
    for number, one in enumerate(results["by_k_shot"]):
        shots = f"_{one['k_shot']}_shot" if number else ""
        found[f"test/accuracy{shots}"] = one["accuracy"]
        found |= {f"test/interval_{over}{shots}": width for over, width in one["intervals"].items()}
    found |= {f"test_class/{name}": one["accuracy"] for name, one in results["per_class"].items()}
    return {name: value for name, value in found.items() if value is not None}


def final_tables(results: dict[str, Any]) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Columns and rows, by name: the accuracy of each class, and what is confused most."""
    classes = [[name, one["accuracy"], one["interval"], one["answers"]] for name, one in results["per_class"].items()]
    names, counts = results["confusion"]["classes"], results["confusion"]["counts"]
    pairs = [[names[i], names[j], count, count / sum(row)] for i, row in enumerate(counts)
             for j, count in enumerate(row) if i != j and count]
    pairs.sort(key=lambda pair: -pair[3])
    return {"classes": (["class", "accuracy", "interval", "queries"], classes),
            "confused": (["class", "taken for", "queries", "share"], pairs[:MOST_PAIRS])}


def build_log(cfg) -> RunLog:
    """The log of a run with the loggers that the config asks for."""
    found = []
    for name in LOGGERS if is_main() else ():
        try:
            found.append(LOGGERS.get(name).from_config(cfg))
        except ImportError:
            logger.warning("%s is not installed: logging to metrics.jsonl only (pip install %s).", name, name)
        except Exception as error:
            logger.warning("%s did not start (%s): logging to metrics.jsonl only.", name, error)
    return RunLog(cfg.OUTPUT_DIR, loggers=[one for one in found if one is not None])
