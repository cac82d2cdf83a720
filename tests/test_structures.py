"""The values that cross module borders."""

import pytest
import torch

from trokens.structures import Clips, Episode, Tracks


def tracks(positions=5, points=4, **changes) -> Tracks:
    values = {"xy": torch.randn(positions, points, 2), "visibility": torch.ones(positions, points, dtype=torch.bool),
              "query_frame": torch.arange(points), "cluster": torch.arange(points) // 2}
    return Tracks(**(values | changes))


def clips(count=3, **changes) -> Clips:
    values = {"video": torch.zeros(count, 2, 3, 8, 8, dtype=torch.uint8), "tracks": torch.zeros(count, 2, 4, 2),
              "visibility": torch.ones(count, 2, 4, dtype=torch.bool),
              "query_mask": torch.ones(count, 2, 4, dtype=torch.bool), "class_id": torch.arange(count),
              "index": torch.arange(count)}
    return Clips(**(values | changes))


def test_selected_points_keep_their_values_in_the_given_order():
    whole = tracks()
    chosen = whole.select(torch.tensor([3, 0, 0]))
    assert chosen.num_points == 3 and chosen.num_positions == 5
    assert torch.equal(chosen.xy, torch.stack([whole.xy[:, 3], whole.xy[:, 0], whole.xy[:, 0]], 1))
    assert chosen.query_frame.tolist() == [3, 0, 0] and chosen.cluster.tolist() == [1, 0, 0]


@pytest.mark.parametrize(("build", "message"), [
    (lambda: tracks(visibility=torch.ones(5, 3, dtype=torch.bool)), r"visibility is \(5, 3\); expected \(T, N\) with"),
    (lambda: tracks(xy=torch.zeros(5, 4, 3)), r"xy is \(5, 4, 3\); expected \(T, N, 2\) with 2=2"),
    (lambda: tracks(frame=torch.arange(4)), r"frame is \(4,\); expected \(T\) with T=5"),
    (lambda: clips(index=torch.arange(2)), r"index is \(2,\); expected \(V\) with V=3"),
    (lambda: clips(video=torch.zeros(3, 2, 3, 8)), r"video is \(3, 2, 3, 8\); expected \(V, T, 3, H, W\)"),
    (lambda: Episode(clips(), torch.arange(2), 2, 1), r"way is \(2,\); expected \(3,\)"),
    (lambda: Episode(clips(), torch.arange(3), 2, 3), "num_support is 3; expected 1 to 2"),
])
def test_shapes_that_do_not_fit_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_batch_moves_as_a_whole_and_leaves_the_original_alone():
    episode = Episode(clips(video=None), torch.tensor([0, 1, 0]), 2, 2)
    moved = episode.to("meta")
    assert moved.clips.video is None and moved.n_way == 2 and moved.num_support == 2 and len(moved.clips) == 3
    assert {x.device.type for x in (moved.way, moved.clips.tracks, moved.clips.index)} == {"meta"}
    assert episode.way.device.type == episode.clips.tracks.device.type == "cpu"
