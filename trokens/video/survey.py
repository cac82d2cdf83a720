"""Every frame of a file is decoded, to know whether any is damaged."""

from __future__ import annotations

from functools import lru_cache

from trokens.video import timeline
from trokens.video.damage import Marks
from trokens.video.stream import opened


@lru_cache(maxsize=8192)
def survey_file(path: str, mtime: int, size: int) -> str | None:
    """Signs of damage in the file, as it is at this time of change and size, or None."""
    info, marks, count = timeline.probe_file(path, mtime, size), Marks(), 0
    with opened(path, threads=1, attentive=True) as video:
        for _ in video.frames(on_damage=marks):
            count += 1
    if marks.count:
        return str(marks)
    return f"{info.num_frames - count} of {info.num_frames} frames do not decode" if count < info.num_frames else None
