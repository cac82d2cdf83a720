"""Weights & Biases."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from trokens.config import dump
from trokens.engine.loggers import LOGGERS, figures_of, final_figures, final_tables

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)


@LOGGERS.register("wandb")
class WandbLogger:
    """Weights & Biases, offline where there is no key."""

    def __init__(self, output_dir: str | Path, *, project: str, entity: str, run_id: str, name: str,
                 config: dict[str, Any]):
        import wandb  # an optional extra

        self.wandb = wandb
        mode = os.environ.get("WANDB_MODE")
        if mode is None and not _has_key(wandb):
            mode = "offline"
            logger.warning("wandb has no key: logging offline below %s (wandb login, then wandb sync).", output_dir)
        options = {"project": project, "entity": entity or None, "id": run_id or None, "name": name or None,
                   "dir": str(output_dir), "config": config, "resume": "allow",
                   "settings": wandb.Settings(silent=True, console="off", init_timeout=60)}
        try:
            self.run = wandb.init(mode=mode, **options)
        except Exception as error:
            logger.warning("wandb cannot be reached (%s): logging offline below %s.", error, output_dir)
            wandb.teardown()  # else the run's id counts as in use
            self.run = wandb.init(mode="offline", **options)

    @classmethod
    def from_config(cls, cfg) -> WandbLogger | None:
        options = cfg.WANDB
        if options.ENABLE == "always" or (options.ENABLE == "auto" and (options.ID or options.EXP_NAME)):
            return cls(cfg.OUTPUT_DIR, project=options.PROJECT, entity=options.ENTITY, run_id=options.ID,
                       name=options.EXP_NAME, config=yaml.safe_load(dump(cfg)))
        return None

    def __call__(self, record: dict[str, Any]) -> None:
        self.run.log(figures_of(record), step=record["global_step"])

    def finish(self, results: dict[str, Any], pictures: Mapping[str, np.ndarray]) -> None:
        shown = {f"test/{name}": self.wandb.Image(picture) for name, picture in pictures.items()}
        shown |= {f"test/{name}": self.wandb.Table(columns=columns, data=rows)
                  for name, (columns, rows) in final_tables(results).items()}
        self.run.log(final_figures(results) | shown)

    def close(self) -> None:
        self.run.finish()


def _has_key(wandb) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return wandb.login(prompt=False, verify=False)
    except TypeError:  # an older version
        return bool(wandb.api.api_key)
