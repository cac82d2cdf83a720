"""One run, from its config to results.json."""

from __future__ import annotations

import json
import logging
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trokens.checkpoint import BEST, checkpoint_dir, epoch_path, last_checkpoint, load_checkpoint
from trokens.config import ConfigError, changed_options, check_classes, config_hash, dump
from trokens.data.datasets import Clip, build_split, check_labels, keep_present
from trokens.data.episodes import EpisodeSampler
from trokens.data.loader import ClipReader, episode_loader
from trokens.distributed import barrier, is_main, rank, world_size
from trokens.engine.evaluator import Evaluator
from trokens.engine.features import Features, FeatureStore, ViewReader, feature_bytes
from trokens.engine.loggers import build_log, progress
from trokens.engine.optim import build_optimizer, clip_gradients, learning_rate_from_config
from trokens.engine.plan import cached_views, describe_run, steps_per_epoch, tested_shots
from trokens.engine.trainer import NO_BEST, Trainer
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
        problems = Problems()
        self.cfg, self.splits = read_splits(cfg, problems)
        self.evaluators: dict[str, Evaluator] = {}
        self.sampler: EpisodeSampler | None = None
        for split in self.splits:
            with problems.collect(f"The {split} split: "):
                self._prepare_episodes(split)
        with problems.collect():
            self._check_output()
        problems.raise_all()
        self.provenance = provenance()  # now: the code on disk may change while the run goes on
        if is_main():
            Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
            (Path(cfg.OUTPUT_DIR) / "config.yaml").write_text(dump(self.cfg))

    def _prepare_episodes(self, split: str) -> None:
        """Draw the lists of episodes now: a class too small for them is found before anything heavy is loaded."""
        cfg, class_ids = self.cfg, [clip.class_id for clip in self.splits[split]]
        trained, evaluated = used_splits(cfg)
        final = cfg.TRAIN.VAL_SPLIT if cfg.TRAIN.VAL_ONLY else cfg.TEST.SPLIT
        if not class_ids:
            if split == final:
                raise ConfigError("there are no clips to evaluate on; change TRAIN.VAL_SPLIT or TEST.SPLIT.")
            return
        if split in (*trained, cfg.TEST.SPLIT):  # validation makes do with fewer ways, see Evaluator.from_config
            check_classes(cfg, {split: len(set(class_ids))})
        if split in trained:
            few_shot = cfg.FEW_SHOT
            self.sampler = EpisodeSampler(
                class_ids, n_way=few_shot.N_WAY, k_shot=few_shot.K_SHOT, n_query=few_shot.TRAIN_QUERY_PER_CLASS,
                num_episodes=steps_per_epoch(cfg) * world_size(), seed=f"{cfg.RNG_SEED}/train", rank=rank(),
                world_size=world_size())
        if split in evaluated:
            k_shots = [cfg.FEW_SHOT.K_SHOT] if trained and split == cfg.TRAIN.VAL_SPLIT else []
            k_shots += tested_shots(cfg) if split == final else []
            self.evaluators[split] = Evaluator.from_config(cfg, self.splits[split], split=split, device=self.device,
                                                           k_shots=k_shots)

    def _check_output(self) -> None:
        cfg = self.cfg
        if cfg.MODEL.FEAT_EXTRACTOR == "none" and not cfg.MODEL.APPEARANCE_MODULE_DISABLE:
            raise ConfigError("MODEL.FEAT_EXTRACTOR is 'none', which leaves the patch features to a caller; a run "
                              "needs dino or timm, or MODEL.APPEARANCE_MODULE_DISABLE True.")
        trains, own = used_splits(cfg)[0], checkpoint_dir(cfg.OUTPUT_DIR)
        last = last_checkpoint(cfg.OUTPUT_DIR) if trains else None
        start, tested = cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.TEST.CHECKPOINT_FILE_PATH
        if start and trains and not last and not Path(start).is_file():
            raise FileNotFoundError(f"No checkpoint at {start}; correct TRAIN.CHECKPOINT_FILE_PATH.")
        is_to_come = trains and Path(tested).resolve().parent == own.resolve()
        if tested and not is_to_come and not Path(tested).is_file():
            raise FileNotFoundError(f"No checkpoint at {tested}; correct TEST.CHECKPOINT_FILE_PATH.")
        if trains and not cfg.TRAIN.AUTO_RESUME and last:
            raise ConfigError(f"{own} holds the checkpoints of another run, and "
                              "TRAIN.AUTO_RESUME is False; remove them, or choose another OUTPUT_DIR.")

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
        if state and state["epoch"] + 1 >= cfg.SOLVER.MAX_EPOCH:
            logger.info("Nothing is left to train: the checkpoint has %d epochs of %d.", state["epoch"] + 1,
                        cfg.SOLVER.MAX_EPOCH)
            return
        validation = self.evaluators.get(cfg.TRAIN.VAL_SPLIT)
        store = FeatureStore.from_config(cfg)
        if validation is not None:
            validation.keep_features(model, store)
        features = self._train_features(model, store)
        reader = ClipReader.from_config(cfg, self.splits["train"], augment=True)
        loader = episode_loader(reader, self.sampler, with_video=model.appearance and features is None,
                                num_workers=cfg.DATA_LOADER.NUM_WORKERS, pin_memory=cfg.DATA_LOADER.PIN_MEMORY)
        if validation is not None and cfg.TRAIN.VAL_SPLIT == cfg.TEST.SPLIT:
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
            cfg_text=dump(cfg), precision=self.precision, accumulate=cfg.SOLVER.ACCUMULATE,
            features=features)
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

    def _train_features(self, model: Trokens, store: FeatureStore) -> Features | None:
        """The frozen backbone's features of all training clips, or of AUG.CACHED_VIEWS augmented views of each.

        None where the store has no place for them, or where every look at a clip is augmented anew.

        Raises:
            ConfigError: Cached views are asked for, and there is no place for them.
        """
        cfg, clips = self.cfg, self.splits["train"]
        views = cached_views(cfg)
        size = len(clips) * views * feature_bytes(model, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
        if not store.takes(size):
            if size and cfg.DATA.USE_RAND_AUGMENT:
                raise ConfigError(f"AUG.CACHED_VIEWS = {views} needs {size / 2**30:.1f} GB of memory, and "
                                  f"MODEL.CACHE_GB leaves {store.room / 2**30:.1f}; set MODEL.FEATURE_CACHE to a "
                                  "folder for them.")
            return None
        reader, name, options = ClipReader.from_config(cfg, clips, augment=True), "train", ""
        if cfg.DATA.USE_RAND_AUGMENT:
            reader, name = ViewReader(reader, views), f"train-{views}-views"
            options = f"{cfg.AUG.AA_TYPE} {cfg.AUG.ORDER}"
        features = store.compute(model, reader, range(len(reader.clips)), name=name, device=self.device,
                                 options=options, progress=lambda it, total: progress(it, total,
                                                                                      "Backbone features of train"))
        return Features(features.values, views=views)

    def _load_tested(self, model: Trokens) -> str:
        """Load the weights to test and say which they are."""
        cfg = self.cfg
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

    def _evaluate(self, model: Trokens, split: str, source: str) -> dict[str, Any]:
        cfg = self.cfg
        dataset = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
        results = self.evaluators[split].score(model, tested_shots(cfg))
        by_k_shot = [{key: one[key] for key in ("k_shot", "accuracy", "interval", "clips")} for one in results]
        result = {**results[0], "by_k_shot": by_k_shot, "checkpoint": source, "seed": cfg.RNG_SEED,
                  "dataset": dataset, "config_hash": config_hash(cfg), **self.provenance}
        for one in results:
            logger.info("%s: %d-way %d-shot accuracy %.2f ± %.2f %% (95 %%) over %d episodes of %d clips; "
                        "chance %.1f %%", split, one["n_way"], one["k_shot"], 100 * one["accuracy"],
                        100 * one["interval"], one["episodes"], one["clips"], 100 * one["chance"])
        if is_main():
            for path in filter(None, (str(Path(cfg.OUTPUT_DIR) / "results.json"), cfg.TEST.SAVE_RESULTS_PATH)):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text(json.dumps(result, indent=1) + "\n")
            logger.info("Results: %s", Path(cfg.OUTPUT_DIR) / "results.json")
        barrier()
        return result


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


def read_splits(cfg, problems: Problems) -> tuple[Any, dict[str, list[Clip]]]:
    """Read the lists of the splits that the run needs; drop permitted missing clips.

    Returns:
        The config with MODEL.NUM_CLASSES resolved, and the clips of each split; where too many are missing, all of
        them, for what else may be wrong.
    """
    train_list = build_split(cfg, "train")
    trained, evaluated = used_splits(cfg)
    splits = {name: train_list if name == "train" else build_split(cfg, name)
              for name in dict.fromkeys(trained + evaluated)}
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
    return cfg, splits


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
