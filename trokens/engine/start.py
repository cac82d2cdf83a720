"""Load what :mod:`trokens.engine.sources` found: the state that training goes on from, the weights that are tested."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trokens.config import ConfigError, changed_meaning, changed_options
from trokens.config.border import keys_of
from trokens.engine.optim import restore_optimizer
from trokens.engine.sources import Sources, goes_on, is_published, trained_checkpoint
from trokens.engine.trainer import NO_BEST
from trokens.models.build import MODEL_KEYS
from trokens.models.checkpoint import BEST, checkpoint_dir, epoch_path, load_checkpoint, malformed
from trokens.models.trokens import Trokens
from trokens.models.weights import LoadReport, backbone_norms, load_weights, misfit
from trokens.runtime.distributed import agreed, barrier, is_main
from trokens.runtime.files import whole_file

logger = logging.getLogger(__name__)


def load_start(cfg, model: Trokens, optimizer: torch.optim.Optimizer, sources: Sources) -> dict[str, Any] | None:
    """Load the weights that training starts from, and the optimizer's state where it goes on.

    Returns:
        ``epoch`` (the last whole one, from 0), ``step``, ``best``, ``pending``, ``scaler_state`` and ``recent`` of the
        state to go on from; None to start at the first epoch.

    Raises:
        ValueError: The weights do not fit the model.
    """
    if sources.start is None:
        return None
    path = sources.start
    state, report = _load(model, path)
    published = is_published(state)
    if sources.is_own and (report.missing or (report.unexpected and not published)):
        raise ValueError(f"The weights of {path} cannot be trained on: "
                         f"{misfit(report.missing, report.unexpected, MODEL_KEYS)}.")
    if report.missing:
        _warn("%s lacks %d parameters of this model (the first is %s): they start from fresh values.", path,
              len(report.missing), report.missing[0])
    if not sources.is_own and (not goes_on(cfg, state) or "optimizer_state" not in state):
        logger.info("Starting at epoch 1 from the weights of %s%s; its %s epochs and its optimizer's state do not "
                    "count.", path, ", a checkpoint of the published code" if published else "",
                    "own" if malformed({"epoch": state.get("epoch", -1)}) else state.get("epoch", -1) + 1)
        return None
    best = agreed(lambda: _take_over(cfg, sources)) if sources.is_own else NO_BEST  # that lies in another folder
    lost = restore_optimizer(optimizer, model, state)
    epoch, step, what = sources.head.get("epoch", -1), state.get("step", 0), ""
    if published:
        optimizer = f"its optimizer's state is not ({lost})" if lost else "so is its optimizer's state"
        what = (f", a checkpoint of the published code: its weights are taken, {optimizer}; figures and the best "
                "checkpoint begin anew")
    logger.info("Going on from %s (%d epochs and %d steps)%s.", path, epoch + 1, step, what)
    if lost and not published:
        _warn("The optimizer's state of %s is not taken (%s): it starts fresh.", path, lost)
    if changed := _changes(model, path, state, partial(changed_options, cfg)):
        _warn("%s was trained with other values of %s.", path, ", ".join(changed))
    return {"epoch": epoch, "step": step, "best": best, "pending": state.get("pending", []),
            "recent": state.get("recent", []), "scaler_state": state.get("scaler_state")}


def _take_over(cfg, sources: Sources) -> dict[str, float]:
    """Put away what the run would write over, and find the best checkpoint so far (in the main process)."""
    if sources.head.get("epoch", -1) + 1 >= cfg.SOLVER.MAX_EPOCH:  # it will write nothing
        for what in sources.damaged.values():
            logger.warning("%s; so %s counts.", what, sources.start)
        return NO_BEST
    for path, what in sources.damaged.items():
        kept = _free_name(path.with_name(path.name + ".damaged"))
        os.replace(path, kept)
        logger.warning("%s; it is now %s, and training goes on from %s.", what, kept.name, sources.start)
    best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
    if "best" not in sources.head:  # how good it is, the published code does not keep
        if best.is_file():
            kept = _free_name(best.with_name("checkpoint_best_published.pyth"))
            if best == sources.start:  # a run that is killed soon goes on from it again
                _copy(best, kept)
            else:
                os.replace(best, kept)
            logger.info("%s is now %s: its accuracy is not kept, so the best is chosen among the epochs from now on.",
                        best, kept.name)
        return NO_BEST
    known = sources.head["best"]
    if known["epoch"] < 1 or best == sources.start:
        return known
    what = f"{best} is gone"
    if best.is_file():
        try:
            load_checkpoint(best, mapped=True)
            return known
        except ValueError as error:
            what = str(error).partition(";")[0]
            os.replace(best, _free_name(best.with_name(best.name + ".damaged")))
    same = epoch_path(cfg.OUTPUT_DIR, known["epoch"])
    if same.is_file():
        _copy(same, best)
        logger.warning("%s; %s, the same state, takes its place.", what, same)
        return known
    logger.warning("%s, which epoch %d had left (%.2f %%): the best is chosen among the epochs from now on.", what,
                   known["epoch"], 100 * known["accuracy"])
    return NO_BEST


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as unfinished:
        shutil.copyfile(source, unfinished)


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}{number + 1}")
    return free


def load_tested(cfg, model: Trokens, sources: Sources) -> str:
    """Load the weights to test, and say which they are and with which other options they were trained.

    Raises:
        ValueError: The checkpoint lacks parameters of the model.
    """
    path = sources.tested or (agreed(lambda: trained_checkpoint(cfg, sources)) if cfg.TRAIN.ENABLE else None)
    barrier()
    if path is None:
        logger.info("There is no checkpoint: testing the initial weights (no training at all).")
        return "none (initial weights)"
    state, report = _load(model, path)
    if report.missing:
        raise ValueError(f"The weights of {path} cannot be tested: {misfit(report.missing, [], MODEL_KEYS)}.")
    if report.unexpected:
        _warn("The weights of %s are not all used: %s.", path, misfit([], report.unexpected, MODEL_KEYS))
    logger.info("Testing %s.", path)
    if changed := _changes(model, path, state, partial(changed_meaning, cfg)):
        _warn("%s was trained with other options than it is tested with, so its weights mean something else: %s.", path,
              ", ".join(f"{key} {'was not there' if there is None else there} (now {here})"
                        for key, (there, here) in changed.items()))
    return str(path)


def _load(model: Trokens, path: Path) -> tuple[dict[str, Any], LoadReport]:
    state = load_checkpoint(path)
    try:
        with keys_of(**MODEL_KEYS):
            return state, load_weights(model, state)
    except ValueError as error:
        raise ValueError(f"{path} does not fit the model: {error}") from error


def _changes(model: Trokens, path: Path, state: dict[str, Any], compare: Callable[[str], dict]) -> dict[str, tuple]:
    """Tell whether the frozen backbone is another one: a checkpoint leaves it out, and another file of it would give
    other features without a word. Returns which options are other ones, by key: there and here."""
    here, there = backbone_norms(model), state.get("backbone")
    if here is not None and isinstance(there, torch.Tensor) and (
            here.shape != there.shape or not torch.allclose(here, there.float(), rtol=1e-3)):
        _warn("%s was trained with other weights of the frozen backbone than are here (MODEL.BACKBONE_WEIGHTS), so its "
              "own mean something else.", path)
    try:
        return compare(state.get("cfg"))
    except ConfigError as error:
        logger.info("%s does not say with which options it was trained: %s", path, error)
        return {}


def _warn(text: str, *args) -> None:
    if is_main():  # warnings of the others are shown, too
        logger.warning(text, *args)
