"""What a run has to say at its end: results.json, and what its figures were computed with."""

from __future__ import annotations

import logging
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trokens import __version__
from trokens.config import config_hash
from trokens.runtime.distributed import world_size
from trokens.runtime.files import write_json

logger = logging.getLogger(__name__)


def provenance() -> dict[str, Any]:
    """Commit of the code and versions of what computed the figures."""
    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(Path(__file__).parent), *args], capture_output=True, text=True,
                              check=False)
        return done.stdout.strip()

    try:  # an installed package may lie in a repository that knows nothing of it
        commit = git("rev-parse", "HEAD") if git("ls-files", Path(__file__).name) else ""
        commit += "-dirty" if commit and git("status", "--porcelain", "--untracked-files=no") else ""
    except OSError:
        commit = ""
    return {"commit": commit or "unknown", "version": __version__, "torch": torch.__version__,
            "python": platform.python_version(), "processes": world_size()}


def gather_results(cfg, split: str, scores: Sequence[dict[str, Any]], checkpoint: str,
                   about: dict[str, Any]) -> dict[str, Any]:
    """What results.json says.

    Args:
        cfg: Of the run.
        split: That was scored.
        scores: From :meth:`trokens.engine.evaluator.Evaluator.score`; the first one's figures stand at the top.
        checkpoint: That was scored.
        about: From :func:`provenance` and :func:`trokens.engine.seen.check_unseen`.
    """
    dataset = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
    by_k_shot = [{key: one[key] for key in ("k_shot", "accuracy", "interval", "clips")} for one in scores]
    return {**scores[0], "by_k_shot": by_k_shot, "checkpoint": checkpoint, "seed": cfg.RNG_SEED, "dataset": dataset,
            "config_hash": config_hash(cfg), **about}


def tell_scores(split: str, scores: Sequence[dict[str, Any]]) -> None:
    """Log a line for each number of shots."""
    for one in scores:
        logger.info("%s: %d-way %d-shot accuracy %.2f ± %.2f %% (95 %%) over %d episodes of %d clips; "
                    "chance %.1f %%", split, one["n_way"], one["k_shot"], 100 * one["accuracy"],
                    100 * one["interval"], one["episodes"], one["clips"], 100 * one["chance"])


def result_paths(cfg) -> list[Path]:
    """results.json, and the further copy that the config asks for."""
    return [Path(path) for path in (Path(cfg.OUTPUT_DIR) / "results.json", cfg.TEST.SAVE_RESULTS_PATH) if path]


def write_results(cfg, result: dict[str, Any]) -> None:
    """Write the results to their places."""
    for path in result_paths(cfg):
        write_json(path, result)
    logger.info("Results: %s", Path(cfg.OUTPUT_DIR) / "results.json")
