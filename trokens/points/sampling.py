"""Which N of a video's points become tokens.

``cluster_sample`` is the paper's semantic-aware sampling; ``hod`` spreads the points over kinds of motion,
``hod_obj_id`` over kinds of motion of the semantic clusters, ``stratified`` over lengths
of travel. All randomness comes from the caller's generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from trokens.points.hod import hod
from trokens.structures import Tracks, check_choice

SAMPLING_TYPES = ("cluster_sample", "random", "stratified", "hod", "hod_obj_id")


def text_seed(text: str) -> int:
    """A seed that follows from a text, such as a clip's id: the first 8 bytes of its SHA-256, in [0, 2**64)."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big")


def choose_points(tracks: Tracks, num_points: int, *, method: str, generator: Generator,
                  hod_clusters: int = 16) -> Tensor:
    """Choose points for one clip.

    Args:
        tracks: All M points of the clip.
        num_points: N, the number to choose.
        method: One of SAMPLING_TYPES.
        generator: Source of all randomness.
        hod_clusters: Motion groups of ``hod`` and ``hod_obj_id``.

    Returns:
        Indices of points, (N,) long: the distinct ones ascending, repeats after them. Repeats occur where the clip has
        fewer than N points (then each is chosen), and where ``cluster_sample`` asks a cluster for more than it has.

    Raises:
        ValueError: Unknown ``method``, N below 1, or a clip without points.
    """
    check_choice("method", method, SAMPLING_TYPES)
    if method == "cluster_sample" or not 1 <= num_points < tracks.num_points:  # without a choice, all are the same
        return sample_points(tracks.cluster, num_points, generator)
    if method == "random":
        chosen = _uniform(torch.arange(tracks.num_points), num_points, generator)
    elif method == "stratified":
        bins = _histogram_bin(traveled_distance(tracks.xy, tracks.visibility))
        chosen = _from_groups(bins, num_points, generator, lambda members, n: _uniform(members, n, generator))
    else:
        groups = _motion_groups(tracks, hod_clusters, by_cluster=method == "hod_obj_id")
        chosen = _from_groups(groups, num_points, generator,
                              lambda members, n: members[_even_over(tracks.cluster[members], n, generator)])
    return chosen.sort().values


def sample_points(clusters: Tensor, num_points: int, generator: Generator) -> Tensor:
    """Choose points so that every semantic cluster is present and large ones get more (the paper's sampling).

    Every cluster gets 1 point. What is left of the budget is shared in proportion to cluster size, rounded down; the
    rest goes, point by point, to clusters drawn by size. With fewer points than clusters, that many clusters are drawn
    by size, one point each. A cluster smaller than its share gives all its points, and what is missing is drawn from
    the chosen points.

    Args:
        clusters: Cluster of every point, (M,) integers of any value.
        num_points: N, the number to choose.
        generator: Source of all randomness.

    Returns:
        Indices of points, (N,) long: the distinct ones ascending, repeats after them.

    Raises:
        ValueError: N below 1, or no points.
    """
    if num_points < 1 or not len(clusters):
        raise ValueError(f"Cannot choose {num_points} of {len(clusters)} points; both have to be at least 1.")
    chosen = torch.arange(len(clusters))
    if num_points < len(clusters):
        _, own, sizes = torch.unique(clusters, return_inverse=True, return_counts=True)
        quotas = _quotas(sizes, num_points, generator).tolist()
        by_cluster = own.argsort(stable=True).split(sizes.tolist())
        chosen = torch.cat([_uniform(members, n, generator)
                            for members, n in zip(by_cluster, quotas, strict=True) if n > 0]).sort().values
    repeats = torch.randint(len(chosen), (num_points - len(chosen),), generator=generator)
    return torch.cat([chosen, chosen[repeats]])


def traveled_distance(xy: Tensor, visibility: Tensor) -> Tensor:
    """Length of each point's path through the positions at which it is visible, straight where it is hidden.

    Args:
        xy: (T, N, 2).
        visibility: (T, N) bool; a position with a NaN counts as hidden.

    Returns:
        (N,), in the unit of ``xy``; 0 for a point that is never visible.
    """
    seen = visibility & xy.isfinite().all(-1)
    position = torch.arange(len(xy)).unsqueeze(1)  # (T, 1)
    latest = position.where(seen, -1).cummax(0).values  # (T, N), -1 before the first sighting
    first = position.where(seen, len(xy) - 1).amin(0)  # (N,)
    held = latest.where(latest >= 0, first)  # (T, N)
    path = xy.gather(0, held.unsqueeze(-1).expand_as(xy))
    length = path.diff(dim=0).norm(dim=-1).sum(0)
    return length.where(seen.any(0), 0.0)


def _uniform(points: Tensor, count: int, generator: Generator) -> Tensor:
    """``count`` of ``points`` without replacement, or all where there are fewer; in random order."""
    return points[torch.randperm(len(points), generator=generator)[:count]]


def _quotas(sizes: Tensor, num_points: int, generator: Generator) -> Tensor:
    """Points that each cluster shall give, (C,), ``num_points`` together."""
    weights = sizes.double()
    if num_points < len(sizes):
        drawn = torch.multinomial(weights, num_points, generator=generator)
        return torch.zeros_like(sizes).index_fill_(0, drawn, 1)
    budget = num_points - len(sizes)
    quotas = 1 + budget * sizes // sizes.sum()
    rest = num_points - int(quotas.sum())
    if rest:
        drawn = torch.multinomial(weights, rest, replacement=True, generator=generator)
        quotas += torch.bincount(drawn, minlength=len(sizes))
    return quotas


def _from_groups(group: Tensor, num_points: int, generator: Generator,
                 take: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Equally many points from every group by ``take(members, count)``, the rest uniformly from those left."""
    names = group.unique()
    share = num_points // len(names)
    chosen = torch.cat([take((group == name).nonzero().flatten(), share) for name in names])
    left = torch.ones(len(group), dtype=torch.bool).index_fill_(0, chosen, False).nonzero().flatten()
    return torch.cat([chosen, _uniform(left, num_points - len(chosen), generator)])


def _even_over(cluster: Tensor, count: int, generator: Generator) -> Tensor:
    """``count`` indices spread over the clusters as evenly as their sizes allow: in turns, one from each cluster."""
    order = torch.randperm(len(cluster), generator=generator)
    names, own = torch.unique(cluster[order], return_inverse=True)
    member = own.unsqueeze(1) == torch.arange(len(names))  # (M, C)
    turn = member.cumsum(0)[member]  # a point's number among its cluster's, in random order
    precedence = torch.randperm(len(names), generator=generator)[own]
    return order[torch.argsort(turn * len(names) + precedence)[:count]]


def _histogram_bin(values: Tensor) -> Tensor:
    """Bin of each value in numpy's automatic histogram, (M,)."""
    numbers = values.double().numpy()
    edges = np.histogram_bin_edges(numbers, bins="auto")
    return torch.from_numpy(np.searchsorted(edges[1:-1], numbers, side="right"))


def _motion_groups(tracks: Tracks, num_groups: int, *, by_cluster: bool) -> Tensor:
    """Group of each point by HoD, (M,): of its own track, or of its semantic cluster's mean track."""
    xy = tracks.xy.where(tracks.xy.isfinite(), torch.nan)  # HoD passes over NaN
    own = torch.arange(tracks.num_points)
    if by_cluster:
        names, own = torch.unique(tracks.cluster, return_inverse=True)
        xy = torch.stack([xy[:, own == c].nanmean(1) for c in range(len(names))], dim=1)
    histogram = hod(xy[::4].transpose(0, 1), bins=32, per_frame=False)  # (M, 32)
    group = torch.empty(len(histogram), dtype=torch.long)
    for number, members in enumerate(_split_by_spread(histogram, num_groups)):
        group[members] = number
    return group[own]


def _split_by_spread(features: Tensor, num_groups: int) -> list[Tensor]:
    """Cut the group of largest spread in two, again and again; identical features (M, D) stay together.

    Average linkage of a group alone gives the same tree as the group's branch in the tree of all points, so one tree
    serves every cut.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # take a moment to import
    from scipy.spatial.distance import squareform

    count = len(features)
    distance = torch.cdist(features, features, p=1)  # (M, M)
    groups, spreads = [torch.arange(count)], [_spread(features, distance)]
    if max(spreads) > 0:
        tree = linkage(squareform(distance.numpy(), checks=False), "average")
        leaves = torch.from_numpy(leaves_list(tree)).long()  # those of every node lie side by side
        children, sizes = tree[:, :2].astype(int).tolist(), [1] * count + tree[:, 3].astype(int).tolist()
        nodes = [(2 * count - 2, 0)]  # and where its leaves begin; node M + i joins the two nodes of row i
    while len(groups) < num_groups and max(spreads) > 0:
        widest = spreads.index(max(spreads))
        for table in (groups, spreads):
            table.pop(widest)
        node, start = nodes.pop(widest)
        for child in children[node - count]:
            members = leaves[start:start + sizes[child]].sort().values
            groups.append(members)
            nodes.append((child, start))
            spreads.append(_spread(features[members], distance.index_select(0, members).index_select(1, members)))
            start += sizes[child]
    return groups


def _spread(features: Tensor, distance: Tensor) -> float:
    """0.4 largest L1 distance + 0.4 summed variance + 0.2 mean L1 distance of (m, D) features, (m, m) apart."""
    count = len(features)
    if count == 1:
        return 0.0
    mean = distance.sum() / (count * (count - 1))
    return float(0.4 * distance.max() + 0.4 * features.var(0, unbiased=False).sum() + 0.2 * mean)
