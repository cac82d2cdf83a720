"""The measures of TAP-Vid, and the queries that its two modes ask for.

Doersch et al., "TAP-Vid: A Benchmark for Tracking Any Point in a Video", NeurIPS 2022. Distances are in pixels of a
raster of 256 x 256, whatever the size of the frames. A clip has one score; a set's score is the mean of its clips'.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from trokens.structures import Tracks, check_shape

RASTER = 256
OUTSIDE = 0.1  # of the frame's side, up to which a point that is asked for may lie outside
THRESHOLDS = (1, 2, 4, 8, 16)
MAX_POSITIONS = 2**26  # of all queries of a clip; TAP-Vid's longest have 250 frames and some 1,500 strided queries


class Scores(NamedTuple):
    """Scores of one clip, in [0, 1].

    Attributes:
        jaccard: Average Jaccard (AJ): true positives / (true positives + false positives + false negatives), averaged
            over the thresholds. A point called visible at a wrong place counts as false positive, and as false
            negative too where it is visible in truth.
        delta: δ_avg: the share of truly visible positions that are within the threshold, whatever their visibility is
            said to be, averaged over the thresholds.
        occlusion: Occlusion accuracy (OA): the share of visibilities that are right.
    """

    jaccard: float
    delta: float
    occlusion: float


def score(xy: Tensor, visibility: Tensor, truth: Tracks, mode: str) -> Scores:
    """Compare tracks of one clip with the truth.

    Args:
        xy: Tracker's positions in pixels of the frame, (T, N, 2); one that is not finite is wrong.
        visibility: (T, N) bool.
        truth: The same points' true tracks and query frames; ``size`` has to be known.
        mode: Which frames count: "strided", all but a point's query frame, or "first", those after it.

    Raises:
        ValueError: The shapes or the mode do not fit, the size is unknown, no visible position counts, or a visible
            true position is not finite.
    """
    if mode not in QUERIES:
        raise ValueError(f"Query mode '{mode}' is unknown; expected {' or '.join(QUERIES)}.")
    if truth.size is None:
        raise ValueError("The true tracks have no frame size, which distances are scaled by; set Tracks.size.")
    sizes = {"T": truth.num_positions, "N": truth.num_points}
    check_shape("xy", xy, "T N 2", sizes)
    check_shape("visibility", visibility, "T N", sizes)
    check_truth(truth)

    frame = torch.arange(truth.num_positions)[:, None]
    counts = frame != truth.query_frame if mode == "strided" else frame > truth.query_frame   # (T, N)
    height, width = truth.size
    away = (xy.double() - truth.xy.double()) * RASTER / torch.tensor([width, height])
    away = away.square().sum(-1)                                                              # (T, N)
    seen, said = truth.visibility & counts, visibility & counts
    if not seen.any():
        raise ValueError(f"None of {truth.num_points} points is visible in a frame that counts in mode '{mode}'.")
    jaccard, delta = [], []
    for threshold in THRESHOLDS:
        right = seen & (away < threshold ** 2)
        delta.append(_count(right) / _count(seen))
        jaccard.append(_count(right & said) / (_count(seen) + _count(said & ~right)))
    same = (visibility == truth.visibility) & counts
    return Scores(fmean(jaccard), fmean(delta), _count(same) / _count(counts))


def check_truth(truth: Tracks) -> None:
    """Check that every position that counts is known: where a point is asked for, and wherever it is visible.

    Raises:
        ValueError: One is NaN or infinite, and would count as a miss of the tracker, or a point is asked for far
            outside of the frame; the message names it.
    """
    unknown = ~truth.xy.isfinite().all(-1)                                                    # (T, N)
    asked = torch.arange(truth.num_positions)[:, None] == truth.query_frame
    broken = (unknown & (truth.visibility | asked)).nonzero()
    if len(broken):
        frame, point = broken[0].tolist()
        x, y = truth.xy[frame, point].tolist()
        state = "visible" if truth.visibility[frame, point] else "asked for"
        raise ValueError(f"Point {point} is {state} in frame {frame}, and its true position there is ({x:g}, {y:g}) "
                         f"({len(broken)} such positions); mend the true tracks, or mark it as hidden.")
    if truth.size is None or not truth.num_points:
        return
    height, width = truth.size
    share = query_points(truth)[:, 1:] / torch.tensor([width, height])
    outside = ((share < -OUTSIDE) | (share > 1 + OUTSIDE)).any(1).nonzero()
    if len(outside):
        point = outside[0].item()
        x, y = query_points(truth)[point, 1:].tolist()
        raise ValueError(f"Point {point} is asked for at ({x:g}, {y:g}), outside of frames of {width} x {height} "
                         f"pixels ({len(outside)} such points); mend the true tracks.")


def count_lost(xy: Tensor, truth: Tracks) -> int:
    """Visible positions (T, N) for which a tracker gives no finite ones ``xy`` (T, N, 2): they count as misses."""
    return _count(truth.visibility & ~xy.isfinite().all(-1))


def _count(x: Tensor) -> int:
    return int(x.sum())


def query_points(tracks: Tracks) -> Tensor:
    """Where points are at their query frames: (N, 3) float32 as (t, x, y), what trackers start from."""
    xy = tracks.xy[tracks.query_frame, torch.arange(tracks.num_points)]
    return torch.cat([tracks.query_frame[:, None].float(), xy], dim=1)


def first_queries(tracks: Tracks) -> Tracks:
    """Ask for every track once, in the first frame where it is visible; one that never is drops out."""
    tracks = tracks.select(tracks.visibility.any(0).nonzero().squeeze(1))
    return replace(tracks, query_frame=tracks.visibility.to(torch.uint8).argmax(0))


def strided_queries(tracks: Tracks, stride: int = 5) -> Tracks:
    """Ask for every track in every ``stride``-th frame where it is visible: it comes once for each of them.

    Raises:
        ValueError: That is more than a computer holds; a small file can ask for it.
    """
    row, point = tracks.visibility[::stride].nonzero().unbind(1)
    if len(row) * tracks.num_positions > MAX_POSITIONS:
        raise ValueError(f"{len(row)} queries of {tracks.num_positions} frames each are more than {MAX_POSITIONS} "
                         "positions; cut the clip, or ask in mode 'first'.")
    return replace(tracks.select(point), query_frame=row * stride)


QUERIES = {"strided": strided_queries, "first": first_queries}
