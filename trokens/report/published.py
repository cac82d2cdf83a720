"""Accuracies that papers report, from the one file that holds them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parent / "published.csv"


@dataclass(frozen=True)
class Published:
    """A published accuracy, 5-way, over 10,000 test episodes.

    Attributes:
        dataset: As :func:`dataset_key` names it.
        method: "trokens", "tats", "molo" or "hyrsm++".
        k_shot: Support clips of a class.
        points: Number of points, None where it is not told, or the method tracks none.
        accuracy: In [0, 1].
        source: "table", or "figure" where it is read off one (within 0.002).
    """

    dataset: str
    method: str
    k_shot: int
    points: int | None
    accuracy: float
    source: str


def dataset_key(dataset: str, ssv2_split: str = "") -> str:
    """The name of a config's test dataset among the published figures: SSv2 has several lists."""
    return ssv2_split if dataset.lower() == "ssv2" else dataset.lower()


@cache
def published_figures() -> tuple[Published, ...]:
    """All of them."""
    with open(_FILE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return tuple(Published(row["dataset"], row["method"], int(row["k_shot"]), int(row["points"] or 0) or None,
                           float(row["accuracy"]) / 100, row["source"]) for row in rows)


def published_figure(dataset: str, method: str, k_shot: int, points: int | None = None) -> Published | None:
    """The one of a setting, if there is one."""
    return next((one for one in published_figures() if (one.dataset, one.method, one.k_shot, one.points) ==
                 (dataset, method, k_shot, points)), None)
