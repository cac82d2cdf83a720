"""One run, from its config to results.json."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch

from trokens.clips.reader import ClipReader
from trokens.engine.keeper import build_keeper
from trokens.engine.loading import build_training_loader
from trokens.engine.loggers import build_log
from trokens.engine.optim import build_optimizer, clip_gradients, learning_rate_from_config
from trokens.engine.output import check_room, start_output
from trokens.engine.plan import describe_run, tested_shots
from trokens.engine.prepare import Problems, check_features, draw_episodes, mixed_precision, read_splits
from trokens.engine.results import gather_results, provenance, tell_scores, write_results
from trokens.engine.seen import find_unseen_sources
from trokens.engine.start import load_start, load_tested
from trokens.engine.trainer import Trainer, last_record
from trokens.fewshot.task import FewShotTask
from trokens.models.trokens import Trokens, build_model
from trokens.reuse.features import FeatureStore, train_features
from trokens.runtime.distributed import agreed, in_main, world_size

logger = logging.getLogger(__name__)


class Experiment:
    """Trains, validates and tests as a config says.

    Args:
        cfg: From :func:`trokens.load_cfg`.
        device: From :func:`trokens.runtime.distributed.pick_device`.

    Raises:
        WriteError: OUTPUT_DIR does not take what the run writes.
        ConfigError, FileNotFoundError, ValueError: The data do not allow the run; one message names all problems.
    """

    def __init__(self, cfg, device: torch.device):
        self.device, self.precision = device, mixed_precision(cfg, device)
        if world_size() != max(cfg.NUM_GPUS, 1):
            logger.info("NUM_GPUS is %d; %d process(es) were started, and that counts.", cfg.NUM_GPUS, world_size())
        problems = Problems()
        self.cfg, self.splits, training = read_splits(cfg, problems)
        self.sampler, self.evaluators = draw_episodes(self.cfg, self.splits, device, problems)
        with problems.collect():
            check_features(self.cfg)
        with problems.collect():
            self.sources, self.about = agreed(lambda: find_unseen_sources(self.cfg, training, self.splits))
        problems.raise_all()
        self.about |= provenance()  # now: the code on disk may change while the run goes on
        in_main(lambda: start_output(self.cfg))

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
            source = load_tested(cfg, model, self.sources)
            return self._evaluate(model, cfg.TRAIN.VAL_SPLIT, source)
        if cfg.TRAIN.ENABLE:
            self._train(model)
        if cfg.TEST.ENABLE:
            source = load_tested(cfg, model, self.sources)
            return self._evaluate(model, cfg.TEST.SPLIT, source)
        return None

    def _train(self, model: Trokens) -> None:
        cfg = self.cfg
        optimizer = build_optimizer(cfg, model)
        state = load_start(cfg, model, optimizer, self.sources)
        if state and state["epoch"] + 1 >= cfg.SOLVER.MAX_EPOCH:
            logger.info("Nothing is left to train: the checkpoint has %d epochs of %d.", state["epoch"] + 1,
                        cfg.SOLVER.MAX_EPOCH)
            return
        in_main(lambda: check_room(cfg, model))
        validation = self.evaluators.get(cfg.TRAIN.VAL_SPLIT)
        store = FeatureStore.from_config(cfg)
        if validation is not None:
            validation.keep_features(model, store)
        features = train_features(cfg, self.splits["train"], model, store, self.device)
        reader = ClipReader.from_config(cfg, self.splits["train"], augment=True)
        loader = build_training_loader(cfg, reader, self.sampler, model, validation,
                                       with_video=model.appearance and features is None)
        if validation is not None and cfg.TRAIN.VAL_SPLIT == cfg.TEST.SPLIT and cfg.TEST.TEST_EPOCH_NUM < 1:
            logger.info("Checkpoints are selected on '%s', the split that is tested: the test accuracy is optimistic. "
                        "The published code validates there too, but tests its last epoch (TEST.TEST_EPOCH_NUM %d).",
                        cfg.TEST.SPLIT, cfg.SOLVER.MAX_EPOCH)
        log = build_log(cfg, start=last_record(state), config=json_config(cfg))
        task = FewShotTask.from_config(cfg, model)
        trainer = Trainer(
            task, optimizer, loader, self.sampler, keeper=build_keeper(cfg, self.sources, model), device=self.device,
            seed=cfg.RNG_SEED, lr_at=partial(learning_rate_from_config, cfg),
            clip_gradients=partial(clip_gradients, cfg), max_epoch=cfg.SOLVER.MAX_EPOCH,
            validate=validation and partial(validation.run, model), eval_period=cfg.TRAIN.EVAL_PERIOD,
            checkpoint_period=cfg.TRAIN.CHECKPOINT_PERIOD, log_period=cfg.LOG_PERIOD, log=log,
            clip_ids=[clip.id for clip in reader.clips], precision=self.precision, accumulate=cfg.SOLVER.ACCUMULATE,
            features=features)
        if state:
            trainer.resume(state)
        try:
            trainer.run()
        finally:
            log.close()

    def _evaluate(self, model: Trokens, split: str, source: str) -> dict[str, Any]:
        scores = self.evaluators[split].score(model, tested_shots(self.cfg))
        result = gather_results(self.cfg, split, scores, source, self.about)
        tell_scores(split, scores)
        in_main(lambda: write_results(self.cfg, result))
        return result


def json_config(cfg) -> dict[str, Any]:
    """The config as plain dicts."""
    return {k: json_config(v) if isinstance(v, dict) else v for k, v in cfg.items()}
