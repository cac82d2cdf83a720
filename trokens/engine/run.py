"""One run, from its config to results.json: check, build, train and validate, test."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from trokens.clips.loader import episode_loader, loading_from_config
from trokens.clips.reader import ClipReader
from trokens.config import ConfigError
from trokens.engine.conclude import conclude
from trokens.engine.data import final_split, tested_shots, used_splits
from trokens.engine.forecast import describe_run
from trokens.engine.keeper import build_keeper
from trokens.engine.loggers import RunLog, build_log
from trokens.engine.optim import build_optimizer
from trokens.engine.outcome_files import write_outcomes
from trokens.engine.output import check_room, describe_outcomes, tell_results, write_results
from trokens.engine.prepare import Prepared, prepare
from trokens.engine.start import load_start, load_tested
from trokens.engine.trainer import Trainer
from trokens.fewshot.task import FewShotTask
from trokens.models.build import build_model
from trokens.models.describe import describe_model
from trokens.models.trokens import Trokens
from trokens.reuse.embed import ClipEmbedder
from trokens.reuse.features import Features, ViewReader, feature_bytes
from trokens.reuse.store import FeatureStore
from trokens.runtime.distributed import in_main, in_some, local_rank, local_world_size
from trokens.runtime.workers import check_shared_memory, kept_bytes

logger = logging.getLogger(__name__)


def run_experiment(cfg, device: torch.device) -> dict[str, Any] | None:
    """Do what a config asks for; returns the test's result, if there was a test. Arguments and errors are those of
    :func:`trokens.engine.prepare.prepare`."""
    run = prepare(cfg, device)
    cfg = run.cfg
    torch.manual_seed(cfg.RNG_SEED)
    model = build_model(cfg).to(device)
    if cfg.LOG_MODEL_INFO:
        logger.info("%s\n%s", model, describe_model(model, cfg.DATA.TRAIN_CROP_SIZE))
    for line in describe_run(cfg, model, run.splits, device, run.precision):
        logger.info("%s", line)
    log = build_log(cfg)
    try:
        if used_splits(cfg)[0]:
            train(run, model, log)
        if cfg.TEST.ENABLE or cfg.TRAIN.VAL_ONLY:
            return test(run, model, log)
        in_main(lambda: conclude(cfg, log, run.about))
    finally:
        log.close()
    return None


def train(run: Prepared, model: Trokens, log: RunLog) -> None:
    """Train what is left of the epochs, and validate."""
    cfg, clips, device = run.cfg, run.splits["train"], run.device
    optimizer = build_optimizer(cfg, model)
    state = load_start(cfg, model, optimizer, run.sources)
    if state and state["epoch"] + 1 >= cfg.SOLVER.MAX_EPOCH:
        logger.info("Nothing is left to train: the checkpoint has %d epochs of %d.", state["epoch"] + 1,
                    cfg.SOLVER.MAX_EPOCH)
        return
    in_main(lambda: check_room(cfg, model))
    store, evaluator, embedder = FeatureStore.from_config(cfg), run.evaluators.get(cfg.TRAIN.VAL_SPLIT), None
    if evaluator is not None:
        embedder = build_embedder(run, model, cfg.TRAIN.VAL_SPLIT)
        embedder = replace(embedder, features=store.keep(embedder, evaluator.shown()))
    reader = ClipReader.from_config(cfg, clips, augment=True)
    features = build_train_features(cfg, model, reader, store, device)
    loader = build_training_loader(run, reader, with_video=model.appearance and features is None,
                                   beside=embedder)
    if evaluator is not None and cfg.TRAIN.VAL_SPLIT == cfg.TEST.SPLIT and cfg.TEST.TEST_EPOCH_NUM < 1:
        logger.info("Checkpoints are selected on '%s', the split that is tested: the test accuracy is optimistic. "
                    "The published code validates there too, but tests its last epoch (TEST.TEST_EPOCH_NUM %d).",
                    cfg.TEST.SPLIT, cfg.SOLVER.MAX_EPOCH)
    # The steps whose figures a checkpoint carries have no record yet.
    log.begin((state["epoch"] + 1, state["step"] - len(state["pending"])) if state else (0, 0))
    trainer = Trainer(
        cfg, FewShotTask.from_config(cfg, model), optimizer, loader, run.sampler,
        keeper=build_keeper(cfg, run.sources, model), log=log, device=device,
        validate=partial(evaluator.run, embedder) if evaluator else None, clip_ids=[clip.id for clip in clips],
        precision=run.precision, features=features)
    if state:
        trainer.resume(state)
    trainer.run()


def test(run: Prepared, model: Trokens, log: RunLog) -> dict[str, Any]:
    """Answer the test episodes with the weights to test; write the answers, results.json, and what shows them."""
    cfg, split = run.cfg, final_split(run.cfg)
    checkpoint = load_tested(cfg, model, run.sources)
    evaluator = run.evaluators[split]
    answered = evaluator.answer(build_embedder(run, model, split), tested_shots(cfg))
    scores = [evaluator.result(outcomes) | describe_outcomes(outcomes) for outcomes in answered]
    result = tell_results(cfg, split, scores, checkpoint, run.about)
    in_main(lambda: write_outcomes(cfg.OUTPUT_DIR, answered))
    in_main(lambda: write_results(cfg, result))
    in_main(lambda: conclude(cfg, log, result, answered))
    return result


def build_embedder(run: Prepared, model: Trokens, split: str) -> ClipEmbedder:
    """The model and the clips of an evaluated split."""
    reader = ClipReader.from_config(run.cfg, run.splits[split], augment=False)
    return ClipEmbedder.from_config(run.cfg, model, reader, device=run.device, name=split)


def build_train_features(cfg, model: Trokens, reader: ClipReader, store: FeatureStore,
                         device: torch.device) -> Features | None:
    """The frozen backbone's features of all training clips, or of AUG.CACHED_VIEWS augmented views of each.

    None where the store has no room for them, or where every look at a clip is augmented anew.

    Raises:
        ConfigError: Cached views are asked for, and there is no room for them.
    """
    shown: ClipReader | ViewReader = reader
    views, name, options = 1, "train", ""
    if cfg.DATA.USE_RAND_AUGMENT:
        views = cfg.AUG.CACHED_VIEWS
        name, options, shown = f"train-{views}-views", f"{cfg.AUG.AA_TYPE} {cfg.AUG.ORDER}", ViewReader(reader, views)
    rows = range(len(shown.clips))
    features = store.keep(ClipEmbedder.from_config(cfg, model, shown, device=device, name=name), rows, options=options)
    if features is None and cfg.DATA.USE_RAND_AUGMENT and (size := len(rows) * feature_bytes(model)):
        raise ConfigError(f"AUG.CACHED_VIEWS = {views} needs {size / 2**30:.1f} GB of memory, and MODEL.CACHE_GB "
                          f"leaves {store.room / 2**30:.1f}; set MODEL.FEATURE_CACHE to a folder for them.")
    if features is None:
        return None
    return Features(features.values, views=views)  # looked up by clip, not by the rows of views


def build_training_loader(run: Prepared, reader: ClipReader, *, with_video: bool,
                          beside: ClipEmbedder | None) -> DataLoader:
    """Training episodes. The loader's processes stay alive while ``beside`` validates, so both share the memory.

    Raises:
        ValueError: Their batches do not fit into this machine's shared memory.
        EndedElsewhere: They do not fit on another machine.
    """
    loading = loading_from_config(run.cfg)
    workers, size = loading["num_workers"], reader.batch_bytes(len(run.sampler[0].indices), with_video=with_video)
    validation = beside.reader.batch_bytes(beside.batch_size, with_video=beside.with_video) if beside else 0
    in_some(local_rank() == 0, lambda: check_shared_memory(size, workers, beside=kept_bytes(validation, workers),
                                                           processes=local_world_size()))
    return episode_loader(reader, run.sampler, with_video=with_video, **loading)
