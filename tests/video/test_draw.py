"""Pictures of points and clusters, and the files they are written to."""

import os
import weakref
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from trokens.moving_shapes.render import render_clip
from trokens.structures import Tracks
from trokens.video.draw import COLORS, cluster_color, draw_clusters, picture_size
from trokens.video.draw import draw_trails as draw_each
from trokens.video.write import write_animation


def draw_trails(frames: torch.Tensor, tracks: Tracks, **options) -> torch.Tensor:
    """All pictures, (T, H', W', 3)."""
    return torch.from_numpy(np.stack(list(draw_each(frames.numpy(), tracks, **options))))


def gray(num_frames: int = 5, height: int = 320, width: int = 400) -> torch.Tensor:
    return torch.full((num_frames, height, width, 3), 128, dtype=torch.uint8)


def moving(xy: tuple[float, float], step: tuple[float, float] = (30, 0), num_frames: int = 5, visible: bool = True,
           cluster: int = 0) -> Tracks:
    """One point."""
    track = torch.tensor([xy]) + torch.arange(num_frames)[:, None, None] * torch.tensor(step)
    return Tracks(track.float(), torch.full((num_frames, 1), visible), torch.zeros(1, dtype=torch.long),
                  torch.tensor([cluster]), (320, 400))


def changed(picture: torch.Tensor) -> torch.Tensor:
    """(x, y) of the pixels that are no longer gray."""
    return (picture != 128).any(-1).nonzero().flip(-1).float()


@pytest.mark.parametrize("cluster", [0, 5, 9, 20, 21])
def test_a_visible_point_is_a_disk_in_the_color_of_its_cluster(cluster):
    pictures = draw_trails(gray(), moving((50, 100), cluster=cluster))
    assert pictures.shape == (5, 320, 400, 3) and pictures.dtype == torch.uint8
    for t in range(5):
        assert pictures[t, 100, 50 + 30 * t].tolist() == list(cluster_color(cluster))
    assert (changed(pictures[0]).mean(0) - torch.tensor([50., 100])).abs().max() < 0.05


def test_a_hidden_point_is_a_ring():
    pictures = draw_trails(gray(), moving((50, 100), visible=False))
    for t in range(5):
        away = (changed(pictures[t]) - torch.tensor([50. + 30 * t, 100])).norm(dim=1)
        assert len(away) and away.min() > 1 and away.max() < 6  # its middle is as it was
        assert (pictures[t].int() - torch.tensor(cluster_color(0))).abs().sum(-1).min() < 60


def test_a_trail_fades_and_has_gaps_where_the_point_was_hidden():
    tracks = moving((50, 100), num_frames=9)
    picture = draw_trails(gray(9), tracks, trail=4)[8]
    middles = picture[100, [30 * t + 65 for t in range(8)]].int()  # between two positions
    strength = (middles - 128).abs().sum(-1)
    assert not strength[:4].any() and (strength[4:].diff() > 0).all()
    visibility = tracks.visibility.clone()
    visibility[6] = False
    picture = draw_trails(gray(9), replace(tracks, visibility=visibility), trail=4)[8]
    strength = (picture[100, [30 * t + 65 for t in range(8)]].int() - 128).abs().sum(-1)
    assert (strength > 0).tolist() == [False] * 4 + [True, False, False, True]


@pytest.mark.parametrize(("size", "expected"), [((90, 128), (270, 384)), ((64, 64), (320, 320)),
                                                ((320, 240), (320, 240)), ((720, 1280), (360, 640))])
def test_pictures_have_a_size_to_look_at_and_points_stay_in_their_places(size, expected):
    frames = gray(1, *size)
    spot = (size[1] // 2, size[0] // 4)
    picture = draw_trails(frames, moving(spot, num_frames=1))[0]
    assert picture.shape[:2] == picture_size(size) == expected
    scale = expected[1] / size[1]
    middle = (torch.tensor(spot) + 0.5) * scale - 0.5
    assert (changed(picture).mean(0) - middle).abs().max() < 0.1


def test_far_and_unknown_positions_are_left_out():
    tracks = moving((50, 100))
    for place in (torch.nan, torch.inf, 1e30, -1e30):
        assert not len(changed(draw_trails(gray(), replace(tracks, xy=torch.full_like(tracks.xy, place)))[3]))
    none = tracks.select(torch.tensor([], dtype=torch.long))
    assert torch.equal(draw_trails(gray(), none), gray())


def test_drawing_leaves_the_frames_alone_and_needs_those_that_were_tracked():
    frames = gray()
    draw_trails(frames, moving((50, 100)))
    draw_clusters(frames, torch.ones(5, 4, 4, dtype=torch.long), [torch.tensor([[3, 4]])] * 5)
    assert torch.equal(frames, gray())
    for count in (4, 0, 6):
        with pytest.raises(ValueError, match=f"There are {count} frames for tracks of 5 positions; give the frames"):
            draw_trails(gray(count), moving((50, 100)))


def test_pictures_of_some_positions_are_those_of_all():
    tracks = moving((50, 100), num_frames=9)
    rows = range(0, 9, 4)
    assert torch.equal(draw_trails(gray(3), tracks, rows=rows), draw_trails(gray(9), tracks)[list(rows)])


def test_trails_are_drawn_and_written_a_frame_at_a_time(tmp_path):
    given = []

    def frames():
        for _ in range(40):
            frame = np.full((320, 400, 3), 128, np.uint8)
            given.append(weakref.ref(frame))
            yield frame
            assert sum(ref() is not None for ref in given) < 4

    write_animation(tmp_path / "a.mp4", draw_each(frames(), moving((50, 100), num_frames=40)), 10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(given) == 40 == sum(1 for _ in container.decode(video=0))


def test_colors_differ():
    lab = cv2.cvtColor(COLORS[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0]
    distance = np.linalg.norm(lab[:, None] - lab, axis=-1) + np.diag(np.full(len(lab), np.inf))
    assert distance.min() > 12 and distance[:7, :7].min() > 25


def test_clusters_tint_their_patches_and_points_lie_on_top():
    labels = torch.tensor([[[3, 3, 8], [3, 8, 8]], [[1, 1, 1], [1, 1, 1]]])
    points = [torch.tensor([[40., 50], [350, 250]]), torch.zeros(0, 2)]
    pictures = draw_clusters(gray(2, 320, 480), labels, points)
    for (k, y, x), label in {(0, 80, 240): 3, (0, 240, 240): 8, (0, 80, 400): 8, (1, 300, 20): 1}.items():
        tint = 128 * 0.55 + torch.tensor(cluster_color(label)) * 0.45
        assert (pictures[k, y, x] - tint).abs().max() <= 1
    assert pictures[0, 50, 40].tolist() == pictures[0, 250, 350].tolist() == [255] * 3  # points
    assert pictures[0, 160, 300].tolist() != pictures[0, 159, 200].tolist()
    assert (pictures[0, 160, 160:320] == 255).all() and not (pictures[1] == 255).any()  # the line between clusters


def drawn(height: int = 61, width: int = 83, num_frames: int = 7) -> torch.Tensor:
    """Frames of odd size with a disk of a cluster's color that moves."""
    frames = torch.randint(100, 140, (num_frames, height, width, 3), generator=torch.Generator().manual_seed(0),
                           dtype=torch.uint8)
    for t in range(num_frames):
        frames[t, 20:40, 5 * t:5 * t + 20] = torch.tensor(cluster_color(4), dtype=torch.uint8)
    return frames


@pytest.mark.parametrize("fps", [10, 12.5, 25, 30000 / 1001])
def test_an_mp4_has_all_frames_at_their_rate_and_odd_sizes_grow_by_one(tmp_path, fps):
    frames = drawn()
    write_animation(tmp_path / "new" / "a.mp4", frames.numpy(), fps)
    with av.open(str(tmp_path / "new" / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(fps).limit_denominator(1001)
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert shown.shape == (7, 62, 84, 3)
    assert np.abs(shown[:, :61, :83].astype(int) - frames.numpy()).mean() < 20


@pytest.mark.parametrize(("fps", "durations"), [(10, [100] * 7), (12, [80, 90, 80, 80, 90, 80, 80]), (25, [40] * 7),
                                                (100, [20] * 7)])
def test_a_gif_has_all_frames_at_their_rate_and_keeps_the_colors_of_clusters(tmp_path, fps, durations):
    frames = drawn()
    write_animation(tmp_path / "a.gif", frames.numpy(), fps)
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 7 and picture.info["loop"] == 0
        for t, duration in enumerate(durations):
            picture.seek(t)
            shown = np.asarray(picture.convert("RGB")).astype(int)
            assert picture.info["duration"] == duration and shown.shape == (61, 83, 3)
            assert (shown[30, 5 * t + 10] == cluster_color(4)).all()
            assert np.abs(shown - frames[t].numpy()).max() < 48


def test_noise_takes_no_place_in_a_gif(tmp_path):
    frames, tracks = render_clip("swap", seed=2, num_frames=6)  # noise of 2 gray values
    write_animation(tmp_path / "a.gif", draw_each(frames, tracks), 10)
    assert (tmp_path / "a.gif").stat().st_size < 400_000  # 6 frames of 384 x 384


def test_the_same_frames_give_the_same_bytes(tmp_path):
    for suffix in (".gif", ".mp4"):
        for name in "ab":
            write_animation(tmp_path / (name + suffix), drawn().numpy(), 10)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_picture_is_whole_or_absent(tmp_path, monkeypatch, suffix):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_animation(tmp_path / f"a{suffix}", drawn().numpy(), 10)
    assert not list(tmp_path.iterdir())


def test_frames_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"a\.avi': its suffix is none of \.gif, \.mp4"):
        write_animation(tmp_path / "a.avi", drawn().numpy(), 10)
    for frames, fps in ((drawn()[:0], 10), (drawn(), 0), (drawn(), float("nan"))):
        with pytest.raises(ValueError, match="both must be above 0"):
            write_animation(tmp_path / "a.gif", frames.numpy(), fps)
    assert not list(tmp_path.iterdir())
