"""Which checkpoints a run uses, found once by its main process: what it goes on or starts from, what it tests, and
whether that has learned from what it is evaluated on."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trokens.clips.split import Clip
from trokens.clips.trained import UNKNOWN, Learned, TrainingList, learned
from trokens.config import ConfigError, kept_options
from trokens.engine.data import final_split, used_splits
from trokens.models.checkpoint import (
    BEST,
    LastCheckpoint,
    checkpoint_dir,
    epoch_path,
    find_last,
    has_checkpoints,
    is_there,
    malformed,
    read_head,
    saved_epochs,
)

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


def list_name(cfg, split: str) -> str:
    """Name of the list that a split belongs to, for :class:`trokens.clips.trained.TrainingList`."""
    return _list_name(cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET, cfg.SSV2.SPLIT)


def _list_name(dataset: str, ssv2_split: str) -> str:
    return dataset.lower() + (f"/{ssv2_split}" if dataset.lower() == "ssv2" else "")


def find_sources(cfg, training: TrainingList | None, splits: Mapping[str, Sequence[Clip]]
                 ) -> tuple[Sources, dict[str, Any]]:
    """Find the checkpoints; check that they are whole, belong to this run, and do not know what it evaluates on.

    Args:
        cfg: Of the run.
        training: Its training list; None where it does not train.
        splits: Clips of each split.

    Returns:
        The checkpoints, and what results.json says of what they were trained on, see :func:`check_unseen`.

    Raises:
        ConfigError, FileNotFoundError, ValueError: The run could not start from them, or would mix with another one.
    """
    sources = _find_sources(cfg, training)
    return sources, check_unseen(cfg, splits, sources)


def _find_sources(cfg, training: TrainingList | None) -> Sources:
    if training is None:
        return _tested_sources(cfg)
    start = _start(cfg, training)
    _check_will_be_there(cfg, start.get("head", {}) if start.get("is_own") else {})
    tested = cfg.TEST.CHECKPOINT_FILE_PATH
    if not tested or not cfg.TEST.ENABLE or _is_own(cfg, tested):
        return Sources(**start, tested_history=start["history"])
    return Sources(**start, tested=Path(tested), tested_history=_history(tested, _read(tested, "TEST")))


def _check_will_be_there(cfg, head: Mapping[str, Any]) -> None:
    """Refuse to train for hours where the test at the end asks for a checkpoint that the training does not write.

    Args:
        cfg: Of the run.
        head: Of its own checkpoint that it goes on from, if there is one.
    """
    wanted, number = cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TEST.TEST_EPOCH_NUM
    if not cfg.TEST.ENABLE or (not wanted and number <= 0) or (wanted and not _is_own(cfg, wanted)):
        return
    path = Path(wanted) if wanted else epoch_path(cfg.OUTPUT_DIR, number)
    last = cfg.SOLVER.MAX_EPOCH
    if wanted:
        match = re.fullmatch(r"checkpoint_epoch_(\d+)\.pyth", path.name)
        number = int(match[1]) if match else 0
    is_made = head.get("epoch", -1) + 1 < number <= last and (
        number == last or number % cfg.TRAIN.CHECKPOINT_PERIOD == 0)
    if not (is_made or path.name == BEST or is_there(path)):
        option = f"TEST.{'CHECKPOINT_FILE_PATH' if wanted else 'TEST_EPOCH_NUM'}"
        raise FileNotFoundError(f"{option} asks for {path}, which is not there, and which this training does not write "
                                f"(SOLVER.MAX_EPOCH {last}, TRAIN.CHECKPOINT_PERIOD {cfg.TRAIN.CHECKPOINT_PERIOD}); "
                                f"correct {option}.")


def _start(cfg, training: TrainingList) -> dict[str, Any]:
    own, start = checkpoint_dir(cfg.OUTPUT_DIR), cfg.TRAIN.CHECKPOINT_FILE_PATH
    best_alone = None if has_checkpoints(cfg.OUTPUT_DIR) else _best_alone(cfg, training)
    if not cfg.TRAIN.AUTO_RESUME and (has_checkpoints(cfg.OUTPUT_DIR) or best_alone):
        raise ConfigError(f"{own} holds the checkpoints of another run, and "
                          "TRAIN.AUTO_RESUME is False; remove them, or choose another OUTPUT_DIR.")
    last = best_alone or find_last(cfg.OUTPUT_DIR)
    if last.path is not None:
        _check_same_list(last.path, last.head, training)
        path, head = last.path, last.head
    elif start:
        path, head = Path(start), _read(start, "TRAIN")
        if goes_on(cfg, head) and (bad := malformed(head)):
            raise ConfigError(f"{path} is not a checkpoint of Trokens that training can go on from ({bad}); set "
                              "TRAIN.CHECKPOINT_EPOCH_RESET True to start from its weights alone.")
    else:
        return {"history": (training,)}
    others = tuple(one for one in _history(path, head) if one.digest != training.digest)
    return {"start": path, "head": head, "is_own": last.path is not None, "damaged": last.damaged,
            "history": (*others, training)}


def _best_alone(cfg, training: TrainingList) -> LastCheckpoint | None:
    """The best checkpoint, where those of the epochs must have been removed by hand: a run that was killed before its
    first one leaves the best alone, too, and begins again."""
    best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
    if not is_there(best):
        return None
    head = read_head(best, to_go_on=True)
    _check_same_list(best, head, training)  # else a run that validates nothing would test it as its own
    first = min(cfg.TRAIN.CHECKPOINT_PERIOD, cfg.SOLVER.MAX_EPOCH)
    return LastCheckpoint(best, head, {}) if head.get("epoch", -1) + 1 > first else None


def _tested_sources(cfg) -> Sources:
    """What a run tests that trains nothing."""
    path = _named(cfg)
    if path is None:
        best, start = checkpoint_dir(cfg.OUTPUT_DIR) / BEST, cfg.TRAIN.CHECKPOINT_FILE_PATH
        path = best if is_there(best) else _last(cfg) or (Path(start) if start else None)
    if path is None:
        return Sources()
    head = _read(path, "TRAIN" if str(path) == cfg.TRAIN.CHECKPOINT_FILE_PATH else "TEST")
    return Sources(tested=path, tested_history=_history(path, head))


def trained_checkpoint(cfg, sources: Sources) -> Path | None:
    """What is tested of a training that has ended; None where nothing was saved."""
    path, best = _named(cfg), checkpoint_dir(cfg.OUTPUT_DIR) / BEST
    return path or (best if is_there(best) else _last(cfg) or sources.start)


def _named(cfg) -> Path | None:
    """The checkpoint that the test options name."""
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        return Path(cfg.TEST.CHECKPOINT_FILE_PATH)
    number = cfg.TEST.TEST_EPOCH_NUM
    if number <= 0:
        return None
    if not is_there(path := epoch_path(cfg.OUTPUT_DIR, number)):
        there = ", ".join(map(str, saved_epochs(cfg.OUTPUT_DIR))) or "none"
        raise FileNotFoundError(f"No checkpoint at {path}, which TEST.TEST_EPOCH_NUM asks for; there are those of "
                                f"epochs {there} (TRAIN.KEEP_EVERY keeps more).")
    return path


def _last(cfg) -> Path | None:
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
    if not is_there(Path(path)):
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
        name = _list_name(str(options.get("TRAIN.DATASET", "")), str(options.get("SSV2.SPLIT", "")))
        is_same, before, differing = name in ("", training.name), f"'{name}'", ""
    if is_same:
        return
    raise ConfigError(f"{path} was trained on the list {before}, and this run's training list is {training}"
                      f"{differing}; choose another OUTPUT_DIR for this one, or go back to the list that the run began "
                      "with.")


def _differing(before: TrainingList, now: TrainingList) -> str:
    """What two lists do not share, in brackets."""
    gone, new = sorted(set(before.classes) - set(now.classes)), sorted(set(now.classes) - set(before.classes))
    parts = [f"{where} {_some(names)}" for where, names in (("gone are", gone), ("new are", new)) if names]
    if not parts:
        shared = len(set(before.clips.tolist()) & set(now.clips.tolist()))
        parts = [f"the classes are the same, {shared} clips are in both"]
    return f" ({'; '.join(parts)})"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join([f"'{name}'" for name in names[:most]] + [f"{len(names) - most} more"] * (len(names) > most))


def check_unseen(cfg, splits: Mapping[str, Sequence[Clip]], sources: Sources) -> dict[str, Any]:
    """Check that the weights were not trained on the classes that they are evaluated on: that would measure memory.

    Args:
        cfg: Of the run.
        splits: Clips of each split.
        sources: What the weights were trained on.

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
        if splits.get(split):
            found[split] = learned(history, list_name(cfg, split), splits[split])
            if found[split].classes:
                _refuse_trained(cfg, split, splits[split], found[split])
    known = found.get(tested, Learned([], 0))
    if not known.classes and not all(one.is_known for one in sources.tested_history):
        return {"trained_classes": None, "trained_clips": None}
    return {"trained_classes": known.classes, "trained_clips": known.clips}


def _refuse_trained(cfg, split: str, clips: Sequence[Clip], found: Learned) -> None:
    names = {clip.class_name for clip in clips}
    what = (f"The weights were trained on {len(found.classes)} of the {len(names)} classes of the {split} split "
            f"({_some(found.classes)}), and on {found.clips} of its {len(clips)} clips")
    if not cfg.TEST.ALLOW_TRAINED_CLASSES:
        raise ConfigError(f"{what}: evaluate on classes that are new to them, or set TEST.ALLOW_TRAINED_CLASSES True "
                          "if that is meant.")
    logger.warning("%s (TEST.ALLOW_TRAINED_CLASSES): the accuracy is not one on new classes.", what)
