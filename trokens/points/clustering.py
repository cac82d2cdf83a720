"""Semantic clusters of a video's patches: bipartite merging within frames, centroids over time, labels everywhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

JOIN_BELOW = 0.2  # a centroid joins the set when its largest cosine similarity to it is below this


def cluster_patches(features: Tensor, merge_ratio: int = 25, num_iters: int = 11) -> Tensor:
    """Label every patch with the most similar of the video's semantic centroids.

    Args:
        features: Patch features of F frames on a P x Q grid, (F, P, Q, D).
        merge_ratio: Percentage of a frame's tokens that each round merges away, 0 to 50.
        num_iters: Rounds of merging.

    Returns:
        Labels (F, P, Q) long, below the number of centroids; some may be unused.
    """
    frames, rows, columns, dim = features.shape
    tokens = features.reshape(frames, rows * columns, dim)
    centroids = merge_over_time(merge_tokens(tokens, merge_ratio, num_iters))
    return cosine(tokens, centroids).argmax(-1).reshape(frames, rows, columns)


def merge_tokens(tokens: Tensor, merge_ratio: int = 25, num_iters: int = 11) -> Tensor:
    """Reduce each frame's tokens by rounds of bipartite soft matching (Bolya et al., "Token Merging", ICLR 2023).

    A round splits the tokens into even and odd ones, links every even token to its most similar odd token and merges
    the strongest links: an odd token becomes the plain mean of itself and the even tokens merged into it.

    Args:
        tokens: (F, M, D).
        merge_ratio: Percentage of the tokens merged away in a round.
        num_iters: Rounds.

    Returns:
        (F, m, D) with m <= M: in each round the unmerged even tokens by falling link strength, then the odd ones.

    Raises:
        ValueError: ``merge_ratio`` is not within 0 to 50 or ``num_iters`` is negative.
    """
    if not 0 <= merge_ratio <= 50:
        raise ValueError(f"merge_ratio is {merge_ratio}; a round can merge 0 to 50 percent of the tokens.")
    if num_iters < 0:
        raise ValueError(f"num_iters is {num_iters}; it must not be negative.")
    for _ in range(num_iters):
        num_merged = int(tokens.shape[1] * merge_ratio / 100)
        if num_merged == 0:
            break
        even, odd = tokens[:, ::2], tokens[:, 1::2]
        strength, partner = cosine(even, odd).max(-1)                                      # (F, even)
        order = strength.argsort(dim=-1, stable=True).flip(-1)          # of equal links the later token comes first
        merged, kept = order[:, :num_merged], order[:, num_merged:]
        target = _rows(partner, merged).expand(-1, -1, tokens.shape[-1])                   # (F, merged, D)
        odd = odd.scatter_reduce(1, target, _rows(even, merged), "mean", include_self=True)
        tokens = torch.cat([_rows(even, kept), odd], dim=1)
    return tokens


def merge_over_time(centroids: Tensor, join_below: float = JOIN_BELOW) -> Tensor:
    """Collect one set of centroids for the whole video: (F, m, D) of each frame -> (K, D), in order of time.

    The first frame's centroids start the set; a later frame's centroid joins it when its largest cosine similarity
    to the set so far (the frames before its own) is below ``join_below``.
    """
    chosen = centroids[0]
    for frame in centroids[1:]:
        chosen = torch.cat([chosen, frame[cosine(frame, chosen).amax(-1) < join_below]])
    return chosen


def kmeans_patches(features: Tensor, num_clusters: int, *, initial: Tensor | None = None,
                   max_iters: int = 100) -> tuple[Tensor, Tensor]:
    """Cluster all patches of a video by Lloyd's algorithm on the raw features, Euclidean: the alternative.

    Args:
        features: (F, P, Q, D).
        num_clusters: K; at most the number of patches.
        initial: Patches that start as centroids, (K,) indices into the F*P*Q patches; by default evenly spaced.
        max_iters: Iterations at most; it stops as soon as no patch changes its cluster.

    Returns:
        Labels (F, P, Q) long and centroids (K, D). A cluster that loses all its patches keeps its centroid.

    Raises:
        ValueError: There are fewer patches than clusters.
    """
    points = features.reshape(-1, features.shape[-1])
    if not 0 < num_clusters <= len(points):
        raise ValueError(f"num_clusters is {num_clusters}; {len(points)} patches allow 1 to {len(points)}.")
    if initial is None:
        initial = torch.linspace(0, len(points) - 1, num_clusters, dtype=torch.float64).long()
    centroids = points[initial]
    labels = torch.cdist(points, centroids).argmin(-1)
    for _ in range(max_iters):
        sums = torch.zeros_like(centroids).index_add_(0, labels, points)
        counts = labels.bincount(minlength=num_clusters)[:, None]
        centroids = torch.where(counts > 0, sums / counts.clamp(min=1), centroids)
        before, labels = labels, torch.cdist(points, centroids).argmin(-1)
        if torch.equal(before, labels):
            break
    return labels.reshape(features.shape[:-1]), centroids


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of every pair: (..., A, D) and (..., B, D) -> (..., A, B)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).transpose(-1, -2)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Pick rows of (F, M) or (F, M, D) by (F, m) indices: always (F, m, D), with D = 1 for the former."""
    values = values.unsqueeze(-1) if values.ndim == 2 else values
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
