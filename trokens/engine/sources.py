"""Where a run's weights come from: what training goes on from, and what is tested."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from trokens.checkpoint import BEST, checkpoint_dir, epoch_path, last_checkpoint, load_checkpoint
from trokens.config import changed_options
from trokens.distributed import barrier
from trokens.engine.trainer import NO_BEST
from trokens.models.trokens import Trokens
from trokens.models.weights import load_weights

logger = logging.getLogger(__name__)


def load_start(cfg, model: Trokens) -> dict[str, Any] | None:
    """Load the weights that training starts from; return the state to go on from, if any."""
    path = last_checkpoint(cfg.OUTPUT_DIR) if cfg.TRAIN.AUTO_RESUME else None
    if path is not None:
        state = load_checkpoint(path)
        load_weights(model, state)
        logger.info("Going on from %s (%d epochs and %d steps).", path, state["epoch"] + 1, state["step"])
        if changed := changed_options(cfg, state["cfg"]):
            logger.warning("%s was trained with other values of %s.", path, ", ".join(changed))
        return state
    if cfg.TRAIN.CHECKPOINT_FILE_PATH:
        state = load_checkpoint(cfg.TRAIN.CHECKPOINT_FILE_PATH)
        load_weights(model, state)
        logger.info("Starting from the weights of %s.", cfg.TRAIN.CHECKPOINT_FILE_PATH)
        if not cfg.TRAIN.CHECKPOINT_EPOCH_RESET and {"optimizer_state", "step", "pending"} <= state.keys():
            return {**state, "best": NO_BEST}  # the best of another run lies in another folder
    return None


def load_tested(cfg, model: Trokens) -> str:
    """Load the weights to test and say which they are."""
    candidates = [Path(cfg.TEST.CHECKPOINT_FILE_PATH)] if cfg.TEST.CHECKPOINT_FILE_PATH else []
    if cfg.TEST.TEST_EPOCH_NUM > 0:
        candidates.append(epoch_path(cfg.OUTPUT_DIR, cfg.TEST.TEST_EPOCH_NUM))
    if not candidates:
        best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
        candidates = [p for p in (best, last_checkpoint(cfg.OUTPUT_DIR)) if p is not None and p.is_file()]
        candidates += filter(None, [cfg.TRAIN.CHECKPOINT_FILE_PATH])  # nothing was trained on top of it
    barrier()
    if not candidates:
        logger.info("There is no checkpoint: testing the initial weights (no training at all).")
        return "none (initial weights)"
    load_weights(model, load_checkpoint(candidates[0]))
    logger.info("Testing %s.", candidates[0])
    return str(candidates[0])
