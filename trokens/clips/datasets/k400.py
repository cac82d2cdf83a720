"""Kinetics-100."""

from __future__ import annotations

from trokens.clips.datasets.published import published_rows
from trokens.clips.lists import READERS, Row, Source


@READERS.register("k400")
def read_k400(source: Source) -> list[Row]:
    """Kinetics-100."""
    return published_rows(source, "kinetics100.csv", "k400")
