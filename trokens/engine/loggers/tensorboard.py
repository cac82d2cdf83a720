"""TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trokens.engine.loggers import LOGGERS, figures_of


@LOGGERS.register("tensorboard")
class TensorBoardLogger:
    """TensorBoard event files in OUTPUT_DIR/tensorboard."""

    def __init__(self, output_dir: str | Path):
        from torch.utils.tensorboard import SummaryWriter  # an optional extra

        self.writer = SummaryWriter(str(Path(output_dir) / "tensorboard"))

    @classmethod
    def from_config(cls, cfg) -> TensorBoardLogger | None:
        return cls(cfg.OUTPUT_DIR) if cfg.TENSORBOARD.ENABLE else None

    def __call__(self, record: dict[str, Any]) -> None:
        for name, value in figures_of(record).items():
            self.writer.add_scalar(name, value, record["global_step"])

    def close(self) -> None:
        self.writer.close()
