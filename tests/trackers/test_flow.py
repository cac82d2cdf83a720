"""The chained trackers on made-up motion, on odd frames, and on clips with ground truth."""

import pytest
import torch
from videos import panned, texture

from trokens.extraction.ground_truth import load_truth
from trokens.points.tapvid import query_points, score
from trokens.trackers import TRACKERS, flow
from trokens.trackers.flow import FlowTracker
from trokens.trackers.held import HeldFrames
from trokens.trackers.lucas_kanade import LucasKanadeTracker

BOTH = pytest.mark.parametrize("tracker", [FlowTracker, LucasKanadeTracker])


@BOTH
def test_points_follow_a_panned_texture_both_ways(tracker):
    query = torch.tensor([[4., 40.25, 30.5], [0, 25, 40], [7, 50, 30]])
    tracks, visibility, confidence = tracker().track(panned(), query)
    expected = query[:, 1:] + (torch.arange(8)[:, None, None] - query[:, :1]) * torch.tensor([3., -2])
    assert (tracks - expected).abs().max() < 0.2
    assert visibility.all() and confidence.min() > 0.9
    assert (tracks.dtype, visibility.dtype, confidence.dtype) == (torch.float32, torch.bool, torch.float32)


@BOTH
def test_the_query_row_is_exact_and_visible(tracker):
    generator = torch.Generator().manual_seed(3)
    query = torch.rand(50, 3, generator=generator) * torch.tensor([8, 90, 70]) - torch.tensor([0, 5, 3])  # some outside
    query[:, 0].floor_()
    tracks, visibility, confidence = tracker(max_side=50).track(panned(), query)
    t, n = query[:, 0].long(), torch.arange(50)
    assert torch.equal(tracks[t, n], query[:, 1:]) and visibility[t, n].all() and (confidence[t, n] == 1).all()


@BOTH
def test_a_point_that_leaves_the_frame_is_hidden_from_then_on(tracker):
    tracks, visibility, _ = tracker().track(panned(), torch.tensor([[0., 68, 40]]))
    assert visibility[:4].all() and not visibility[5:].any()
    assert tracks.isfinite().all()


def bar_over_a_texture() -> torch.Tensor:
    """Still texture; a bar of 16 pixels enters in frame 3 and moves right by 8 pixels a frame."""
    frames = panned(14, step=(0, 0))
    for t in range(3, 14):
        left = 8 * (t - 3)
        frames[t, :, left:left + 16] = texture(64, 16, seed=9)[:, :80 - left]
    return frames


def test_a_point_behind_a_bar_is_hidden_and_found_again():
    tracks, visibility, _ = FlowTracker().track(bar_over_a_texture(), torch.tensor([[0., 44, 30], [0, 70, 30]]))
    assert visibility[:7, 0].all() and not visibility[8, 0] and visibility[12:, 0].all()
    assert (tracks[12:, 0] - torch.tensor([44., 30])).abs().max() < 1


@BOTH
def test_a_visible_neighbor_carries_a_point_behind_a_bar(tracker):
    tracks, visibility, _ = tracker().track(bar_over_a_texture(), torch.tensor([[0., 70, 30], [0, 10, 30]]))
    assert visibility[:9, 0].all() and not visibility[10:13, 0].any() and visibility[13, 0]
    assert (tracks[:, 0] - torch.tensor([70., 30])).abs().max() < 1


@BOTH
def test_a_hidden_point_is_carried_by_its_own_cluster(tracker):
    still, moving = texture(64, 128), texture(64, 128, seed=1)
    frames = still.repeat(8, 1, 1, 1)
    for t in range(8):
        frames[t, 32:] = moving.roll(4 * t, 1)[32:]
        if t:
            frames[t, 24:40, 52 + 4 * t:76 + 4 * t] = 0  # covers the point, moving along
    query = torch.tensor([[0., 64, 33], [0, 64, 16], [0, 50, 16], [0, 78, 16], [0, 56, 52], [0, 72, 52], [0, 30, 46]])
    cluster = torch.tensor([5, 3, 3, 3, 5, 5, 5])
    tracks, visibility, _ = tracker().track(frames, query, cluster)
    assert not visibility[2:, 0].any()
    assert (tracks[7, 0] - torch.tensor([92., 33])).norm() < 3


@BOTH
def test_long_frames_are_tracked_reduced_and_reported_in_their_own_pixels(tracker):
    query = torch.tensor([[0., 30, 40], [1, 40, 30]])
    small, large = panned(3), panned(3).repeat_interleave(2, 1).repeat_interleave(2, 2)
    twice = torch.cat([query[:, :1], query[:, 1:] * 2 + 0.5], dim=1)
    expected = tracker().track(small, query).tracks * 2 + 0.5
    torch.testing.assert_close(tracker(max_side=80).track(large, twice).tracks, expected, atol=1e-3, rtol=0)


@BOTH
@pytest.mark.parametrize("size", [(16, 16), (16, 300), (24, 200), (200, 24), (65, 33)])
def test_small_and_thin_frames_are_tracked(tracker, size):
    query = torch.tensor([[1., 8, 8], [0, 3, 12], [3, size[1] - 1, size[0] - 1]])
    tracks, visibility, _ = tracker().track(panned(4, *size, step=(1, 0)), query)
    assert tracks.isfinite().all() and tracks.shape == (4, 3, 2) and visibility.shape == (4, 3)
    assert abs(tracks[2, 0, 0] - 9) < 0.5


@BOTH
def test_one_frame_and_no_points_are_fine(tracker):
    tracks, visibility, _ = tracker().track(panned(1), torch.tensor([[0., 5, 6]]))
    assert tracks.tolist() == [[[5, 6]]] and visibility.all()
    assert tracker().track(panned(3), torch.zeros(0, 3)).tracks.shape == (3, 0, 2)


def test_flat_frames_give_still_points():
    tracks, visibility, _ = FlowTracker().track(torch.full((4, 40, 40, 3), 128, dtype=torch.uint8),
                                                torch.tensor([[1., 20, 20]]))
    assert (tracks - 20).abs().max() < 1e-3 and visibility.all()


@BOTH
def test_the_same_input_gives_the_same_bits(tracker):
    query = torch.tensor([[2., 30.5, 40.25], [0, 20, 20]])
    first, second = (tracker().track(bar_over_a_texture(), query) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@BOTH
@pytest.mark.parametrize("size", [(64, 80), (90, 50)])
def test_reduced_frames_give_the_bits_of_those_that_they_are_made_of(tracker, size, tmp_path):
    made, frames = tracker(max_side=60), panned(8, *size)
    query, cluster = torch.tensor([[4., 40.25, 30.5], [0, 25, 40], [7, 30, 30]]), torch.tensor([0, 1, 1])
    expected = made.track(frames, query, cluster)
    held = HeldFrames(tmp_path, 8, in_memory=0)
    for frame in frames.numpy():
        held.append(made.reduce(frame))
    assert max(held[0].shape) == 60
    for small, whole in zip(made.track_reduced(held, size, query, cluster), expected, strict=True):
        assert torch.equal(small, whole)


@pytest.mark.parametrize(("kept", "computed"), [(100, 13), (13, 13), (5, 21), (0, 25)])
def test_flow_beyond_its_share_of_memory_is_computed_again_and_gives_the_same_bits(monkeypatch, kept, computed):
    frames, query = bar_over_a_texture(), torch.tensor([[13., 30.5, 40.25], [0, 20, 20], [6, 44, 30]])
    expected, counted = FlowTracker().track(frames, query), []

    class Counting(flow.DenseFlow):
        def __call__(self, before, after):
            counted.append(before)
            return super().__call__(before, after)

    monkeypatch.setattr(flow, "DenseFlow", Counting)
    monkeypatch.setattr(flow, "KEPT_FIELDS", kept * 8 * 64 * 80)
    result = FlowTracker().track(frames, query)
    assert len(counted) == 2 * computed  # there and back there are 13 pairs of frames each
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


@pytest.mark.parametrize(("query", "message"), [
    ([[8., 1, 1]], "frame 8; 8 frames are numbered 0 to 7"), ([[0.5, 1, 1]], "frame 0.5"), ([[-1., 1, 1]], "frame -1"),
    ([[0, float("nan"), 1]], "finite"), ([[0., 1]], "expected \\(N, 3\\)")])
def test_impossible_queries_are_named(query, message):
    with pytest.raises(ValueError, match=message):
        TRACKERS.get("flow")().track(panned(), torch.tensor(query))


@pytest.mark.parametrize(("name", "least_jaccard", "least_delta"),
                         [("easy_0", 0.84, 0.94), ("medium_0", 0.72, 0.87), ("hard_0", 0.50, 0.65)])
def test_scores_on_clips_with_ground_truth(real_clips, name, least_jaccard, least_delta):
    frames, truth = load_truth(real_clips / "tap" / f"{name}.mp4")
    result = FlowTracker().track(frames, query_points(truth))
    scores = score(result.tracks, result.visibility, truth, "strided")
    assert scores.jaccard > least_jaccard and scores.delta > least_delta, scores
