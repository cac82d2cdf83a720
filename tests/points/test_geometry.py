import json

import pytest
import torch

from trokens.models.tokens import read_map
from trokens.points.geometry import frame_positions, normalize_tracks


def test_frames_are_the_published_ones(small_golden):
    cases = json.loads((small_golden / "frame_indices.json").read_text())
    assert cases
    for case in cases:
        positions = frame_positions(case["total_frames"], 8)
        assert positions.tolist() == case["index_select"]
        frames = frame_positions(case["video_len"], case["total_frames"])[positions]
        assert frames.tolist() == case["frames_read"]


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="Cannot sample 8 frames from 0"):
        frame_positions(0, 8)


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


@pytest.mark.parametrize("coords", ["published", "centered"])
@pytest.mark.parametrize("size", [(240, 427), (1080, 1921), (64, 64)])
def test_half_precision_is_that_of_torch(size, coords):
    less = int(coords == "centered")
    xy = (torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2) * torch.tensor(size[::-1])
    half = xy.half()
    want = torch.stack([2 * (half[:, 0] / (size[1] - less)) - 1, 2 * (half[:, 1] / (size[0] - less)) - 1], dim=1)
    tracks = normalize_tracks(xy, size, coords, torch.float16)
    assert want.dtype == torch.float16 and tracks.dtype == torch.float32 and torch.equal(tracks, want.float())
    away = (tracks - normalize_tracks(half.float(), size, coords)).abs().max()
    assert 4e-4 < away < 2**-10  # inside the frame; beyond it numbers lie farther apart
    assert torch.equal(normalize_tracks(xy, size, coords, torch.float32), normalize_tracks(xy, size, coords))


def test_unknown_coordinates_are_an_error():
    with pytest.raises(ValueError, match=r"coords is 'center'"):
        normalize_tracks(torch.zeros(1, 2), (4, 4), "center")
