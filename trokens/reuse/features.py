"""Patch features of clips, looked up in place of their frames, and the augmented views that they may be of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.models.trokens import Trokens
from trokens.structures import Clips


def feature_bytes(model: Trokens) -> int:
    """Memory for the backbone's features (T, S, S, D) of one clip, float32; 0 where there are none to keep (no
    backbone, or it learns)."""
    if model.backbone is None or model.train_backbone:
        return 0
    return 4 * model.num_frames * model.grid**2 * model.backbone.embed_dim


@dataclass(frozen=True)
class ViewReader:
    """Reads each clip as several: row ``clip * views + v`` is view v, whose augmentation follows from v and the clip.

    Attributes:
        reader: Reads and augments the clips.
        views: Views of a clip.
    """

    reader: ClipReader
    views: int

    @property
    def clips(self) -> list[Clip]:
        """The clip of each row."""
        return [clip for clip in self.reader.clips for _ in range(self.views)]

    def batch_bytes(self, num_clips: int, *, with_video: bool) -> int:
        """Size of a batch of so many views."""
        return self.reader.batch_bytes(num_clips, with_video=with_video)

    def read(self, row: int, *, with_video: bool) -> Clips:
        """Read a view as a batch of one, whose ``index`` is the row."""
        index, view = divmod(row, self.views)
        clips = self.reader.read(index, with_video=with_video, key=f"view {view} of {self.reader.clips[index].id}")
        return Clips(clips.video, clips.tracks, clips.visibility, clips.query_mask, clips.class_id, torch.tensor([row]))


class Features:
    """Features of some clips, looked up by their rows in the split's list.

    Args:
        values: (C * views, T, S, S, D) on the CPU, in memory or mapped.
        rows: The row of each clip; None where all rows are there, in order.
        views: Features of each clip, one of which is drawn at each look.
    """

    def __init__(self, values: Tensor, rows: Sequence[int] | None = None, views: int = 1):
        self.values, self.views = values, views
        self._numbers = None if rows is None else {row: number for number, row in enumerate(rows)}

    def look(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The features of clips.

        Args:
            rows: (V,) long.
            generator: Draws a view of each; needed where there are several.

        Returns:
            (V, T, S, S, D).
        """
        if self._numbers is not None:
            rows = torch.tensor([self._numbers[row] for row in rows.tolist()])
        if self.views > 1:
            assert generator is not None
            rows = rows * self.views + torch.randint(self.views, rows.shape, generator=generator)
        return self.values[rows]
