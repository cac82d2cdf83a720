"""One run, from its config to results.json."""

from __future__ import annotations

import json
import logging
import platform
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trokens.checkpoint import BEST, checkpoint_dir, epoch_path, last_checkpoint, load_checkpoint
from trokens.config import ConfigError, check_classes, config_hash, dump
from trokens.data.datasets import Clip, build_split, check_labels, keep_present
from trokens.data.episodes import EpisodeSampler
from trokens.data.loader import ClipReader, episode_loader
from trokens.distributed import barrier, is_main, rank, world_size
from trokens.engine.evaluator import Evaluator, feature_bytes
from trokens.engine.loggers import build_log, progress
from trokens.engine.optim import build_optimizer, clip_gradients, learning_rate_from_config
from trokens.engine.plan import describe_run, steps_per_epoch
from trokens.engine.trainer import Trainer
from trokens.fewshot.bank import embed_clips
from trokens.fewshot.task import FewShotTask
from trokens.models.trokens import Trokens, build_model
from trokens.models.weights import load_weights

logger = logging.getLogger(__name__)


class Experiment:
    """Trains, validates and tests as a config says.

    Args:
        cfg: From :func:`trokens.load_cfg`.
        device: From :func:`trokens.distributed.pick_device`.

    Raises:
        ConfigError, FileNotFoundError, ValueError: The data do not allow the run; one message names all problems.
    """

    def __init__(self, cfg, device: torch.device):
        self.device, self.precision = device, mixed_precision(cfg, device)
        if world_size() != max(cfg.NUM_GPUS, 1):
            logger.info("NUM_GPUS is %d; %d process(es) were started, and that counts.", cfg.NUM_GPUS, world_size())
        self.cfg, self.splits = read_splits(cfg)
        self.evaluators: dict[str, Evaluator] = {}
        self.sampler = None
        self._prepare_episodes()
        if is_main():
            Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
            (Path(cfg.OUTPUT_DIR) / "config.yaml").write_text(dump(self.cfg))

    def _prepare_episodes(self) -> None:
        """Draw the lists of episodes now: a class too small for them is found before anything heavy is loaded."""
        cfg = self.cfg

        def training_sampler() -> None:
            few_shot = cfg.FEW_SHOT
            self.sampler = EpisodeSampler(
                [clip.class_id for clip in self.splits["train"]], n_way=few_shot.N_WAY, k_shot=few_shot.K_SHOT,
                n_query=few_shot.TRAIN_QUERY_PER_CLASS, num_episodes=steps_per_epoch(cfg) * world_size(),
                seed=f"{cfg.RNG_SEED}/train", rank=rank(), world_size=world_size())

        def evaluator(split: str) -> None:
            self.evaluators[split] = Evaluator.from_config(cfg, self.splits[split], split=split, device=self.device)

        jobs: list[Callable[[], None]] = [training_sampler] if cfg.TRAIN.ENABLE and not cfg.TRAIN.VAL_ONLY else []
        jobs += [partial(evaluator, split) for split in self.splits if split != "train" and self.splits[split]]
        collect_problems(jobs)

    def run(self) -> dict[str, Any] | None:
        """Do what the config asks for; returns the test's result, if there was a test."""
        cfg = self.cfg
        torch.manual_seed(cfg.RNG_SEED)
        model = build_model(cfg).to(self.device)
        if cfg.LOG_MODEL_INFO:
            logger.info("%s", model)
        for line in describe_run(cfg, model, self.splits, self.device, self.precision):
            logger.info("%s", line)
        if cfg.TRAIN.VAL_ONLY:
            source = self._load_tested(model)
            return self._evaluate(model, cfg.TRAIN.VAL_SPLIT, source)
        if cfg.TRAIN.ENABLE:
            self._train(model)
        if cfg.TEST.ENABLE:
            source = self._load_tested(model)
            return self._evaluate(model, cfg.TEST.SPLIT, source)
        return None

    def _train(self, model: Trokens) -> None:
        cfg = self.cfg
        state = self._starting_state(model)
        validation = self.evaluators.get(cfg.TRAIN.VAL_SPLIT)
        room = cfg.MODEL.CACHE_GB * 2**30
        if validation is not None:
            room -= validation.keep_features(model, room)
        features = self._train_features(model, room)
        reader = ClipReader.from_config(cfg, self.splits["train"], augment=True)
        loader = episode_loader(reader, self.sampler, with_video=model.appearance and features is None,
                                num_workers=cfg.DATA_LOADER.NUM_WORKERS, pin_memory=cfg.DATA_LOADER.PIN_MEMORY)
        if validation is None:
            logger.info("There is no '%s' split: nothing is selected, the last checkpoint counts.",
                        cfg.TRAIN.VAL_SPLIT)
        elif cfg.TRAIN.VAL_SPLIT == cfg.TEST.SPLIT:
            logger.info("Checkpoints are selected on '%s', the split that is tested (the published protocol): the "
                        "test accuracy is optimistic.", cfg.TEST.SPLIT)
        start = (state["epoch"] + 1, state["step"]) if state else (0, 0)
        log = build_log(cfg, start=start, config=json_config(cfg))
        task = FewShotTask.from_config(cfg, model)
        trainer = Trainer(
            task, build_optimizer(cfg, model), loader, self.sampler, output_dir=cfg.OUTPUT_DIR, device=self.device,
            seed=cfg.RNG_SEED, lr_at=partial(learning_rate_from_config, cfg),
            clip_gradients=partial(clip_gradients, cfg), max_epoch=cfg.SOLVER.MAX_EPOCH,
            validate=validation and partial(validation.run, model), eval_period=cfg.TRAIN.EVAL_PERIOD,
            checkpoint_period=cfg.TRAIN.CHECKPOINT_PERIOD, log_period=cfg.LOG_PERIOD, log=log,
            cfg_text=dump(cfg), precision=self.precision, features=features)
        if state:
            trainer.resume(state)
        try:
            trainer.run()
        finally:
            log.close()

    def _starting_state(self, model: Trokens) -> dict[str, Any] | None:
        """Load the weights to start from; return the state to go on from, if any."""
        cfg = self.cfg
        path = last_checkpoint(cfg.OUTPUT_DIR) if cfg.TRAIN.AUTO_RESUME else None
        if path is not None:
            state = load_checkpoint(path)
            load_weights(model, state)
            logger.info("Going on from %s (epoch %d, step %d).", path, state["epoch"] + 2, state["step"])
            return state
        if cfg.TRAIN.CHECKPOINT_FILE_PATH:
            state = load_checkpoint(cfg.TRAIN.CHECKPOINT_FILE_PATH)
            load_weights(model, state)
            logger.info("Starting from the weights of %s.", cfg.TRAIN.CHECKPOINT_FILE_PATH)
            if not cfg.TRAIN.CHECKPOINT_EPOCH_RESET and {"optimizer_state", "step", "best"} <= state.keys():
                return state
        return None

    def _train_features(self, model: Trokens, room: float) -> Tensor | None:
        """The frozen backbone's features of all training clips, where they fit and nothing augments the frames."""
        cfg, clips = self.cfg, self.splits["train"]
        size = feature_bytes(model, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
        if cfg.DATA.USE_RAND_AUGMENT or not size or len(clips) * size > room:
            return None
        return embed_clips(lambda batch: model.patch_features(batch.video.to(self.device)),
                           ClipReader.from_config(cfg, clips, augment=False), range(len(clips)),
                           batch_size=cfg.MODEL.BACKBONE_BATCH or 8, num_workers=cfg.DATA_LOADER.NUM_WORKERS,
                           progress=lambda it, total: progress(it, total, "Backbone features of train"))

    def _load_tested(self, model: Trokens) -> str:
        """Load the weights to test and say which they are."""
        cfg = self.cfg
        candidates = [Path(cfg.TEST.CHECKPOINT_FILE_PATH)] if cfg.TEST.CHECKPOINT_FILE_PATH else []
        if cfg.TEST.TEST_EPOCH_NUM > 0:
            candidates.append(epoch_path(cfg.OUTPUT_DIR, cfg.TEST.TEST_EPOCH_NUM))
        if not candidates:
            best = checkpoint_dir(cfg.OUTPUT_DIR) / BEST
            candidates = [p for p in (best, last_checkpoint(cfg.OUTPUT_DIR)) if p is not None and p.is_file()]
        barrier()
        if not candidates:
            logger.info("There is no checkpoint: testing the initial weights (no training at all).")
            return "none (initial weights)"
        load_weights(model, load_checkpoint(candidates[0]))
        logger.info("Testing %s.", candidates[0])
        return str(candidates[0])

    def _evaluate(self, model: Trokens, split: str, source: str) -> dict[str, Any]:
        cfg = self.cfg
        if split not in self.evaluators:
            raise ConfigError(f"Split '{split}' has no clips to evaluate on; choose another TEST.SPLIT.")
        result = {**self.evaluators[split].run(model), "checkpoint": source, "seed": cfg.RNG_SEED,
                  "dataset": cfg.TEST.DATASET, "config_hash": config_hash(cfg), **provenance()}
        logger.info("%s: %d-way %d-shot accuracy %.2f ± %.2f %% (95 %%) over %d episodes of %d clips; chance %.1f %%",
                    split, result["n_way"], result["k_shot"], 100 * result["accuracy"], 100 * result["interval"],
                    result["episodes"], result["clips"], 100 * result["chance"])
        if is_main():
            for path in filter(None, (str(Path(cfg.OUTPUT_DIR) / "results.json"), cfg.TEST.SAVE_RESULTS_PATH)):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text(json.dumps(result, indent=1) + "\n")
            logger.info("Results: %s", Path(cfg.OUTPUT_DIR) / "results.json")
        barrier()
        return result


def read_splits(cfg) -> tuple[Any, dict[str, list[Clip]]]:
    """Read the lists of the splits that the run needs; drop permitted missing clips.

    Returns:
        The config with MODEL.NUM_CLASSES resolved, and the clips of each split.
    """
    train_list = build_split(cfg, "train")
    names = ["train"] if cfg.TRAIN.ENABLE and not cfg.TRAIN.VAL_ONLY else []
    names += [cfg.TRAIN.VAL_SPLIT] if cfg.TRAIN.ENABLE or cfg.TRAIN.VAL_ONLY else []
    names += [cfg.TEST.SPLIT] if cfg.TEST.ENABLE and not cfg.TRAIN.VAL_ONLY else []
    lists = {name: train_list if name == "train" else build_split(cfg, name) for name in dict.fromkeys(names)}
    if cfg.MODEL.NUM_CLASSES == 0:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.NUM_CLASSES = max(1, len({clip.class_id for clip in train_list}))
        cfg.freeze()
    # Validation makes do with fewer ways, see Evaluator.from_config; training and the test may not.
    check_classes(cfg, {name: len({c.class_id for c in clips}) for name, clips in lists.items()
                        if clips and name in ("train", cfg.TEST.SPLIT)})
    if "train" in lists:
        check_labels(lists["train"], cfg.MODEL.NUM_CLASSES)
    splits: dict[str, list[Clip]] = {}

    def keep(name: str) -> None:
        splits[name] = keep_present(lists[name], split=name, allow_missing=cfg.DATA.ALLOW_MISSING,
                                    need_video=not cfg.MODEL.APPEARANCE_MODULE_DISABLE)

    collect_problems([partial(keep, name) for name in lists])
    return cfg, splits


def collect_problems(jobs: list[Callable[[], None]]) -> None:
    """Run all jobs, then raise what went wrong in any of them as one error of the first one's type."""
    problems: list[Exception] = []
    for job in jobs:
        try:
            job()
        except (ValueError, FileNotFoundError) as error:
            problems.append(error)
    if problems:
        raise type(problems[0])("\n".join(map(str, problems)))


def mixed_precision(cfg, device: torch.device) -> torch.dtype | None:
    """bfloat16 or float16 on a GPU where the config wants mixed precision; None (float32) on the CPU."""
    if not cfg.TRAIN.MIXED_PRECISION or device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def json_config(cfg) -> dict[str, Any]:
    """The config as plain dicts."""
    return {k: json_config(v) if isinstance(v, dict) else v for k, v in cfg.items()}


def provenance() -> dict[str, Any]:
    """Commit of the code and versions of what computed the figures."""
    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(Path(__file__).parent), *args], capture_output=True, text=True,
                              check=False)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except OSError:
        commit = ""
    return {"commit": commit or "unknown", "torch": torch.__version__, "python": platform.python_version(),
            "processes": world_size()}
