"""Points without a tracker: chains of patches that are each other's nearest from frame to frame.

An ablation of Kumar et al., "Trokens", ICCV 2025 (https://arxiv.org/abs/2508.03695), which asks what a tracker brings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trokens.points.clustering import cosine
from trokens.points.geometry import normalize_tracks
from trokens.points.sampling import choose_points
from trokens.structures import Tracks


def mutual_matches(first: Tensor, second: Tensor) -> Tensor:
    """Match each patch of one frame to one of the next, where each is the most similar of its frame to the other.

    Args:
        first: Patch features of a frame, (..., P, D).
        second: Those of the next, (..., P, D).

    Returns:
        (..., P) long: the patch of ``second``, or -1 where the nearest one has a nearer one.
    """
    similarity = cosine(first, second)                                                       # (..., P, P)
    forth, back = similarity.argmax(-1), similarity.argmax(-2)
    is_mutual = back.gather(-1, forth) == torch.arange(first.shape[-2], device=first.device)
    return torch.where(is_mutual, forth, -1)


def mutual_chains(features: Tensor) -> Tracks:
    """Follow every patch of a clip from where it is first seen to where its match is no longer mutual.

    Args:
        features: Patch features of the clip's frames, (T, P, Q, D), on any device.

    Returns:
        On the CPU, a chain for every patch that continues none: P * Q of the first frame, then those that start later,
        in order of time. A position counts patches, in "frames" of size (P, Q); before and after its chain a point is
        hidden and stays where it was seen first and last. All are of one cluster.
    """
    frames, rows, columns, _ = features.shape
    patches = features.detach().float().flatten(1, 2)                                        # (T, P * Q, D)
    chain = torch.arange(rows * columns)
    chains, count = [chain], len(chain)
    for match in mutual_matches(patches[:-1], patches[1:]).cpu():
        following = torch.full_like(chain, -1)
        following[match[match >= 0]] = chain[match >= 0]
        new = following < 0
        following[new] = torch.arange(count, count + int(new.sum()))
        chain, count = following, count + int(new.sum())
        chains.append(chain)
    patch = torch.full((frames, count), -1)
    patch.scatter_(1, torch.stack(chains), torch.arange(rows * columns).expand(frames, -1))
    visibility = patch >= 0
    start = visibility.long().argmax(0)
    end = start + visibility.sum(0) - 1
    patch = patch.gather(0, torch.arange(frames)[:, None].clamp(start, end))
    xy = torch.stack([patch % columns, patch // columns], dim=-1).float()
    return Tracks(xy, visibility, start, torch.zeros(count, dtype=torch.long), (rows, columns))


def mutual_points(features: Tensor, seeds: Tensor, num_points: int, *, method: str = "random",
                  hod_clusters: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Choose points among the chains of each clip.

    Args:
        features: (B, T, P, Q, D).
        seeds: Of each clip's draw, (B,) long.
        num_points: N.
        method, hod_clusters: See :func:`trokens.points.sampling.choose_points`; without semantic clusters
            "cluster_sample" is "random".

    Returns:
        Tracks (B, T, N, 2) in [-1, 1], where reading features at a point gives those of its patch; visibility and query
        mask (B, T, N).
    """
    clips = []
    for clip, seed in zip(features, seeds.tolist(), strict=True):
        chains = mutual_chains(clip)
        chosen = choose_points(chains, num_points, method=method, hod_clusters=hod_clusters,
                               generator=torch.Generator().manual_seed(seed))
        clips.append(chains.select(chosen))
    tracks = torch.stack([normalize_tracks(clip.xy, clip.size, "centered") for clip in clips])
    visibility = torch.stack([clip.visibility for clip in clips])
    query_mask = torch.stack([torch.arange(len(clip.xy))[:, None] >= clip.query_frame for clip in clips])
    return tracks.to(features.device), visibility.to(features.device), query_mask.to(features.device)
