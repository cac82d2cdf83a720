"""A test on classes that the weights were trained on measures memory, not few-shot recognition."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from trokens.clips.split import Clip
from trokens.clips.trained import Learned, TrainingList, learned
from trokens.config import ConfigError
from trokens.engine.prepare import final_split, used_splits
from trokens.engine.sources import Sources, find_sources, list_name

logger = logging.getLogger(__name__)


def find_unseen_sources(cfg, training: TrainingList | None, splits: Mapping[str, Sequence[Clip]]
                        ) -> tuple[Sources, dict[str, Any]]:
    """Find the checkpoints of a run (in its main process) and check that what is evaluated is new to them.

    Returns:
        The checkpoints, see :func:`trokens.engine.sources.find_sources`, and what results.json says of them.
    """
    sources = find_sources(cfg, training)
    return sources, check_unseen(cfg, splits, sources)


def check_unseen(cfg, splits: Mapping[str, Sequence[Clip]], sources: Sources) -> dict[str, Any]:
    """Check that the weights were not trained on the classes that they are evaluated on.

    Args:
        cfg: Of the run.
        splits: Clips of each split.
        sources: What the weights were trained on.

    Returns:
        What results.json says: ``trained_classes``, those of the tested split that the tested weights were trained on,
        and ``trained_clips``, how many of its clips; both None where a checkpoint does not say.

    Raises:
        ConfigError: They were, and TEST.ALLOW_TRAINED_CLASSES does not say that this is meant.
    """
    validated = cfg.TRAIN.VAL_SPLIT if used_splits(cfg)[0] else None
    tested = final_split(cfg) if cfg.TRAIN.VAL_ONLY or cfg.TEST.ENABLE else None
    found = {}
    for split, history in {(validated, sources.history), (tested, sources.tested_history)}:
        if splits.get(split):
            found[split] = learned(history, list_name(cfg, split), splits[split])
            if found[split].classes:
                _refuse_or_tell(cfg, split, splits[split], found[split])
    known = found.get(tested, Learned([], 0))
    if not known.classes and not all(one.is_known for one in sources.tested_history):
        return {"trained_classes": None, "trained_clips": None}
    return {"trained_classes": known.classes, "trained_clips": known.clips}


def _refuse_or_tell(cfg, split: str, clips: Sequence[Clip], found: Learned) -> None:
    names = sorted({clip.class_name for clip in clips})
    shown = ", ".join([f"'{name}'" for name in found.classes[:5]] + ["..."] * (len(found.classes) > 5))
    what = (f"The weights were trained on {len(found.classes)} of the {len(names)} classes of the {split} split "
            f"({shown}), and on {found.clips} of its {len(clips)} clips")
    if not cfg.TEST.ALLOW_TRAINED_CLASSES:
        raise ConfigError(f"{what}: evaluate on classes that are new to them, or set TEST.ALLOW_TRAINED_CLASSES True "
                          "if that is meant.")
    logger.warning("%s (TEST.ALLOW_TRAINED_CLASSES): the accuracy is not one on new classes.", what)
