"""A run's own folder: locked while it lasts, cleared of what killed runs left, and given the results at the end."""

from __future__ import annotations

import errno
import logging
import math
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trokens import __version__
from trokens.config import config_hash, dataset_of, dump
from trokens.engine.console import setup_logging
from trokens.engine.evaluator import BankOptions
from trokens.fewshot.outcomes import Outcomes
from trokens.fewshot.uncertainty import class_accuracies, intervals
from trokens.models.checkpoint import BEST, checkpoint_dir, trained_state
from trokens.runtime.distributed import in_main, world_size
from trokens.runtime.files import WriteError, check_writable, remove_all_unfinished, write_json, write_text, writing
from trokens.runtime.lock import OTHER_FOLDER, folder_lock

logger = logging.getLogger(__name__)


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
        in_main(lambda: [remove_all_unfinished(one) for one in (Path(folder), checkpoint_dir(folder))])
        in_main(lambda: setup_logging(folder))
        yield


def start_output(cfg) -> None:
    """Write the config down, and find out now whether bank and results can be written at the end (in the main process).

    Raises:
        WriteError: One of them cannot.
    """
    write_text(Path(cfg.OUTPUT_DIR) / "config.yaml", dump(cfg))
    for path in result_paths(cfg):
        check_writable(path)
    if cfg.TEST.BANK == "disk":
        check_writable(BankOptions.from_config(cfg).folder / f"{cfg.TEST.SPLIT}.bank")


def check_room(cfg, model: nn.Module) -> None:
    """Check, before an epoch is trained, that the disk has room for a checkpoint.

    Raises:
        WriteError: It has not.
    """
    moments = {"sgd": 1, "adam": 2, "adamw": 2}[cfg.SOLVER.OPTIMIZING_METHOD]
    size = sum(value.nbytes for value in trained_state(model).values())
    size += moments * sum(p.nbytes for p in model.parameters() if p.requires_grad)
    best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
    check_writable(best)
    if 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[0] < size:  # it is negative where there is none
        with writing(best):
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    free = shutil.disk_usage(cfg.OUTPUT_DIR).free
    if size > free:
        raise WriteError(f"{checkpoint_dir(cfg.OUTPUT_DIR)} has room for {free / 2**20:.1f} MB, and a checkpoint takes "
                         f"{size / 2**20:.1f} MB; free some space there, or choose another OUTPUT_DIR.")


def provenance() -> dict[str, Any]:
    """Commit of the code and versions of what computed the figures, and the command."""
    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(Path(__file__).parent), *args], capture_output=True, text=True,
                              check=False)
        return done.stdout.strip()

    try:  # an installed package may lie in a repository that knows nothing of it
        commit = git("rev-parse", "HEAD") if git("ls-files", Path(__file__).name) else ""
        commit += "-dirty" if commit and git("status", "--porcelain", "--untracked-files=no") else ""
    except OSError:
        commit = ""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"commit": commit or "unknown", "version": __version__, "torch": torch.__version__,
            "python": platform.python_version(), "processes": world_size(), "command": command}


def tell_results(cfg, split: str, scores: Sequence[dict[str, Any]], checkpoint: str,
                 about: dict[str, Any]) -> dict[str, Any]:
    """Log the figures of each number of shots; returns what results.json says, with those of the first at the top."""
    for one in scores:
        logger.info("%s: %d-way %d-shot accuracy %.2f ± %.2f %% (95 %%) over %d episodes of %d clips; "
                    "chance %.1f %%", split, one["n_way"], one["k_shot"], 100 * one["accuracy"],
                    100 * one["interval"], one["episodes"], one["clips"], 100 * one["chance"])
        others = [f"± {100 * width:.2f} for other {name}" for name, width in
                  (("clips of these classes", one["intervals"]["clips"]), ("classes", one["intervals"]["classes"]))
                  if width is not None]
        if others:
            logger.info("%s: %s", split, ", ".join(others))
    by_k_shot = [{key: one[key] for key in ("k_shot", "accuracy", "interval", "intervals", "clips")} for one in scores]
    return {**scores[0], "by_k_shot": by_k_shot, "checkpoint": checkpoint, "seed": cfg.RNG_SEED,
            "dataset": dataset_of(cfg, split), "config_hash": config_hash(cfg), **about}


def result_paths(cfg) -> list[Path]:
    """results.json, and the further copy that the config asks for."""
    return [Path(path) for path in (Path(cfg.OUTPUT_DIR) / "results.json", cfg.TEST.SAVE_RESULTS_PATH) if path]


def describe_outcomes(outcomes: Outcomes) -> dict[str, Any]:
    """What results.json tells of a test besides its accuracy: intervals, accuracy by class, confusion."""
    found = intervals(outcomes.accuracy, outcomes)
    return {"intervals": {name: None if width is None or math.isnan(width) else width
                          for name, width in asdict(found).items()},
            "per_class": {name: {"accuracy": accuracy, "interval": width, "answers": answers}
                          for name, accuracy, width, answers in class_accuracies(outcomes)},
            "confusion": {"classes": list(outcomes.classes), "counts": outcomes.confusion().tolist()}}


def write_results(cfg, result: dict[str, Any]) -> None:
    """Write the results to their places."""
    for path in result_paths(cfg):
        write_json(path, result)
    logger.info("Results: %s", Path(cfg.OUTPUT_DIR) / "results.json")
