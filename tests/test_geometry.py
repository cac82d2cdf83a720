import json

import pytest
import torch

from trokens.models.tokens import read_map
from trokens.points.geometry import decoded_frames, frame_positions, normalize_tracks, query_mask


def test_frames_are_the_published_ones(golden):
    cases = json.loads((golden / "frame_indices.json").read_text())
    assert cases
    for case in cases:
        positions = frame_positions(case["total_frames"], 8)
        assert positions.tolist() == case["index_select"]
        frames = decoded_frames(case["video_len"], case["total_frames"], positions)
        assert frames.tolist() == case["frames_read"]


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="Cannot sample 8 frames from 0"):
        frame_positions(0, 8)
    with pytest.raises(ValueError, match="The video has 0 frames"):
        decoded_frames(0, 4, torch.tensor([0]))


def test_published_coordinates_divide_by_the_frame_size():
    xy = torch.tensor([[0.0, 0.0], [80.0, 30.0], [160.0, 60.0]])
    assert torch.equal(normalize_tracks(xy, (60, 160)), torch.tensor([[-1.0, -1], [0, 0], [1, 1]]))


def test_centered_coordinates_put_pixel_centers_on_cells():
    size, grid = (9, 9), 9
    xy = torch.cartesian_prod(torch.arange(9.0), torch.arange(9.0))  # every pixel, (x, y)
    tracks = normalize_tracks(xy, size, "centered")
    image = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="xy"), -1)  # value = (x, y)
    assert torch.allclose(read_map(image[None], tracks[None], "bilinear")[0], xy, atol=1e-5)
    assert tracks.min() == -1 and tracks.max() == 1 and grid == len(image)


def test_unknown_coordinates_are_an_error():
    with pytest.raises(ValueError, match=r"POINT_INFO.COORDS is 'center'"):
        normalize_tracks(torch.zeros(1, 2), (4, 4), "center")


def test_a_point_counts_from_its_query_frame_on():
    mask = query_mask(torch.tensor([0, 3, 9]), torch.tensor([0, 3, 6]))
    assert mask.tolist() == [[True, False, False], [True, True, False], [True, True, False]]
