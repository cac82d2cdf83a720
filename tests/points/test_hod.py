import math

import numpy as np
import pytest
import torch

from trokens.points.hod import hod, hod_of_track, hod_pyramid


@pytest.fixture
def numbers(small_golden):
    return {name: torch.from_numpy(x) for name, x in np.load(small_golden / "hod.npz").items()}


@pytest.fixture
def tracks():
    return torch.randn(3, 4, 9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("bins", [32, 8])
@pytest.mark.parametrize("per_frame", [True, False])
def test_hod_gives_the_golden_numbers(numbers, bins, per_frame):
    want = numbers[f"hist_bins{bins}_temporal{int(per_frame)}"]
    got = hod(numbers["points"], bins, per_frame)
    assert got.dtype == torch.float32 and got.shape == want.shape
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_hod_gives_the_golden_numbers_for_12_frames(numbers):
    assert torch.allclose(hod(numbers["points_t12"]).double(), numbers["hist_t12"], atol=1e-6)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("frames", ["", "_t12"])
def test_pyramid_gives_the_golden_numbers(numbers, levels, frames):
    got = hod_pyramid(numbers["points" + frames], levels=levels)
    assert torch.allclose(got.double(), numbers[f"pyramid{frames}_L{levels}"], atol=1e-5)


@pytest.mark.parametrize("binning", ["published", "linear"])
def test_hod_equals_its_definition(tracks, binning):
    got = hod(tracks, 8, binning=binning)
    want = torch.tensor([hod_of_track(track, 8, binning) for track in tracks.flatten(0, 1)], dtype=torch.float64)
    assert torch.allclose(got, want.view_as(got))


@pytest.mark.parametrize("binning", ["published", "linear"])
def test_hod_conserves_displacement(tracks, binning):
    hist = hod(tracks, binning=binning)
    assert torch.allclose(hist[..., 1:, :].sum(-1), tracks.diff(dim=-2).norm(dim=-1))
    assert not hist[..., 0, :].any()
    assert torch.allclose(hod(tracks, per_frame=False, binning=binning), hist.sum(-2))


def test_linear_binning_favors_the_nearer_bin():
    angle = torch.tensor(0.1 * 2 * math.pi / 8)  # a tenth of a bin past bin 4 (+x)
    track = torch.stack([torch.zeros(2), torch.stack([angle.cos(), angle.sin()])])
    assert torch.allclose(hod(track, 8, binning="linear")[1, [4, 5]], torch.tensor([0.9, 0.1]), atol=1e-5)
    assert torch.allclose(hod(track, 8)[1, [4, 5]], torch.tensor([0.1, 0.9]), atol=1e-5)


def test_a_nan_counts_as_no_motion(tracks):
    clean = hod(tracks)
    tracks[0, 0, 4] = torch.nan
    hist = hod(tracks)
    assert not hist[0, 0, 4:6].any()
    hist[0, 0, 4:6] = clean[0, 0, 4:6]
    assert torch.equal(hist, clean)


def test_bad_options_are_errors():
    with pytest.raises(ValueError, match="bins is 1"):
        hod(torch.zeros(2, 2), 1)
    with pytest.raises(ValueError, match="binning is 'cubic'"):
        hod(torch.zeros(2, 2), binning="cubic")
    with pytest.raises(ValueError, match="levels is 0"):
        hod_pyramid(torch.zeros(2, 2), levels=0)
