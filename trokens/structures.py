"""The values that cross module borders: Tracks of one video, Clips of a batch, an Episode of both sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self


def check_shape(name: str, x: Tensor, spec: str, sizes: dict[str, int]) -> None:
    """Match ``x.shape`` against ``spec`` ("T N 2"), binding each letter once in ``sizes``.

    Raises:
        ValueError: The shape does not fit; the message gives both.
    """
    dims = spec.split()
    if x.ndim != len(dims):
        raise ValueError(f"{name} is {tuple(x.shape)}; expected ({', '.join(dims)}).")
    for dim, size in zip(dims, x.shape, strict=True):
        want = int(dim) if dim.isdigit() else sizes.setdefault(dim, size)
        if size != want:
            raise ValueError(f"{name} is {tuple(x.shape)}; expected ({', '.join(dims)}) with {dim}={want}.")


def check_choice(argument: str, value: str, allowed: Iterable[str]) -> None:
    """Raise a ValueError that names the argument where its value is not allowed."""
    if value not in allowed:
        raise ValueError(f"{argument} is '{value}'; expected one of {', '.join(allowed)}.")


@dataclass(frozen=True)
class Tracks:
    """Point trajectories of one video.

    Attributes:
        xy: Positions in pixels of the source frame, (T, N, 2) float32, x right, y down.
        visibility: True where the tracker sees the point, (T, N) bool.
        query_frame: Position (row of ``xy``) at which each point was chosen, (N,) long.
        cluster: Semantic cluster each point was drawn from, (N,) long.
        size: Source frame (height, width) in pixels, or None where the file does not say.
        frame: The video's own frame number of every position, (T,) long; None means that the positions
            are spread evenly over the video, as in the published point files.
        dtype: Type in which the point file keeps ``xy``: float32, or float16 as in the published ones.
    """

    xy: Tensor
    visibility: Tensor
    query_frame: Tensor
    cluster: Tensor
    size: tuple[int, int] | None = None
    frame: Tensor | None = None
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_shape("xy", self.xy, "T N 2", sizes)
        check_shape("visibility", self.visibility, "T N", sizes)
        check_shape("query_frame", self.query_frame, "N", sizes)
        check_shape("cluster", self.cluster, "N", sizes)
        if self.frame is not None:
            check_shape("frame", self.frame, "T", sizes)

    @property
    def num_positions(self) -> int:
        return self.xy.shape[0]

    @property
    def num_points(self) -> int:
        return self.xy.shape[1]

    def select(self, points: Tensor) -> Tracks:
        """Keep the given points (N',), in the given order; repeats are allowed."""
        return replace(self, xy=self.xy[:, points], visibility=self.visibility[:, points],
                       query_frame=self.query_frame[points], cluster=self.cluster[points])


@dataclass(frozen=True)
class _Batch:
    """Tensors that move together."""

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Self:
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        return self._map(lambda x: x.pin_memory())

    def _map(self, fn) -> Self:
        moved = {f.name: fn(v) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor | _Batch)}
        return replace(self, **moved)


@dataclass(frozen=True)
class Clips(_Batch):
    """A batch of clips, ready for the model. Shapes: V clips, T sampled frames, N points.

    Attributes:
        video: Frames as read and resized, (V, T, 3, H, W) uint8; None where the features come from a cache.
        tracks: Point positions, (V, T, N, 2) float32 in [-1, 1] inside the frame. None, as the two masks, where the
            model takes its points from patch features.
        visibility: (V, T, N) bool.
        query_mask: True from each point's query frame on, (V, T, N) bool.
        class_id: Class of each clip in the dataset, (V,) long.
        index: Row of each clip in its split's list, (V,) long.
        seed: Of the model's draw of each clip's points, (V,) long, where it makes one.
    """

    video: Tensor | None
    tracks: Tensor | None
    visibility: Tensor | None
    query_mask: Tensor | None
    class_id: Tensor
    index: Tensor
    seed: Tensor | None = None

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, shape in (("video", "V T 3 H W"), ("tracks", "V T N 2"), ("visibility", "V T N"),
                            ("query_mask", "V T N"), ("class_id", "V"), ("index", "V"), ("seed", "V")):
            if getattr(self, name) is not None:
                check_shape(name, getattr(self, name), shape, sizes)

    def __len__(self) -> int:
        return len(self.class_id)


@dataclass(frozen=True)
class Episode(_Batch):
    """One n-way k-shot task: support clips first, each set class-major.

    Attributes:
        clips: All clips, the S support clips first.
        way: Class of each clip within the episode, in [0, n_way), (V,) long.
        n_way: Number of classes.
        num_support: S = n_way * k_shot.
    """

    clips: Clips
    way: Tensor
    n_way: int
    num_support: int

    def __post_init__(self) -> None:
        if self.way.shape != (len(self.clips),):
            raise ValueError(f"way is {tuple(self.way.shape)}; expected ({len(self.clips)},).")
        if not 0 < self.num_support < len(self.clips):
            raise ValueError(f"num_support is {self.num_support}; expected 1 to {len(self.clips) - 1}.")
