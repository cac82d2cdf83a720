"""Where and when: sampled frames, sound tracks, coordinates in [-1, 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trokens.structures import Tracks

SAME_ASPECT = 0.02  # relative difference of width over height, up to which two frames have one shape


def frame_positions(num_positions: int, num_frames: int) -> Tensor:
    """Frames spread evenly over a video: floor(linspace(0, L-1, T)).

    With the rows of a point file for L, these are the rows that the model sees. A published point file does not name
    its own frames: they are spread over the video in the same way, with the frames of the video for L and the rows of
    the file for T.

    Args:
        num_positions: Frames, or rows of a point file, L.
        num_frames: Frames to sample, T; more than L repeats some.

    Returns:
        (T,) long, ascending.
    """
    if num_positions < 1 or num_frames < 1:
        raise ValueError(f"Cannot sample {num_frames} frames from {num_positions}; both must be at least 1.")
    spread = np.floor(np.linspace(0, num_positions - 1, num_frames))  # float64, as the files' writer
    return torch.from_numpy(spread.astype(np.int64))


def check_tracks(tracks: Tracks, source: str) -> None:
    """Check what no sound writer of a point file writes, and what would make points count when they should not.

    Args:
        tracks: As a point file holds them.
        source: What they were read from, for the message.

    Raises:
        ValueError: There are none, a point was chosen at no position, or positions go back in time.
    """
    count, points = tracks.xy.shape[:2]
    if not count or not points:
        raise ValueError(f"{source} has {points} points at {count} positions; extract it again.")
    low, high = (x.item() for x in tracks.query_frame.aminmax())
    if low < 0 or high >= count:
        raise ValueError(f"{source} has points that were chosen at positions {low} to {high} of {count}; extract it "
                         "again.")
    frame = tracks.frame  # they may repeat, where points are at a higher rate than the video
    if frame is not None and count > 1 and (frame[0] == frame[-1] or (frame.diff() < 0).any()):
        raise ValueError(f"{source} has positions at frames {frame[0]} to {frame[-1]}, not in their order; extract it "
                         "again.")


def check_positions(xy: Tensor, source: str) -> None:
    """Check the positions that a model is shown. Single NaN count as 0 and invisible, as in the published code.

    Args:
        xy: (..., 2).
        source: What they were read from, for the message.

    Raises:
        ValueError: All of them are NaN, or some are infinite.
    """
    if xy.sum().isfinite():  # the usual case, in one pass
        return
    if xy.isnan().any(-1).all():
        raise ValueError(f"{source} has no position for any point that is shown: all are NaN; extract it again.")
    if count := xy.isinf().any(-1).sum().item():
        raise ValueError(f"{source} has {count} positions that are infinite among those that are shown; extract it "
                         "again, or keep positions in 32 bits.")


def normalize_tracks(xy: Tensor, size: tuple[int, int], coords: str = "published",
                     dtype: torch.dtype = torch.float32) -> Tensor:
    """Map pixel positions to [-1, 1] inside the frame.

    Args:
        xy: Positions in pixels, (..., 2), x right, y down.
        size: Frame (height, width) in pixels.
        coords: "published" divides by the width and height (2x/W - 1); "centered" maps the centers of the first
            and last pixel to -1 and 1 (2x/(W-1) - 1), which is what reading with ``align_corners=True`` expects.
        dtype: Type that each operation rounds to. The published code computes in that of its files, float16, whose
            numbers lie 2^-11 to 2^-10 apart at the sides of the frame.

    Returns:
        (..., 2) float32; points outside the frame lie outside [-1, 1].
    """
    if coords not in ("published", "centered"):
        raise ValueError(f"coords is '{coords}'; expected published or centered.")
    height, width = size
    extent = torch.tensor([width, height], dtype=torch.float32) - float(coords == "centered")
    share = (xy.to(dtype).float() / extent).to(dtype)  # torch divides half precision so
    return (2 * share - 1).float()


def same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether frames of two sizes (height, width) show the same, one scaled."""
    return abs((first[1] / first[0]) / (second[1] / second[0]) - 1) < SAME_ASPECT
