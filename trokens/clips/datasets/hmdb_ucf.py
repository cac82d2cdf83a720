"""HMDB51 and UCF101, whose lists have one form."""

from __future__ import annotations

from trokens.clips.datasets.published import published_rows
from trokens.clips.lists import READERS, Row, Source


@READERS.register("hmdb51")
def read_hmdb51(source: Source) -> list[Row]:
    """HMDB51."""
    return published_rows(source, "hmdb_few_shot.csv", "hmdb51")


@READERS.register("ucf101")
def read_ucf101(source: Source) -> list[Row]:
    """UCF101."""
    return published_rows(source, "ucf_few_shot.csv", "ucf101")
