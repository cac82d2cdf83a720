"""TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trokens.engine.loggers import LOGGERS, figures_of, final_figures, final_tables

if TYPE_CHECKING:
    import numpy as np


@LOGGERS.register("tensorboard")
class TensorBoardLogger:
    """TensorBoard event files in OUTPUT_DIR/tensorboard."""

    def __init__(self, output_dir: str | Path):
        from torch.utils.tensorboard import SummaryWriter  # an optional extra

        self.writer, self.step = SummaryWriter(str(Path(output_dir) / "tensorboard")), 0

    @classmethod
    def from_config(cls, cfg) -> TensorBoardLogger | None:
        return cls(cfg.OUTPUT_DIR) if cfg.TENSORBOARD.ENABLE else None

    def __call__(self, record: dict[str, Any]) -> None:
        for name, value in figures_of(record).items():
            self.writer.add_scalar(name, value, record["global_step"])
        self.step = record["global_step"]

    def finish(self, results: dict[str, Any], pictures: Mapping[str, np.ndarray]) -> None:
        for name, value in final_figures(results).items():
            self.writer.add_scalar(name, value, self.step)
        for name, picture in pictures.items():
            self.writer.add_image(f"test/{name}", picture, self.step, dataformats="HWC")
        for name, (columns, rows) in final_tables(results).items():
            lines = [columns, ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
            self.writer.add_text(f"test/{name}", "\n".join(f"| {' | '.join(line)} |" for line in lines), self.step)

    def close(self) -> None:
        self.writer.close()
