"""What a run is checked for before anything heavy is loaded: its lists, its episodes, and its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from trokens.clips.checks import check_labels, keep_present
from trokens.clips.split import Clip, build_splits
from trokens.clips.trained import TrainingList
from trokens.config import ConfigError, check_classes
from trokens.engine.evaluator import Evaluator
from trokens.engine.plan import steps_per_epoch, tested_shots
from trokens.engine.sources import list_name
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.matchers import MATCHERS
from trokens.runtime.distributed import rank, world_size


class Problems:
    """Gathers what is wrong with the data, so that one message can name all of it."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []
        self._lines: list[str] = []

    @contextmanager
    def collect(self, prefix: str = "") -> Iterator[None]:
        """Keep a ValueError or FileNotFoundError of the block for later."""
        try:
            yield
        except (ValueError, FileNotFoundError) as error:
            self._errors.append(error)
            self._lines.append(f"{prefix}{error}")

    def raise_all(self) -> None:
        """Raise what was kept as one error of the first one's type."""
        if self._errors:
            raise type(self._errors[0])("\n".join(self._lines))


def used_splits(cfg) -> tuple[list[str], list[str]]:
    """The splits that the run trains on, and those it evaluates on."""
    if cfg.TRAIN.VAL_ONLY:
        return [], [cfg.TRAIN.VAL_SPLIT]
    trained = ["train"] if cfg.TRAIN.ENABLE else []
    return trained, [cfg.TRAIN.VAL_SPLIT] * cfg.TRAIN.ENABLE + [cfg.TEST.SPLIT] * cfg.TEST.ENABLE


def read_splits(cfg, problems: Problems) -> tuple[Any, dict[str, list[Clip]], TrainingList | None]:
    """Read the lists of the splits that the run needs; drop permitted missing clips.

    Returns:
        The config with MODEL.NUM_CLASSES resolved; the clips of each split, where too many are missing all of them,
        for what else may be wrong; and the list that the run trains on, if it does, with the missing clips.
    """
    trained, evaluated = used_splits(cfg)
    lists = build_splits(cfg, ["train", *trained, *evaluated])
    splits, train_list = {name: lists[name] for name in dict.fromkeys(trained + evaluated)}, lists["train"]
    if cfg.MODEL.NUM_CLASSES == 0:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.NUM_CLASSES = max(1, len({clip.class_id for clip in train_list}))
        cfg.freeze()
    if trained:
        with problems.collect():
            check_labels(train_list, cfg.MODEL.NUM_CLASSES)
    for name, clips in splits.items():
        with problems.collect():
            need_video = not cfg.MODEL.APPEARANCE_MODULE_DISABLE or any(c.tracks.suffix == ".pkl" for c in clips)
            splits[name] = keep_present(clips, split=name, allow_missing=cfg.DATA.ALLOW_MISSING,
                                        need_video=need_video)
    has_list = bool(trained and train_list)  # an empty one is told by itself
    return cfg, splits, TrainingList.of(list_name(cfg, "train"), train_list) if has_list else None


def draw_episodes(cfg, splits: Mapping[str, Sequence[Clip]], device: torch.device,
                  problems: Problems) -> tuple[EpisodeSampler | None, dict[str, Evaluator]]:
    """Draw the lists of episodes now: a class too small for them is found before anything heavy is loaded.

    Returns:
        The sampler of training episodes, if the run trains, and the evaluator of each split that it evaluates on.
    """
    sampler, evaluators = None, {}
    for split, clips in splits.items():
        with problems.collect(f"The {split} split: "):
            if _has_episodes(cfg, split, clips):
                if split in used_splits(cfg)[0]:
                    sampler = _training_sampler(cfg, clips)
                if split in used_splits(cfg)[1]:
                    evaluators[split] = Evaluator.from_config(cfg, clips, split=split, device=device,
                                                              k_shots=_evaluated_shots(cfg, split))
    return sampler, evaluators


def final_split(cfg) -> str:
    """The split whose figures are the run's result, if it evaluates."""
    return cfg.TRAIN.VAL_SPLIT if cfg.TRAIN.VAL_ONLY else cfg.TEST.SPLIT


def _has_episodes(cfg, split: str, clips: Sequence[Clip]) -> bool:
    """Whether there are clips to draw from; a split that needs them has enough classes, too."""
    if not clips:
        if split == final_split(cfg) == "val":  # others have no clips at all, which is told
            raise ConfigError("there are no clips to evaluate on; change TRAIN.VAL_SPLIT or TEST.SPLIT.")
        return False
    if split in (*used_splits(cfg)[0], cfg.TEST.SPLIT):  # validation makes do with fewer ways: Evaluator.from_config
        check_classes(cfg, {split: len({clip.class_id for clip in clips})})
    return True


def _training_sampler(cfg, clips: Sequence[Clip]) -> EpisodeSampler:
    few_shot = cfg.FEW_SHOT
    return EpisodeSampler(
        [clip.class_id for clip in clips], n_way=few_shot.N_WAY, k_shot=few_shot.K_SHOT,
        n_query=few_shot.TRAIN_QUERY_PER_CLASS, num_episodes=steps_per_epoch(cfg) * world_size(),
        seed=f"{cfg.RNG_SEED}/train", rank=rank(), world_size=world_size())


def _evaluated_shots(cfg, split: str) -> list[int]:
    k_shots = [cfg.FEW_SHOT.K_SHOT] if used_splits(cfg)[0] and split == cfg.TRAIN.VAL_SPLIT else []
    return k_shots + (tested_shots(cfg) if split == final_split(cfg) else [])


def check_features(cfg) -> None:
    """Check that the model has features, or needs none, and that there is the matcher that compares them.

    Raises:
        ConfigError, ValueError: It is not so.
    """
    MATCHERS.get(cfg.FEW_SHOT.MATCHER)
    if cfg.MODEL.FEAT_EXTRACTOR == "none" and not cfg.MODEL.APPEARANCE_MODULE_DISABLE:
        raise ConfigError("MODEL.FEAT_EXTRACTOR is 'none', which leaves the patch features to a caller; a run "
                          "needs dino or timm, or MODEL.APPEARANCE_MODULE_DISABLE True.")


def mixed_precision(cfg, device: torch.device) -> torch.dtype | None:
    """bfloat16 or float16 on a GPU where the config wants mixed precision; None (float32) on the CPU."""
    if not cfg.TRAIN.MIXED_PRECISION or device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
