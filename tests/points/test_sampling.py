import hashlib

import numpy as np
import pytest
import torch

from trokens.points.sampling import (
    SAMPLING_TYPES,
    _even_over,
    _histogram_bin,
    _motion_groups,
    _quotas,
    _split_by_spread,
    _spread,
    choose_points,
    sample_points,
    text_seed,
    traveled_distance,
)
from trokens.structures import Tracks


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters_of(*sizes: int) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(sizes)) * 3, torch.tensor(sizes))  # ids need not be 0, 1, 2


def make_tracks(xy: torch.Tensor, visibility: torch.Tensor | None = None,
                cluster: torch.Tensor | None = None) -> Tracks:
    points = xy.shape[1]
    return Tracks(xy, torch.ones(xy.shape[:2], dtype=torch.bool) if visibility is None else visibility,
                  torch.zeros(points, dtype=torch.long),
                  torch.zeros(points, dtype=torch.long) if cluster is None else cluster)


def random_tracks(positions: int = 20, points: int = 90) -> Tracks:
    g = rng(5)
    return make_tracks(torch.randn(positions, points, 2, generator=g).cumsum(0),
                       torch.rand(positions, points, generator=g) > 0.3, torch.randint(6, (points,), generator=g))


def counts(chosen: torch.Tensor, clusters: torch.Tensor) -> list[int]:
    return torch.stack([(clusters[chosen] == c).sum() for c in clusters.unique()]).tolist()


def assert_ordered(chosen: torch.Tensor, num_points: int) -> int:
    """Distinct ones ascending, repeats of them after; returns the number of distinct ones."""
    distinct = len(chosen.unique())
    assert chosen.shape == (num_points,) and chosen.dtype == torch.long
    assert torch.equal(chosen[:distinct], chosen.unique())
    return distinct


def one_cluster_after_the_other(clusters: torch.Tensor, num_points: int, generator: torch.Generator) -> torch.Tensor:
    """The definition of cluster_sample, whose draws trained runs repeat."""
    chosen = []
    for name, quota in zip(clusters.unique(), _quotas(clusters.unique(return_counts=True)[1], num_points, generator),
                           strict=True):
        members = (clusters == name).nonzero().flatten()
        if quota:
            chosen.append(members[torch.randperm(len(members), generator=generator)[:quota]])
    chosen = torch.cat(chosen).sort().values
    return torch.cat([chosen, chosen[torch.randint(len(chosen), (num_points - len(chosen),), generator=generator)]])


@pytest.mark.parametrize("num_points", [3, 20, 64, 256])
def test_cluster_sample_equals_its_definition_bit_for_bit(num_points):
    for seed in range(20):
        clusters = torch.randint(-5, 30, (300,), generator=rng(seed)) ** 2
        assert sample_points(clusters, num_points, rng(seed)).equal(
            one_cluster_after_the_other(clusters, num_points, rng(seed)))


def test_shares_are_proportional_where_they_come_out_even():
    # 3 clusters: 3 of 12 points go one to each, 9 are left for 18 points: 1/2 a point
    clusters = clusters_of(10, 6, 2)
    for seed in range(20):
        assert counts(sample_points(clusters, 12, rng(seed)), clusters) == [6, 4, 2]


def test_the_rest_goes_to_clusters_drawn_by_size():
    # 8 left of 10: 8 * 70 / 100 = 5.6 and 2.4, so 6 and 3, and one more for either
    sizes = torch.tensor([70, 30])
    drawn = torch.stack([_quotas(sizes, 10, rng(seed)) for seed in range(2000)])
    assert set(map(tuple, drawn.tolist())) == {(7, 3), (6, 4)}
    assert (drawn[:, 0] == 7).double().mean() == pytest.approx(0.7, abs=0.04)


def test_every_cluster_gets_a_point_and_its_rounded_down_share():
    clusters = clusters_of(200, 1, 1, 50, 1, 30)
    sizes = torch.tensor([200, 1, 1, 50, 1, 30])
    least = torch.minimum(1 + (32 - 6) * sizes // 283, sizes)
    for seed in range(50):
        chosen = sample_points(clusters, 32, rng(seed))
        assert_ordered(chosen, 32)
        assert (torch.tensor(counts(chosen, clusters)) >= least).all()


def test_with_as_many_points_as_clusters_each_gets_one():
    clusters = clusters_of(100, 5, 1, 1)
    assert counts(sample_points(clusters, 4, rng()), clusters) == [1, 1, 1, 1]


def test_fewer_points_than_clusters_draws_distinct_clusters_by_size():
    clusters = clusters_of(60, 30, 5, 5)
    drawn = torch.tensor([counts(sample_points(clusters, 1, rng(seed)), clusters) for seed in range(1500)])
    assert drawn.double().mean(0).tolist() == pytest.approx([0.6, 0.3, 0.05, 0.05], abs=0.04)
    for seed in range(50):
        pair = counts(sample_points(clusters, 2, rng(seed)), clusters)
        assert sum(pair) == 2 and max(pair) == 1


def test_a_cluster_smaller_than_its_share_gives_all_and_the_rest_repeats_chosen_points():
    # 2 left of 4, a rest of one: cluster 3 is asked for 2 points now and then, and has 1
    clusters = clusters_of(5, 1)
    shares = {tuple(_quotas(torch.tensor([5, 1]), 4, rng(seed)).tolist()) for seed in range(100)}
    assert shares == {(2, 2), (3, 1)}
    repeats = 0
    for seed in range(100):
        chosen = sample_points(clusters, 4, rng(seed))
        repeats += 4 - assert_ordered(chosen, 4)
        assert 5 in chosen
    assert 0 < repeats < 60


def test_expected_counts_follow_cluster_size():
    clusters = clusters_of(400, 250, 100, 50)
    mean = torch.tensor([counts(sample_points(clusters, 50, rng(seed)), clusters) for seed in range(300)]).double()
    floor = 1 + 46 * torch.tensor([400, 250, 100, 50]) // 800
    expected = floor + (50 - floor.sum()) * torch.tensor([400, 250, 100, 50]) / 800
    assert mean.mean(0).tolist() == pytest.approx(expected.tolist(), abs=0.15)


def test_points_of_a_cluster_are_equally_likely():
    clusters = clusters_of(12, 6)
    hits = torch.zeros(18)
    for seed in range(1500):
        hits[sample_points(clusters, 8, rng(seed))] += 1
    assert hits[:12].std() < 0.06 * hits[:12].mean() and hits[12:].std() < 0.06 * hits[12:].mean()


@pytest.mark.parametrize("method", SAMPLING_TYPES)
@pytest.mark.parametrize("num_points", [1, 7, 64, 90, 200])
def test_n_indices_come_out_distinct_ones_ascending(method, num_points):
    distinct = assert_ordered(choose_points(random_tracks(), num_points, method=method, generator=rng()), num_points)
    assert distinct == min(num_points, 90)


@pytest.mark.parametrize("method", SAMPLING_TYPES)
def test_draws_depend_on_the_generator_alone(method):
    tracks = random_tracks()
    draw = [choose_points(tracks, 24, method=method, generator=rng(seed)).tolist() for seed in (1, 1, 2)]
    torch.manual_seed(3)
    np.random.seed(3)
    draw.append(choose_points(tracks, 24, method=method, generator=rng(1)).tolist())
    assert draw[0] == draw[1] == draw[3] != draw[2]


@pytest.mark.parametrize("method", SAMPLING_TYPES)
def test_odd_files_do_not_stop_a_draw(method):
    broken = torch.randn(9, 40, 2, generator=rng())
    broken[3:, 5], broken[:, 6], broken[2, 7, 0] = torch.nan, torch.nan, torch.inf
    everywhere = torch.full((9, 40, 2), torch.nan)
    hidden = torch.zeros(9, 40, dtype=torch.bool)
    clusters = torch.arange(40) // 5
    for tracks in (make_tracks(broken, cluster=clusters), make_tracks(broken, hidden, clusters),
                   make_tracks(everywhere), make_tracks(torch.zeros(9, 40, 2)), make_tracks(torch.randn(1, 40, 2)),
                   make_tracks(torch.randn(9, 40, 2), cluster=torch.arange(40))):
        assert assert_ordered(choose_points(tracks, 16, method=method, generator=rng()), 16) == 16


@pytest.mark.parametrize("method", SAMPLING_TYPES)
def test_a_file_of_one_point_repeats_it(method):
    assert choose_points(make_tracks(torch.zeros(4, 1, 2)), 3, method=method, generator=rng()).tolist() == [0, 0, 0]


def test_impossible_requests_are_named():
    with pytest.raises(ValueError, match="method is 'cluster'; expected one of cluster_sample"):
        choose_points(random_tracks(), 4, method="cluster", generator=rng())
    with pytest.raises(ValueError, match="4 of 0 points"):
        choose_points(make_tracks(torch.zeros(4, 0, 2)), 4, method="random", generator=rng())
    with pytest.raises(ValueError, match="0 of 90 points"):
        choose_points(random_tracks(), 0, method="hod", generator=rng())


def test_random_points_are_equally_likely():
    hits = torch.zeros(20)
    for seed in range(2000):
        hits[choose_points(random_tracks(2, 20), 5, method="random", generator=rng(seed))] += 1
    assert hits.sum() == 10000 and hits.std() < 0.06 * hits.mean()


def test_traveled_distance_counts_visible_positions_only():
    xy = torch.tensor([[0.0, 0], [3, 4], [100, 100], [6, 8], [50, 50]]).unsqueeze(1).repeat(1, 3, 1)
    visibility = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]).bool().T
    assert traveled_distance(xy, visibility).tolist() == [10, 5, 0]
    xy[1, 0] = torch.nan
    assert traveled_distance(xy, visibility).tolist() == [10, 5, 0]


def test_histogram_bins_are_numpys():
    values = torch.randn(500, generator=rng()).abs()
    expected, _ = np.histogram(values.double().numpy(), bins="auto")
    assert torch.bincount(_histogram_bin(values), minlength=len(expected)).tolist() == expected.tolist()
    assert _histogram_bin(torch.full((5,), 2.0)).tolist() == [0] * 5


def test_stratified_takes_equally_many_of_every_travel_length():
    steps = torch.cat([torch.full((180,), 1.0), torch.full((20,), 5.0)])
    tracks = make_tracks(torch.arange(6.0)[:, None, None] * steps[:, None] * torch.tensor([1.0, 0]))
    for seed in range(10):
        chosen = choose_points(tracks, 20, method="stratified", generator=rng(seed))
        assert (chosen >= 180).sum() == 10
    assert (choose_points(tracks, 60, method="stratified", generator=rng()) >= 180).sum() == 20  # all there are


def four_motions(per_motion: tuple[int, ...] = (60, 20, 10, 6)) -> Tracks:
    directions = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    motion = torch.repeat_interleave(torch.arange(4), torch.tensor(per_motion))
    speed = 3 + torch.rand(len(motion), generator=rng()) * 0.2
    xy = torch.arange(17.0)[:, None, None] * (directions[motion] * speed[:, None])
    return make_tracks(xy + torch.rand(1, len(motion), 2, generator=rng()) * 90, cluster=torch.arange(len(motion)) % 3)


@pytest.mark.parametrize("method", ["hod", "hod_obj_id"])
def test_hod_takes_equally_many_of_every_motion(method):
    tracks = four_motions()
    motion = torch.repeat_interleave(torch.arange(4), torch.tensor([60, 20, 10, 6]))
    if method == "hod_obj_id":
        tracks = make_tracks(tracks.xy, cluster=motion)
    chosen = choose_points(tracks, 24, method=method, generator=rng(), hod_clusters=4)
    assert torch.bincount(motion[chosen]).tolist() == [6, 6, 6, 6]
    chosen = choose_points(tracks, 40, method=method, generator=rng(), hod_clusters=4)
    taken = torch.bincount(motion[chosen])
    assert taken[3] == 6 and taken[2] == 10 and taken[:2].min() >= 10  # all there are, then from the others


def test_hod_spreads_a_motions_points_over_its_semantic_clusters():
    tracks = four_motions()
    motion = torch.repeat_interleave(torch.arange(4), torch.tensor([60, 20, 10, 6]))
    for seed in range(10):
        chosen = choose_points(tracks, 24, method="hod", generator=rng(seed), hod_clusters=4)
        for m in range(4):
            assert torch.bincount(tracks.cluster[chosen[motion[chosen] == m]]).tolist() == [2, 2, 2]


def test_even_over_lets_small_clusters_give_what_they_have():
    cluster = torch.tensor([7] * 10 + [8] * 2 + [9] * 10)
    for seed in range(20):
        assert sorted(counts(_even_over(cluster, 12, rng(seed)), cluster)) == [2, 5, 5]


def test_hod_groups_of_mean_tracks_hold_whole_semantic_clusters():
    tracks = random_tracks()
    groups = _motion_groups(tracks, 3, by_cluster=True)
    assert len(groups.unique()) == 3
    assert all(len(groups[tracks.cluster == c].unique()) == 1 for c in tracks.cluster.unique())


def test_one_tree_cuts_as_clustering_every_group_anew_does():
    from sklearn.cluster import AgglomerativeClustering

    features = torch.randn(80, 32, generator=rng()).abs()

    def spread(members: torch.Tensor) -> float:
        return _spread(features[members], torch.cdist(features[members], features[members], p=1))

    groups = [torch.arange(80)]
    while len(groups) < 12:
        members = groups.pop(max(range(len(groups)), key=lambda i: spread(groups[i])))
        cut = AgglomerativeClustering(2, metric="l1", linkage="average").fit_predict(features[members])
        groups += [members[torch.from_numpy(cut == side)] for side in (0, 1)]
    found = _split_by_spread(features, 12)
    assert {tuple(g.tolist()) for g in found} == {tuple(g.tolist()) for g in groups}


def cut_plainly(features: torch.Tensor, num_groups: int) -> list[list[int]]:
    """Walk down scikit-learn's tree of all points, always from the node of largest spread."""
    from sklearn.cluster import AgglomerativeClustering

    count, distance = len(features), torch.cdist(features, features, p=1)
    tree = AgglomerativeClustering(metric="precomputed", linkage="average", compute_full_tree=True)
    children = tree.fit(distance.numpy()).children_.tolist()

    def leaves(node: int) -> list[int]:
        return [node] if node < count else sorted(x for child in children[node - count] for x in leaves(child))

    def spread(node: int) -> float:
        members = torch.tensor(leaves(node))
        return _spread(features[members], distance[members[:, None], members])

    nodes = [2 * count - 2]
    while len(nodes) < num_groups and max(map(spread, nodes)) > 0:
        widest = max(nodes, key=spread)
        nodes.remove(widest)
        nodes += children[widest - count]
    return [leaves(node) for node in nodes]


@pytest.mark.parametrize(("points", "kinds"), [(2, 2), (60, 60), (60, 7), (150, 150)])
def test_groups_are_those_of_the_plain_way_and_in_its_order(points, kinds):
    for seed in range(3):
        features = torch.randn(kinds, 32, generator=rng(seed)).abs()[torch.randint(kinds, (points,), generator=rng(1))]
        assert [group.tolist() for group in _split_by_spread(features, 16)] == cut_plainly(features, 16)


def test_spread_is_its_definition():
    features = torch.tensor([[0.0, 0], [1, 0], [0, 3]])
    # L1 distances 1, 3, 4; variances 2/9 and 2
    assert _spread(features, torch.cdist(features, features, p=1)) == pytest.approx(
        0.4 * 4 + 0.4 * (2 / 9 + 2) + 0.2 * 8 / 3)


def test_points_that_move_alike_stay_one_group():
    assert len(_split_by_spread(torch.ones(10, 32), 4)) == 1
    assert len(_split_by_spread(torch.ones(1, 32), 4)) == 1


def test_a_clips_seed_is_the_start_of_its_ids_hash():
    assert text_seed("78687") == int(hashlib.sha256(b"78687").hexdigest()[:16], 16)
    assert text_seed("\udcff") == int(hashlib.sha256(b"\xff").hexdigest()[:16], 16)  # a name of a file may be no text
    generator = torch.Generator().manual_seed(text_seed("78687"))
    assert torch.equal(sample_points(clusters_of(9, 9), 5, generator),
                       sample_points(clusters_of(9, 9), 5, rng(text_seed("78687"))))
