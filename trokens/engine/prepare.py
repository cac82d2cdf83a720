"""What a run is checked for, and what is read for it, before anything heavy is loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from trokens.clips.split import Clip
from trokens.clips.trained import TrainingList
from trokens.config import ConfigError
from trokens.engine.data import evaluated_shots, raise_all, read_data, used_splits
from trokens.engine.evaluator import Evaluator
from trokens.engine.output import provenance, start_output
from trokens.engine.sources import Sources, check_unseen, find_sources, list_name
from trokens.fewshot.episodes import EpisodeSampler
from trokens.fewshot.matchers import MATCHERS
from trokens.runtime.distributed import agreed, in_main, rank, world_size

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A run that can begin.

    Attributes:
        cfg: The config with MODEL.NUM_CLASSES resolved.
        device: Device of this process.
        precision: Type for mixed precision, or None.
        splits: The clips of each split that the run uses.
        sampler: Draws the training episodes; None where the run does not train.
        evaluators: Evaluator of each split that the run evaluates on and that has clips.
        sources: The checkpoints that the run starts from and tests.
        about: What results.json says of the code, and of what the tested weights were trained on.
    """

    cfg: Any
    device: torch.device
    precision: torch.dtype | None
    splits: dict[str, list[Clip]]
    sampler: EpisodeSampler | None
    evaluators: dict[str, Evaluator]
    sources: Sources
    about: dict[str, Any]


def prepare(cfg, device: torch.device) -> Prepared:
    """Check config, data and checkpoints, draw the episodes, and begin the output folder.

    Raises:
        WriteError: OUTPUT_DIR does not take what the run writes.
        ConfigError, FileNotFoundError, ValueError: The run is not possible; one message names all problems.
    """
    if world_size() != max(cfg.NUM_GPUS, 1):
        logger.info("NUM_GPUS is %d; %d process(es) were started, and that counts.", cfg.NUM_GPUS, world_size())
    data = read_data(cfg)
    data.tell_missing()
    cfg, splits, errors = data.cfg, data.splits, data.errors()
    trained, evaluated = used_splits(cfg)
    listed = data.lists["train"] if trained else []
    training = TrainingList.of(list_name(cfg.TRAIN.DATASET, cfg.SSV2.SPLIT), listed) if listed else None
    with collecting(errors):
        MATCHERS.get(cfg.FEW_SHOT.MATCHER)
        if cfg.MODEL.FEAT_EXTRACTOR == "none" and not cfg.MODEL.APPEARANCE_MODULE_DISABLE:
            raise ConfigError("MODEL.FEAT_EXTRACTOR is 'none', which leaves the patch features to a caller; a run "
                              "needs dino or timm, or MODEL.APPEARANCE_MODULE_DISABLE True.")
    with collecting(errors):
        sources = agreed(lambda: find_sources(cfg, training))
        known = agreed(lambda: check_unseen(cfg, splits, sources))
    raise_all(errors)
    few_shot, sampler, precision = cfg.FEW_SHOT, None, None
    if trained:  # this process's episodes
        sampler = EpisodeSampler(
            [clip.class_id for clip in splits["train"]], n_way=few_shot.N_WAY, k_shot=few_shot.K_SHOT,
            n_query=few_shot.TRAIN_QUERY_PER_CLASS, num_episodes=steps_per_epoch(cfg) * world_size(),
            seed=f"{cfg.RNG_SEED}/train", rank=rank(), world_size=world_size())
    evaluators = {split: Evaluator.from_config(cfg, splits[split], split=split, k_shots=evaluated_shots(cfg, split))
                  for split in dict.fromkeys(evaluated) if splits[split]}
    if cfg.TRAIN.MIXED_PRECISION and device.type == "cuda":
        precision = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    about = known | provenance()  # now: the code on disk may change while the run goes on
    in_main(lambda: start_output(cfg))
    return Prepared(cfg, device, precision, splits, sampler, evaluators, sources, about)


@contextmanager
def collecting(errors: list[Exception]) -> Iterator[None]:
    """Append a ValueError or FileNotFoundError of the block, so that one message can name all problems."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        errors.append(error)


def steps_per_epoch(cfg) -> int:
    """Optimizer steps an epoch: TRAIN_EPISODES, or its share of each process where the total is divided."""
    total = cfg.FEW_SHOT.TRAIN_EPISODES
    return total if cfg.FEW_SHOT.TRAIN_OG_EPISODES else max(1, total // world_size())
