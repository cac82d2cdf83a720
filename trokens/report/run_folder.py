"""A finished run, read from its folder."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trokens.clips.split import Clip, build_split
from trokens.config import load_cfg
from trokens.engine.outcome_files import EPISODES, PREDICTIONS, read_outcomes
from trokens.fewshot.outcomes import Outcomes

# A line of trokens.engine.forecast.describe_run.
_PLANNED = re.compile(r"(Device|Clips|Episodes|Parameters|Memory|Features|Token bank)  +\S")


@dataclass(frozen=True)
class RunFolder:
    """What a run has left in its OUTPUT_DIR.

    Attributes:
        path: The folder.
        results: What results.json says; nothing of a run that was not tested.
    """

    path: Path
    results: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path, *, tested: bool = True) -> RunFolder:
        """Read results.json.

        Args:
            tested: Whether there has to be one; else a config is enough.

        Raises:
            FileNotFoundError: There is none: the folder is no run's, or its test has not ended.
            ValueError: It is broken.
        """
        path = Path(path)
        try:
            results = json.loads((path / "results.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            if not tested and (path / "config.yaml").is_file():
                return cls(path, {})
            raise FileNotFoundError(f"{path} has no results.json; give the OUTPUT_DIR of a run whose test has "
                                    "ended.") from None
        except ValueError:
            results = None
        if not isinstance(results, dict) or "accuracy" not in results:
            raise ValueError(f"{path / 'results.json'} is broken; test the run again.")
        return cls(path, results)

    @classmethod
    def of(cls, path: str | Path, results: dict[str, Any], answered: Sequence[Outcomes]) -> RunFolder:
        """Of a test that has just ended: its answers need not be read again."""
        run = cls(Path(path), results)
        vars(run)["outcomes"] = {one.k_shot: one for one in answered}
        return run

    @property
    def has_config(self) -> bool:
        """Whether a run of a config left it, and not another program that answered episodes."""
        return (self.path / "config.yaml").is_file()

    @cached_property
    def cfg(self):
        """The config that it ran with."""
        return load_cfg(self.path / "config.yaml")

    @cached_property
    def clips(self) -> list[Clip]:
        """The clips of the tested split, as its lists name them today.

        Raises:
            FileNotFoundError, ValueError: A list is gone, or broken.
        """
        return build_split(self.cfg, self.results["split"])

    @cached_property
    def plan(self) -> list[str]:
        """What log.txt says before the last thing that the run did: device, clips, episodes, memory."""
        file = self.path / "log.txt"
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
        lines = [line[len("00:00:00 "):] for line in lines]
        starts = [number for number, line in enumerate(lines) if line.startswith("Device  ")]
        return list(itertools.takewhile(_PLANNED.match, lines[starts[-1]:])) if starts else []

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
