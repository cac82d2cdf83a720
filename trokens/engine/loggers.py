"""Where a run's figures go: the console, metrics.jsonl, and on request wandb and TensorBoard."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trokens.runtime.distributed import in_main, is_main
from trokens.runtime.files import append_line, write_text, writing

logger = logging.getLogger(__name__)


def setup_logging(output_dir: str | Path | None = None) -> None:
    """Send log lines to the console and, given the folder, to log.txt; warnings only, and to the console, in processes
    that are not the main one.

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


class RunLog:
    """Writes records of figures; what cannot be reached never stops the run.

    Args:
        output_dir: Gets metrics.jsonl.
        start: (epoch, step) of the last record that the run will not make again; later ones of an interrupted run are
            dropped.
        sinks: Further receivers, each called with every record.
    """

    def __init__(self, output_dir: str | Path, *, start: tuple[int, int] = (0, 0), sinks: Iterable = ()):
        self.path = Path(output_dir) / "metrics.jsonl"
        self.sinks = list(sinks)
        in_main(lambda: write_text(self.path, "".join(line + "\n" for line in self._lines() if _before(line, start))))

    def _lines(self) -> list[str]:
        return self.path.read_text(errors="replace").splitlines() if self.path.is_file() else []

    def write(self, record: dict[str, Any]) -> None:
        """Add one record: ``phase``, ``epoch``, ``step`` and figures.

        Raises:
            WriteError: The disk does not take it; nothing of it is left.
            EndedElsewhere: So it is in the main process, which alone writes.
        """
        in_main(lambda: self._write(record))

    def _write(self, record: dict[str, Any]) -> None:
        append_line(self.path, json.dumps(record))
        for sink in list(self.sinks):
            try:
                sink(record)
            except Exception as error:
                self.sinks.remove(sink)
                logger.warning("%s stopped taking figures (%s); metrics.jsonl goes on.", type(sink).__name__, error)

    def close(self) -> None:
        """Flush the sinks."""
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as error:
                logger.warning("%s did not close (%s).", type(sink).__name__, error)


def _before(line: str, start: tuple[int, int]) -> bool:
    """True for a whole record up to ``start``; a line cut off by a crash, or of other JSON, is not one."""
    try:
        record = json.loads(line)
        return record["phase"] != "test" and (record["epoch"], record["step"]) <= start
    except (json.JSONDecodeError, KeyError, TypeError):
        return False


def _figures(record: dict[str, Any]) -> dict[str, float]:
    skipped = ("phase", "global_step")
    return {f"{record['phase']}/{k}": v for k, v in record.items() if k not in skipped and isinstance(v, int | float)}


class WandbSink:
    """Weights & Biases, offline where there is no key."""

    def __init__(self, output_dir: str | Path, *, project: str, entity: str, run_id: str, name: str,
                 config: dict[str, Any]):
        import wandb  # an optional extra

        mode = os.environ.get("WANDB_MODE")
        if mode is None and not _has_key(wandb):
            mode = "offline"
            logger.warning("wandb has no key: logging offline below %s (wandb login, then wandb sync).", output_dir)
        options = {"project": project, "entity": entity or None, "id": run_id or None, "name": name or None,
                   "dir": str(output_dir), "config": config, "resume": "allow",
                   "settings": wandb.Settings(silent=True, console="off", init_timeout=60)}
        try:
            self.run = wandb.init(mode=mode, **options)
        except Exception as error:
            logger.warning("wandb cannot be reached (%s): logging offline below %s.", error, output_dir)
            wandb.teardown()  # else the run's id counts as in use
            self.run = wandb.init(mode="offline", **options)

    def __call__(self, record: dict[str, Any]) -> None:
        self.run.log(_figures(record), step=record["global_step"])

    def close(self) -> None:
        self.run.finish()


def _has_key(wandb) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return wandb.login(prompt=False, verify=False)
    except TypeError:  # an older version
        return bool(wandb.api.api_key)


class TensorBoardSink:
    """TensorBoard event files in OUTPUT_DIR/tensorboard."""

    def __init__(self, output_dir: str | Path):
        from torch.utils.tensorboard import SummaryWriter  # an optional extra

        self.writer = SummaryWriter(str(Path(output_dir) / "tensorboard"))

    def __call__(self, record: dict[str, Any]) -> None:
        for name, value in _figures(record).items():
            self.writer.add_scalar(name, value, record["global_step"])

    def close(self) -> None:
        self.writer.close()


def build_log(cfg, *, start: tuple[int, int], config: dict[str, Any]) -> RunLog:
    """The log of a run with the sinks that the config asks for."""
    w, sinks = cfg.WANDB, []
    wanted = w.ENABLE == "always" or (w.ENABLE == "auto" and (w.ID or w.EXP_NAME))
    makers = {
        "wandb": wanted and (lambda: WandbSink(cfg.OUTPUT_DIR, project=w.PROJECT, entity=w.ENTITY, run_id=w.ID,
                                               name=w.EXP_NAME, config=config)),
        "tensorboard": cfg.TENSORBOARD.ENABLE and (lambda: TensorBoardSink(cfg.OUTPUT_DIR)),
    }
    for name, make in makers.items():
        if make and is_main():
            try:
                sinks.append(make())
            except ImportError:
                logger.warning("%s is not installed: logging to metrics.jsonl only (pip install %s).", name, name)
            except Exception as error:
                logger.warning("%s did not start (%s): logging to metrics.jsonl only.", name, error)
    return RunLog(cfg.OUTPUT_DIR, start=start, sinks=sinks)
