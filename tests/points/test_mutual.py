"""Chains of mutual nearest patches against plain loops."""

import pytest
import torch

from trokens.models.tokens import sample_features
from trokens.points.mutual import mutual_chains, mutual_matches, mutual_points


def plain_chains(features: torch.Tensor) -> dict[tuple[int, int], list[int]]:
    """First frame and patch of a chain -> its patches."""
    frames = [list(frame.flatten(0, 1)) for frame in features]

    def nearest(patch, others):
        return max(range(len(others)), key=lambda i: torch.cosine_similarity(patch, others[i], dim=0).item())

    chains = {(t, p): [p] for t, frame in enumerate(frames) for p in range(len(frame))}
    for t, p in sorted(chains):
        if (t, p) not in chains:
            continue  # another chain goes on through this patch
        for here, there in zip(frames[t:], frames[t + 1:], strict=False):
            patch = chains[t, p][-1]
            match = nearest(here[patch], there)
            if nearest(there[match], here) != patch:
                break
            del chains[t + len(chains[t, p]), match]
            chains[t, p].append(match)
    return chains


@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_chains_are_those_of_plain_loops(noise):
    g = torch.Generator().manual_seed(0)
    scene = torch.randn(1, 4, 5, 8, generator=g)
    features = torch.cat([scene.roll(t, dims=2) for t in range(6)]) + noise * torch.randn(6, 4, 5, 8, generator=g)
    chains, plain = mutual_chains(features), plain_chains(features)
    assert chains.num_points == len(plain) and chains.size == (4, 5) and not chains.cluster.any()
    for n, ((start, _), patches) in enumerate(plain.items()):
        seen = torch.arange(start, start + len(patches))
        assert chains.query_frame[n] == start and chains.visibility[:, n].nonzero()[:, 0].tolist() == seen.tolist()
        places = torch.tensor([[patch % 5, patch // 5] for patch in patches])
        assert torch.equal(chains.xy[seen, n], places.float())
        assert (chains.xy[:start, n] == places[0]).all() and (chains.xy[start + len(patches):, n] == places[-1]).all()
    assert torch.equal(chains.visibility.sum(1), torch.full((6,), 20))  # each patch is on one chain


def test_a_match_is_mutual():
    first = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    second = torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.5, 0.5]])
    assert mutual_matches(first, second).tolist() == [1, -1, 0]


def test_a_shift_is_followed():
    features = torch.stack([torch.eye(25).unflatten(0, (5, 5)).roll(t, dims=1) for t in range(4)])
    chains = mutual_chains(features)
    assert chains.num_points == 25 and chains.visibility.all()
    assert torch.equal(chains.xy[:, 0], torch.tensor([[t, 0] for t in range(4)]).float())


@pytest.mark.parametrize("method", ["random", "cluster_sample", "stratified", "hod", "hod_obj_id"])
def test_points_are_chosen_by_each_clips_seed_and_read_their_own_patches(method):
    features = torch.randn(3, 6, 4, 5, 8, generator=torch.Generator().manual_seed(0))
    seeds = torch.tensor([3, 1, 2**63 - 1])
    tracks, visibility, query_mask = mutual_points(features, seeds, 12, method=method)
    assert tracks.shape == (3, 6, 12, 2) and tracks.abs().max() <= 1 and (visibility <= query_mask).all()
    assert (visibility.any(1) & query_mask[:, -1]).all()
    for alone, together in zip(mutual_points(features[1:2], seeds[1:2], 12, method=method),
                               (tracks, visibility, query_mask), strict=True):
        assert torch.equal(alone[0], together[1])  # whatever clips it shares a batch with
    read = sample_features(features, tracks)
    row, column = ((tracks[..., axis] + 1) / 2 * (side - 1) for axis, side in ((1, 4), (0, 5)))
    row, column = row.round().long(), column.round().long()
    clip, frame = torch.arange(3)[:, None, None], torch.arange(6)[:, None]
    assert torch.equal(read, features[clip, frame, row, column])


def test_more_points_than_chains_repeat():
    tracks, *_ = mutual_points(torch.eye(4).view(1, 1, 2, 2, 4).repeat(1, 3, 1, 1, 1), torch.tensor([0]), 9)
    assert tracks.shape == (1, 3, 9, 2) and len(tracks[0, 0].unique(dim=0)) == 4
