"""A finished run, read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trokens.config import load_cfg
from trokens.engine.outcome_files import EPISODES, PREDICTIONS, read_outcomes
from trokens.fewshot.outcomes import Outcomes


@dataclass(frozen=True)
class RunFolder:
    """What a run has left in its OUTPUT_DIR.

    Attributes:
        path: The folder.
        results: What results.json says.
    """

    path: Path
    results: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> RunFolder:
        """Read results.json.

        Raises:
            FileNotFoundError: There is none: the folder is no run's, or its test has not ended.
            ValueError: It is broken.
        """
        path = Path(path)
        try:
            results = json.loads((path / "results.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} has no results.json; give the OUTPUT_DIR of a run whose test has "
                                    "ended.") from None
        except ValueError:
            results = None
        if not isinstance(results, dict) or "accuracy" not in results:
            raise ValueError(f"{path / 'results.json'} is broken; test the run again.")
        return cls(path, results)

    @cached_property
    def cfg(self):
        """The config that it ran with."""
        return load_cfg(self.path / "config.yaml")

    @cached_property
    def outcomes(self) -> dict[int, Outcomes]:
        """What was answered, of each number of shots.

        Raises:
            FileNotFoundError: The run was tested before answers were kept.
            ValueError: A file is broken.
        """
        files = [self.path / name for name in (EPISODES, PREDICTIONS)]
        if lacking := [file.name for file in files if not file.is_file()]:
            raise FileNotFoundError(f"{self.path} has no {' and no '.join(lacking)}; test the run again "
                                    "(trokens test --cfg ... OUTPUT_DIR ...).")
        return {one.k_shot: one for one in read_outcomes(*files)}

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The records of its training and validations, as they were written."""
        file = self.path / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
