"""TAP-Vid's measures: their definition, their limits, and the queries of the two modes."""

from dataclasses import replace

import pytest
import torch

from trokens.points.tapvid import THRESHOLDS, first_queries, query_points, score, strided_queries
from trokens.structures import Tracks

MODES = ("strided", "first")


def random_truth(seed: int, size: tuple[int, int] = (96, 128)) -> Tracks:
    draw = torch.Generator().manual_seed(seed)
    visibility = torch.rand(9, 12, generator=draw) > 0.4
    return Tracks(torch.rand(9, 12, 2, generator=draw) * 90, visibility,
                  torch.randint(9, (12,), generator=draw), torch.zeros(12, dtype=torch.long), size)


def still(xy: tuple[float, float] = (10, 20), num_frames: int = 4, num_points: int = 1,
          size: tuple[int, int] = (256, 256)) -> Tracks:
    """Points that rest, always visible, asked for in frame 0."""
    return Tracks(torch.tensor([xy]).float().expand(num_frames, num_points, 2),
                  torch.ones(num_frames, num_points, dtype=torch.bool), torch.zeros(num_points, dtype=torch.long),
                  torch.zeros(num_points, dtype=torch.long), size)


def by_the_book(xy, visibility, truth: Tracks, mode: str) -> tuple[float, float, float]:
    """The definition, position by position."""
    jaccards, deltas, same = [], [], []
    for threshold in THRESHOLDS:
        true_positive = false_positive = false_negative = near_of_visible = visible = 0
        for t in range(truth.num_positions):
            for n in range(truth.num_points):
                query = int(truth.query_frame[n])
                if t == query or (mode == "first" and t < query):
                    continue
                dx, dy = (float(xy[t, n, k] - truth.xy[t, n, k]) * 256 / truth.size[1 - k] for k in range(2))
                near = (dx * dx + dy * dy) ** 0.5 < threshold
                true, said = bool(truth.visibility[t, n]), bool(visibility[t, n])
                true_positive += true and said and near
                false_positive += said and not (true and near)
                false_negative += true and not (said and near)
                visible += true
                near_of_visible += true and near
                same.append(true == said)
        jaccards.append(true_positive / (true_positive + false_positive + false_negative))
        deltas.append(near_of_visible / visible)
    return sum(jaccards) / 5, sum(deltas) / 5, sum(same) / len(same)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_their_definition(mode, seed):
    truth, draw = random_truth(seed), torch.Generator().manual_seed(100 + seed)
    xy = truth.xy + torch.randn(truth.xy.shape, generator=draw) * torch.rand(9, 12, 1, generator=draw) * 8
    visibility = torch.rand(9, 12, generator=draw) > 0.3
    expected = by_the_book(xy, visibility, truth, mode)
    assert score(xy, visibility, truth, mode) == pytest.approx(expected, abs=1e-12)
    assert min(expected) > 0.05 and max(expected) < 0.95


@pytest.mark.parametrize("mode", MODES)
def test_a_perfect_prediction_scores_one(mode):
    truth = random_truth(5)
    assert score(truth.xy, truth.visibility, truth, mode) == (1, 1, 1)


@pytest.mark.parametrize("mode", MODES)
def test_calling_everything_hidden_scores_no_jaccard_and_leaves_delta(mode):
    truth = random_truth(6)
    jaccard, delta, occlusion = score(truth.xy, torch.zeros_like(truth.visibility), truth, mode)
    assert (jaccard, delta) == (0, 1) and 0.2 < occlusion < 0.6  # right where the truth is hidden


@pytest.mark.parametrize(("size", "shift"), [((256, 256), (3, 0)), ((128, 128), (0, 1.5)), ((240, 320), (3.75, 0)),
                                             ((256, 512), (6, 0))])
def test_three_pixels_on_the_raster_score_three_fifths(size, shift):
    truth = replace(random_truth(7), size=size)
    assert score(truth.xy + torch.tensor(shift), truth.visibility, truth, "strided") == pytest.approx((0.6, 0.6, 1))


def test_a_distance_of_just_the_threshold_is_too_far():
    for size, unit in ((256, 1), (320, 1.25), (64, 0.25)):  # pixels of the frame in one of the raster
        truth = still(size=(100, size))
        for k, threshold in enumerate(THRESHOLDS):
            at = score(truth.xy + torch.tensor([threshold * unit, 0]), truth.visibility, truth, "first")
            below = score(truth.xy + torch.tensor([threshold * unit * 0.999, 0]), truth.visibility, truth, "first")
            assert at.delta == pytest.approx((4 - k) / 5) and below.delta == pytest.approx((5 - k) / 5)


def test_a_visible_point_at_a_wrong_place_is_a_false_positive_and_a_false_negative():
    truth = still(num_frames=3, num_points=2)
    xy = truth.xy.clone()
    xy[:, 1] += 100
    # per threshold: 2 true positives, 2 false positives, 2 false negatives
    assert score(xy, truth.visibility, truth, "first") == pytest.approx((2 / 6, 1 / 2, 1))
    said = truth.visibility.clone()
    said[:, 1] = False  # now the false positives are gone
    assert score(xy, said, truth, "first") == pytest.approx((2 / 4, 1 / 2, 1 / 2))


def test_a_point_whose_frames_never_count_changes_nothing():
    truth = random_truth(8)
    truth = replace(truth, query_frame=truth.query_frame.clamp(max=7))
    xy, rest = truth.xy + 2, torch.arange(1, 12)
    late = replace(truth, query_frame=truth.query_frame.index_fill(0, torch.tensor([0]), 8))  # the last frame
    assert score(xy, truth.visibility, late, "first") == score(
        xy[:, rest], truth.visibility[:, rest], truth.select(rest), "first")
    with pytest.raises(ValueError, match="None of 1 points is visible in a frame that counts in mode 'first'"):
        score(xy[:, :1], truth.visibility[:, :1], late.select(torch.tensor([0])), "first")


def test_only_strided_queries_count_the_frames_before():
    truth = replace(still(num_frames=4), query_frame=torch.tensor([2]))
    xy = truth.xy.clone()
    xy[:2] += 50
    assert score(xy, truth.visibility, truth, "first").delta == 1
    assert score(xy, truth.visibility, truth, "strided").delta == pytest.approx(1 / 3)
    xy[2] += 50  # the query frame itself never counts
    assert score(xy, truth.visibility, truth, "first").delta == 1


def test_positions_that_are_no_numbers_are_wrong():
    truth = still(num_points=2)
    xy = truth.xy.clone()
    xy[:, 1] = torch.nan
    assert score(xy, truth.visibility, truth, "strided") == pytest.approx((3 / 9, 1 / 2, 1))


@pytest.mark.parametrize(("change", "message"), [
    ({"mode": "last"}, "Query mode 'last' is unknown; expected strided or first"),
    ({"xy": torch.zeros(3, 1, 2)}, r"xy is \(3, 1, 2\); expected \(T, N, 2\) with T=4"),
    ({"visibility": torch.ones(4, 2).bool()}, r"visibility is \(4, 2\)"),
    ({"truth": replace(still(), size=None)}, "no frame size")])
def test_what_does_not_fit_is_named(change, message):
    truth = still()
    arguments = {"xy": truth.xy, "visibility": truth.visibility, "truth": truth, "mode": "first"} | change
    with pytest.raises(ValueError, match=message):
        score(**arguments)


def test_queries_are_asked_where_the_truth_is_visible():
    visibility = torch.tensor([[0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]]).bool()
    xy = torch.arange(24.).view(4, 3, 2)
    truth = Tracks(xy, visibility, torch.zeros(3, dtype=torch.long), torch.tensor([7, 8, 9]), (20, 20))
    first = first_queries(truth)
    assert first.query_frame.tolist() == [1, 0] and first.cluster.tolist() == [7, 8]
    assert query_points(first).tolist() == [[1, 6, 7], [0, 2, 3]]
    second = strided_queries(truth, stride=1)
    assert second.query_frame.tolist() == [0, 1, 1, 3] and second.cluster.tolist() == [8, 7, 8, 7]
    assert query_points(second).tolist() == [[0, 2, 3], [1, 6, 7], [1, 8, 9], [3, 18, 19]]
    assert torch.equal(second.xy[:, 0], xy[:, 1])
    long = strided_queries(replace(random_truth(1), visibility=torch.ones(9, 12).bool()))
    assert long.query_frame.tolist() == [0] * 12 + [5] * 12
