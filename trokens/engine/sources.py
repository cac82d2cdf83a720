"""Which checkpoints a run uses, found once by its main process: what it goes on or starts from, what it tests, and
whether that has learned from what it is evaluated on."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trokens.clips.split import Clip
from trokens.clips.trained import UNKNOWN, TrainingList, learned
from trokens.config import ConfigError, dataset_of, kept_options
from trokens.engine.data import final_split, used_splits
from trokens.models.checkpoint import (
    BEST,
    INTERRUPTED,
    checkpoint_dir,
    epoch_path,
    find_last,
    malformed,
    read_head,
    saved_epochs,
)
from trokens.models.pretrained import find_pretrained

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """The checkpoints of a run, and what their weights were trained on.

    Attributes:
        start: What training goes on from, or starts from; None for fresh weights.
        head: What ``start`` holds besides weights and the optimizer's state.
        is_own: ``start`` lies in OUTPUT_DIR, where an earlier run left it.
        damaged: Files of OUTPUT_DIR that would have come before ``start``, and what is wrong with each.
        history: The lists that the trained weights will have been trained on.
        tested: What is tested; None where this run makes it, or where it tests its initial weights.
        tested_history: The lists that the tested weights were trained on.
    """

    start: Path | None = None
    head: dict[str, Any] = field(default_factory=dict)
    is_own: bool = False
    damaged: dict[Path, str] = field(default_factory=dict)
    history: tuple[TrainingList, ...] = ()
    tested: Path | None = None
    tested_history: tuple[TrainingList, ...] = ()


def list_name(dataset: str, ssv2_split: str) -> str:
    """Name of a dataset's list, for :class:`trokens.clips.trained.TrainingList`: SSv2 has several."""
    return dataset.lower() + (f"/{ssv2_split}" if dataset.lower() == "ssv2" else "")


def find_sources(cfg, training: TrainingList | None) -> Sources:
    """Find the checkpoints of a run with this training list, if it trains; check that they are whole and belong to it.

    Raises:
        ConfigError, FileNotFoundError, ValueError: The run could not start from them, or would mix with another one.
    """
    start, tested = cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.TEST.CHECKPOINT_FILE_PATH
    if training is None:
        path = _named(cfg) or _best_or_last(cfg) or (Path(start) if start else None)
        if path is None:
            return Sources()
        head = _read(path, "TRAIN" if str(path) == start else "TEST")
        return Sources(tested=path, tested_history=_history(path, head))
    sources = _start(cfg, training)
    _check_will_be_there(cfg, sources.head.get("epoch", -1) + 1 if sources.is_own else 0)
    if not tested or not cfg.TEST.ENABLE or _is_own(cfg, tested):
        return replace(sources, tested_history=sources.history)
    path = find_pretrained(tested)
    return replace(sources, tested=path, tested_history=_history(path, _read(path, "TEST")))


def _check_will_be_there(cfg, done: int) -> None:
    """Refuse to train for hours where the test at the end asks for a checkpoint that the training, which has ``done``
    so many epochs, does not write."""
    wanted, number, last = cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TEST.TEST_EPOCH_NUM, cfg.SOLVER.MAX_EPOCH
    if not cfg.TEST.ENABLE or (not wanted and number <= 0) or (wanted and not _is_own(cfg, wanted)):
        return
    path, option = epoch_path(cfg.OUTPUT_DIR, number), "TEST.TEST_EPOCH_NUM"
    if wanted:
        path, option = Path(wanted), "TEST.CHECKPOINT_FILE_PATH"
        match = re.fullmatch(r"checkpoint_epoch_(\d+)\.pyth", path.name)
        number = int(match[1]) if match else 0
    is_made = done < number <= last and (number == last or number % cfg.TRAIN.CHECKPOINT_PERIOD == 0)
    if not (is_made or path.name == BEST or os.path.lexists(path)):
        raise FileNotFoundError(f"{option} asks for {path}, which is not there, and which this training does not write "
                                f"(SOLVER.MAX_EPOCH {last}, TRAIN.CHECKPOINT_PERIOD {cfg.TRAIN.CHECKPOINT_PERIOD}); "
                                f"correct {option}.")


def _start(cfg, training: TrainingList) -> Sources:
    """What training goes on from, or starts from."""
    own, start = checkpoint_dir(cfg.OUTPUT_DIR), cfg.TRAIN.CHECKPOINT_FILE_PATH
    of_epochs = bool(saved_epochs(cfg.OUTPUT_DIR)) or os.path.lexists(own / INTERRUPTED)
    best_alone = None if of_epochs else _best_alone(cfg, training)
    if not cfg.TRAIN.AUTO_RESUME and (of_epochs or best_alone):
        raise ConfigError(f"{own} holds the checkpoints of another run, and "
                          "TRAIN.AUTO_RESUME is False; remove them, or choose another OUTPUT_DIR.")
    path, head, damaged = (own / BEST, best_alone, {}) if best_alone else find_last(cfg.OUTPUT_DIR)
    is_own = path is not None
    if is_own:
        _check_same_list(path, head, training)
    elif start:
        path, head = Path(start), _read(start, "TRAIN")
        if goes_on(cfg, head) and (bad := malformed(head)):
            raise ConfigError(f"{path} is not a checkpoint of Trokens that training can go on from ({bad}); set "
                              "TRAIN.CHECKPOINT_EPOCH_RESET True to start from its weights alone.")
    else:
        return Sources(history=(training,))
    others = tuple(one for one in _history(path, head) if one.digest != training.digest)
    return Sources(path, head, is_own, damaged, (*others, training))


def _best_alone(cfg, training: TrainingList) -> dict[str, Any] | None:
    """The head of the best checkpoint, where those of the epochs must have been removed by hand: a run that was killed
    before its first one leaves the best alone, too, and begins again."""
    best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
    if not os.path.lexists(best):
        return None
    head = read_head(best, to_go_on=True)
    _check_same_list(best, head, training)  # else a run that validates nothing would test it as its own
    first = min(cfg.TRAIN.CHECKPOINT_PERIOD, cfg.SOLVER.MAX_EPOCH)
    return head if head.get("epoch", -1) + 1 > first else None


def trained_checkpoint(cfg, sources: Sources) -> Path | None:
    """What is tested of a training that has ended; None where nothing was saved."""
    return _named(cfg) or _best_or_last(cfg) or sources.start


def _named(cfg) -> Path | None:
    """The checkpoint that the test options name."""
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        return find_pretrained(cfg.TEST.CHECKPOINT_FILE_PATH)
    number = cfg.TEST.TEST_EPOCH_NUM
    if number <= 0:
        return None
    if not os.path.lexists(path := epoch_path(cfg.OUTPUT_DIR, number)):
        there = ", ".join(map(str, saved_epochs(cfg.OUTPUT_DIR))) or "none"
        raise FileNotFoundError(f"No checkpoint at {path}, which TEST.TEST_EPOCH_NUM asks for; there are those of "
                                f"epochs {there} (TRAIN.KEEP_EVERY keeps more).")
    return path


def _best_or_last(cfg) -> Path | None:
    """What an earlier training in OUTPUT_DIR left to be tested."""
    best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
    if os.path.lexists(best):
        return best
    last = find_last(cfg.OUTPUT_DIR)
    for what in last.damaged.values():
        logger.warning("%s; so %s is tested.", what, last.path)
    return last.path


def goes_on(cfg, state: Mapping[str, Any]) -> bool:
    """Whether training goes on behind a checkpoint of another folder, or starts from its weights alone."""
    return not cfg.TRAIN.CHECKPOINT_EPOCH_RESET and not is_published(state)


def is_published(state: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has not what training here needs to go on at a step: that of the published code has not."""
    return not {"step", "pending"} <= state.keys()


def _is_own(cfg, path: str) -> bool:
    return Path(path).resolve().parent == checkpoint_dir(cfg.OUTPUT_DIR).resolve()


def _read(path: str | Path, section: str) -> dict[str, Any]:
    if not os.path.lexists(path):
        raise FileNotFoundError(f"No checkpoint at {path}; correct {section}.CHECKPOINT_FILE_PATH.")
    return read_head(path)


def _history(path: str | Path, head: dict[str, Any]) -> tuple[TrainingList, ...]:
    """The lists that a checkpoint was trained on; a line where it does not say all of them."""
    history = _lists(head) or (UNKNOWN,)
    if not all(one.is_known for one in history):
        logger.info("%s does not say all that it was trained on: whether it knows classes that are evaluated cannot be "
                    "checked.", path)
    return history


def _lists(head: dict[str, Any]) -> tuple[TrainingList, ...]:
    """The lists that a checkpoint keeps; none where it keeps something else under that name."""
    try:
        return tuple(TrainingList.from_state(one) for one in head.get("trained", ()))
    except (TypeError, KeyError):
        return ()


def _check_same_list(path: Path, head: dict[str, Any], training: TrainingList) -> None:
    """Refuse to go on with a run's checkpoint on another training list; one without its list tells the dataset."""
    if lists := _lists(head):
        is_same = lists[-1].digest == training.digest
        before, differing = str(lists[-1]), _differing(lists[-1], training)
    else:
        options = kept_options(head.get("cfg", ""))
        name = list_name(str(options.get("TRAIN.DATASET", "")), str(options.get("SSV2.SPLIT", "")))
        is_same, before, differing = name in ("", training.name), f"'{name}'", ""
    if is_same:
        return
    raise ConfigError(f"{path} was trained on the list {before}, and this run's training list is {training}"
                      f"{differing}; choose another OUTPUT_DIR for this one, or go back to the list that the run began "
                      "with.")


def _differing(before: TrainingList, now: TrainingList) -> str:
    """What two lists do not share, in brackets."""
    there, here = set(before.classes), set(now.classes)
    found = ("gone are", there - here), ("new are", here - there)
    parts = [f"{where} {_some(sorted(names))}" for where, names in found if names]
    shared = len(set(before.clips.tolist()) & set(now.clips.tolist()))
    return f" ({'; '.join(parts) or f'the classes are the same, {shared} clips are in both'})"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join([f"'{name}'" for name in names[:most]] + [f"{len(names) - most} more"] * (len(names) > most))


def check_unseen(cfg, splits: Mapping[str, Sequence[Clip]], sources: Sources) -> dict[str, Any]:
    """Check that the weights were not trained on the classes that they are evaluated on: that would measure memory.

    Returns:
        What results.json says: ``trained_classes``, those of the tested split that the tested weights were trained on,
        and ``trained_clips``, how many of its clips; both None where a checkpoint does not say.

    Raises:
        ConfigError: They were, and TEST.ALLOW_TRAINED_CLASSES is False.
    """
    validated = cfg.TRAIN.VAL_SPLIT if used_splits(cfg)[0] else None
    tested = final_split(cfg) if cfg.TRAIN.VAL_ONLY or cfg.TEST.ENABLE else None
    found = {}
    for split, history in {(validated, sources.history), (tested, sources.tested_history)}:
        clips = splits.get(split)
        if not clips:
            continue
        name = list_name(dataset_of(cfg, split), cfg.SSV2.SPLIT)
        found[split] = classes, num_clips = learned(history, name, clips)
        if classes:
            what = (f"The weights were trained on {len(classes)} of the {len({clip.class_name for clip in clips})} "
                    f"classes of the {split} split ({_some(classes)}), and on {num_clips} of its {len(clips)} clips")
            if not cfg.TEST.ALLOW_TRAINED_CLASSES:
                raise ConfigError(f"{what}: evaluate on classes that are new to them, or set "
                                  "TEST.ALLOW_TRAINED_CLASSES True if that is meant.")
            logger.warning("%s (TEST.ALLOW_TRAINED_CLASSES): the accuracy is not one on new classes.", what)
    classes, num_clips = found.get(tested, ([], 0))
    if not classes and not all(one.is_known for one in sources.tested_history):
        return {"trained_classes": None, "trained_clips": None}
    return {"trained_classes": classes, "trained_clips": num_clips}
