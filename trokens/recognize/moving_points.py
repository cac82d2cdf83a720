"""Points that move: those of a point file, or those of a dense grid that is placed anew at every step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trokens.structures import Tracks, check_shape


@dataclass(frozen=True)
class MovingPoints:
    """Where the points of a clip are at each of T steps, and where they go.

    Lengths are in units of the frame's longer side; x right, y down, (0, 0) the center of the frame.

    Attributes:
        xy: Place of each point before the step, (T, N, 2) float32; (1, N, 2) where it is the same in all steps.
        displacement: What the step adds to it, (T, N, 2) float32.
        visible: Whether the point is seen before and after it, (T, N) bool.
        half: Half the frame's width and height, (2,) float32.
    """

    xy: Tensor
    displacement: Tensor
    visible: Tensor
    half: Tensor

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_shape("displacement", self.displacement, "T N 2", sizes)
        check_shape("visible", self.visible, "T N", sizes)
        check_shape("xy", self.xy, "1 N 2" if len(self.xy) == 1 else "T N 2", sizes)

    @classmethod
    def from_tracks(cls, tracks: Tracks, size: tuple[int, int] | None = None) -> MovingPoints:
        """Read trajectories; what is hidden or not finite before or after a step counts as hidden in it.

        Args:
            tracks: T + 1 positions.
            size: Frame (height, width), where ``tracks`` do not say.

        Raises:
            ValueError: Neither says it.
        """
        size = tracks.size or size
        if size is None:
            raise ValueError("The tracks do not say the size of their frames; give size=(height, width).")
        height, width = size
        xy = (tracks.xy + 0.5 - tracks.xy.new_tensor([width, height]) / 2) / max(size)
        seen = tracks.visibility & xy.isfinite().all(-1)
        xy = xy.where(seen[..., None], 0.0)
        return cls(xy[:-1], xy.diff(dim=0), seen[:-1] & seen[1:], _half(size))

    @classmethod
    def from_flow(cls, flow: Tensor, size: tuple[int, int], stride: int) -> MovingPoints:
        """Read dense optical flow.

        Args:
            flow: Displacements of every ``stride``-th pixel, in pixels, (T, h, w, 2); T may be 0.
            size: (height, width) of the frames between which it was computed.
        """
        (height, width), side = size, max(size)
        y, x = torch.meshgrid(torch.arange(0, height, stride), torch.arange(0, width, stride), indexing="ij")
        xy = torch.stack([x + 0.5 - width / 2, y + 0.5 - height / 2], dim=-1).flatten(0, 1) / side
        displacement = flow.float().flatten(1, 2) / side
        return cls(xy[None], displacement, torch.ones(displacement.shape[:2], dtype=torch.bool), _half(size))


def _half(size: tuple[int, int]) -> Tensor:
    height, width = size
    return torch.tensor([width, height]) / (2 * max(size))
