"""Where tracking starts: semantic query points from patch labels, or a uniform grid."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from trokens.points.geometry import frame_positions

MOST_PIXELS = 2**24  # of a frame on which points are placed; on larger ones pixels of a coarser grid are taken


def query_frames(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Find for each label the frame that it covers most, the first of equals.

    Args:
        labels: Label of every patch, (F, P, Q) long, not negative.

    Returns:
        The labels in use, ascending, (K,) long, and the row of each one's frame, (K,) long.
    """
    one_hot = torch.nn.functional.one_hot(labels.flatten(1))                                  # (F, P * Q, K')
    cover = one_hot.sum(1)                                                                    # (F, K')
    used = cover.any(0).nonzero().squeeze(1)
    first = (cover == cover.amax(0)).to(torch.uint8).argmax(0)
    return used, first[used]


def semantic_query_points(labels: Tensor, frame_numbers: Tensor, size: tuple[int, int], *,
                          points_per_entity: int = 16, connected_components: bool = False) -> tuple[Tensor, Tensor]:
    """Place points on every label's mask in its query frame.

    Args:
        labels: Label of every patch of the clustered frames, (F, P, Q) long.
        frame_numbers: Frame number of each clustered frame in the tracked video, (F,) long.
        size: Height and width of the tracked video in pixels.
        points_per_entity: Points on each mask; a mask of fewer pixels gives all of them.
        connected_components: Whether each 4-connected component of a mask is a cluster of its own.

    Returns:
        Query points (N, 3) float32 as (frame number, x, y) in pixels, and their clusters (N,) long: the labels,
        or with ``connected_components`` the components, counted from 0.
    """
    coarse = 1 + math.isqrt((size[0] * size[1] - 1) // MOST_PIXELS)  # pixels along the side of one of the mask's
    mask_size = -(-size[0] // coarse), -(-size[1] // coarse)
    rows, columns = (torch.arange(side) * cells // side  # of the patch nearest to each pixel
                     for side, cells in zip(mask_size, labels.shape[1:], strict=True))
    points, clusters = [], []
    with threadpool_limits(1):                         # k-means on this little data is slower with threads
        for label, frame in zip(*(x.tolist() for x in query_frames(labels)), strict=True):
            masks = [(labels[frame] == label)[rows[:, None], columns].numpy()]
            if connected_components:
                masks = components(masks[0])
            for mask in masks:
                xy = coarse * place_points(mask, points_per_entity) + coarse // 2
                xy = xy.minimum(torch.tensor(size[::-1]) - 1)
                points.append(torch.cat([frame_numbers[frame].expand(len(xy), 1), xy], dim=1).float())
                clusters += [len(points) - 1 if connected_components else label] * len(xy)
    return torch.cat(points), torch.tensor(clusters)


def place_points(mask: np.ndarray, num_points: int) -> Tensor:
    """Spread points over a mask: k-means on its pixel coordinates, then the pixel nearest to each center.

    Args:
        mask: (H, W) bool with at least one pixel.
        num_points: Points wanted; a mask of fewer pixels gives all of them.

    Returns:
        (n, 2) long as (x, y).
    """
    pixels = np.argwhere(mask)                                                                # (n, 2) as (y, x)
    if len(pixels) > num_points:
        # n_init=1 is what newer versions of scikit-learn do by default with k-means++
        centers = KMeans(num_points, random_state=42, n_init=1).fit(pixels).cluster_centers_
        pixels = pixels[[np.square(pixels - center).sum(1).argmin() for center in centers]]
    return torch.from_numpy(pixels[:, ::-1].copy())


def components(mask: np.ndarray) -> list[np.ndarray]:
    """Split a mask (H, W) bool into its 4-connected components, in raster order of their first pixels."""
    count, number = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return [number == i for i in range(1, count)]


def grid_query_points(num_frames: int, size: tuple[int, int], *, grid_size: int = 16,
                      num_query_frames: int = 4) -> tuple[Tensor, Tensor]:
    """Place a uniform grid of points in evenly spaced frames of the tracked video.

    Args:
        num_frames: L, frames of the tracked video.
        size: Height and width in pixels.
        grid_size: Points along each side; they lie in the centers of equal cells.
        num_query_frames: Frames that get a grid (fewer in a shorter video).

    Returns:
        Query points (N, 3) float32 as (frame number, x, y) in pixels, and clusters (N,) long, all 0.
    """
    frames = frame_positions(num_frames, min(num_query_frames, num_frames))
    y, x = ((torch.arange(grid_size) + 0.5) * side / grid_size - 0.5 for side in size)
    points = torch.cartesian_prod(frames.float(), y, x)[:, [0, 2, 1]]
    return points, torch.zeros(len(points), dtype=torch.long)
