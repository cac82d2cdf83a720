"""Moving Shapes: the tracks are exact, the classes differ in motion alone, and a clip depends on its seed alone."""

import itertools

import av
import cv2
import numpy as np
import pytest
import torch

from trokens.cli import moving_shapes
from trokens.cli.moving_shapes import main, parse_args, write_clip
from trokens.moving_shapes import motions, render
from trokens.moving_shapes.motions import BASIC_MOTIONS
from trokens.moving_shapes.one_shape import ALONE
from trokens.moving_shapes.render import LEVELS, render_clip, render_seed
from trokens.moving_shapes.scene import Pose
from trokens.moving_shapes.two_shapes import TOGETHER
from trokens.points.io import read_tracks
from trokens.video.write import write_video

CLASSES = [motion for split in BASIC_MOTIONS.values() for motion in split]


def patches(frames: np.ndarray, tracks, point: int, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """What moves along with a point, in gray, as seen at its query frame: (T, 9, 9).

    How the surroundings are turned and scaled is fitted to the exact tracks of the same shape. At all frames but the
    query frame the point is taken to be off by ``shift``.
    """
    xy, query = tracks.xy.double().numpy(), int(tracks.query_frame[point])
    same = np.flatnonzero(tracks.cluster.numpy() == int(tracks.cluster[point]))
    rest = xy[query, same] - xy[query, point]
    offsets = np.stack(np.meshgrid(*[np.arange(-4, 5.0)] * 2), -1)
    looks = []
    for t, frame in enumerate(frames):
        linear = np.linalg.lstsq(rest, xy[t, same] - xy[t, point], rcond=None)[0]
        where = (offsets @ linear + xy[t, point] + (np.array(shift) if t != query else 0)).astype(np.float32)
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        looks.append(cv2.remap(gray, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return np.stack(looks)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def centers(motion: str, seed: int = 5, level: str = "easy") -> tuple[Pose, Pose]:
    return motions.poses(motion, np.linspace(0, 1, 24), LEVELS[level].variation, np.random.default_rng(seed))


def test_splits_are_disjoint_complete_and_have_both_kinds_of_motion():
    assert len(CLASSES) == len(set(CLASSES)) == 34
    assert set(CLASSES) == set(ALONE) | set(TOGETHER)
    assert [len(BASIC_MOTIONS[split]) for split in ("train", "val", "test")] == [20, 4, 10]
    for split in BASIC_MOTIONS.values():
        assert set(split) & set(ALONE) and set(split) & set(TOGETHER)


@pytest.mark.parametrize(("level", "motion"), [
    *itertools.product(["easy", "hard"],
                       ["translate_left", "rotate_clockwise", "zoom_out", "circle_clockwise", "orbit"]),
    ("camera", "zoom_out"), ("view", "roll"), ("combined", "pulse_together")])
def test_tracks_follow_the_picture_exactly(motion, level):
    frames, tracks = render_clip(motion, seed=3, level=level)
    points = torch.nonzero((tracks.cluster > 0) & (tracks.cluster <= 2)).flatten().tolist()[::3]

    def median(shift: tuple[float, float] = (0, 0)) -> float:
        scores = []
        for point in points:
            looks = patches(frames, tracks, point, shift)
            reference = looks[int(tracks.query_frame[point])]
            scores += [correlation(look, reference) for look in looks[tracks.visibility[:, point].numpy()]]
        return float(np.median(scores))

    exact = median()
    assert exact > 0.9
    assert all(median(shift) < exact - 0.01 for shift in [(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])


@pytest.mark.parametrize("motion", ["swap", "approach"])
def test_a_point_shows_its_own_color_exactly_while_it_is_visible(motion):
    frames, tracks = render_clip(motion, seed=3)
    points = torch.nonzero(tracks.cluster > 0).flatten().numpy()
    column, row = tracks.xy[:, points].round().long().clip(0, 127).unbind(-1)
    colors = frames[np.arange(24)[:, None], row, column].astype(float)
    change = np.abs(colors - colors[tracks.query_frame[points], np.arange(len(points))]).mean(-1)
    seen = tracks.visibility[:, points].numpy()
    inside = ((tracks.xy[:, points] > 0) & (tracks.xy[:, points] < 127)).all(-1).numpy()
    assert (inside & ~seen).sum() > 30
    assert np.median(change[seen]) < 12 < 35 < np.median(change[inside & ~seen])


def test_background_tracks_follow_the_camera():
    frames, tracks = render_clip("approach", seed=8, level="hard")
    still = torch.nonzero(tracks.cluster == 0).flatten()
    steps = tracks.xy[:, still] - tracks.xy[:1, still]
    assert steps.std(1).max() < 1e-4  # all alike
    assert 0.5 < steps.mean(1).std() < 5
    scores = []
    for point in still.tolist():
        looks, seen = patches(frames, tracks, point), tracks.visibility[:, point].numpy()
        scores += [correlation(look, looks[int(tracks.query_frame[point])]) for look in looks[seen]]
    assert np.median(scores) > 0.8  # with noise, and shapes close by


def test_a_shape_in_front_hides_the_points_behind_it():
    shapes = [render.Shape(np.zeros((3, 3, 4), np.float32), 20, 4, 1.0) for _ in range(2)]
    still, ones = np.zeros(3), np.ones(3)
    passing = Pose(np.array([[0.0, 64], [64, 64], [128, 64]]), still, ones)
    resting = Pose(np.tile([64.0, 64.0], (3, 1)), still, ones)
    xy = np.tile([[64.0, 64], [64, 90], [-3, 64], [64, 127.5]], (3, 1, 1))
    seen = render._visible(xy, [0], shapes, [passing, resting], 128)
    assert seen.tolist() == [[True, True, False, False], [False, True, False, False], [True, True, False, False]]


@pytest.mark.parametrize("level", LEVELS)
def test_every_point_is_seen_at_its_query_frame(level):
    motion = "swap" if "swap" in LEVELS[level].classes else "orbit"
    _, tracks = render_clip(motion, seed=1, level=level, num_points=100)
    assert tracks.xy.shape == (24, 100, 2) and tracks.size == (128, 128)
    assert tracks.visibility[tracks.query_frame, torch.arange(100)].all()
    assert not tracks.visibility.all()  # the two pass over each other
    assert (tracks.cluster > 0).float().mean() > 0.6
    expected = 3 + LEVELS[level].distractors + LEVELS[level].occluders
    assert tracks.cluster.unique().tolist() == list(range(expected))


@pytest.mark.parametrize(("level", "textures"), [("medium", "shared"), ("medium", "varied"), ("combined", "shared")])
def test_what_things_look_like_does_not_depend_on_the_motion(monkeypatch, level, textures):
    drawn = []
    monkeypatch.setattr(render, "_compose", lambda background, shapes, *rest: drawn.append((background, shapes))
                        or np.zeros((128, 128, 3), np.float32))
    for motion in LEVELS[level].classes:
        render_clip(motion, seed=11, level=level, textures=textures, num_frames=2)
    background, shapes = drawn[0]
    assert len(shapes) == {"medium": 4, "combined": 7}[level]
    for other_background, other_shapes in drawn:
        assert np.array_equal(background, other_background)
        assert all(np.array_equal(a.sprite, b.sprite) for a, b in zip(shapes, other_shapes, strict=True))


def test_shared_clips_draw_on_one_family_and_varied_ones_do_not():
    def backgrounds(textures: str) -> int:
        looks = [render._draw_looks(np.random.default_rng(seed), textures, 64, 30, 2)[0] for seed in range(20)]
        return len({np.sort(look.ravel()).tobytes() for look in looks})  # sorted: clips differ in where they cut
    assert backgrounds("shared") == 2
    assert backgrounds("varied") == 20


@pytest.mark.parametrize(("level", "textures"), [("easy", "shared"), ("easy", "varied"), ("view", "shared"),
                                                 ("combined", "shared")])
def test_mean_colors_do_not_tell_the_novel_classes(level, textures):
    def colors(motion: str, index: int) -> np.ndarray:
        frames, _ = render_clip(motion, seed=render_seed(0, "test", motion, index), level=level, textures=textures,
                                size=64, num_frames=4)
        return np.concatenate([frames.mean((0, 1, 2)), frames.std((0, 1, 2))])

    looks = np.array([colors(motion, index) for motion in LEVELS[level].motions["test"]
                      for index in range(10)])
    way = np.arange(100) // 10
    gap = np.linalg.norm((looks[:, None] - looks[None]) / looks.std(0), axis=-1) + np.diag(np.full(100, np.inf))
    assert (way[gap.argmin(1)] == way).mean() < 0.2  # 10 classes: chance is 0.1


@pytest.mark.parametrize(("motion", "way"), [("translate_left", (-1, 0)), ("translate_up_right", (1, -1)),
                                             ("translate_down", (0, 1)), ("fall", (0, 1))])
def test_directions_are_those_of_the_picture(motion, way):
    for pose in centers(motion):
        step = pose.center[-1] - pose.center[0]
        assert step @ way / np.linalg.norm(step) / np.linalg.norm(way) > np.cos(np.deg2rad(10.1))
        assert np.linalg.norm(step) > 35


@pytest.mark.parametrize(("motion", "sense"), [("rotate_clockwise", 1), ("rotate_counterclockwise", -1)])
def test_clockwise_is_clockwise_in_the_picture(motion, sense):
    _, tracks = render_clip(motion, seed=2)
    spokes = tracks.xy[:, tracks.cluster == 1]
    spokes = (spokes - spokes.mean(1, keepdim=True)).numpy()
    x, y = spokes[:-1], spokes[1:]
    turned = np.arctan2((x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]).sum(1), (x * y).sum((1, 2)))
    assert 120 < sense * np.rad2deg(turned.sum()) < 270  # positive turns x (right) toward y (down)


@pytest.mark.parametrize("seed", range(4))
def test_relational_motions_are_what_their_names_say(seed):
    def gap(motion: str) -> np.ndarray:
        first, second = centers(motion, seed)
        return np.linalg.norm(first.center - second.center, axis=1)
    for motion in ("approach", "one_approaches"):
        assert (np.diff(gap(motion)) < 0).all() and gap(motion)[0] > gap(motion)[-1] + 30
    for motion in ("separate", "one_leaves"):
        assert (np.diff(gap(motion)) > 0).all()
    assert np.ptp(gap("orbit")) < 1e-9
    for motion in ("one_approaches", "one_leaves"):
        assert np.ptp(centers(motion, seed)[1].center, axis=0).max() < 1e-9
    first, second = centers("swap", seed)
    assert np.allclose(first.center[0], second.center[-1]) and np.allclose(first.center[-1], second.center[0])


@pytest.mark.parametrize("motion", CLASSES)
def test_shapes_stay_largely_in_the_frame_and_places_give_no_class_away(motion):
    middles = []
    for seed in range(30):
        pair = centers(motion, seed)
        reach = np.concatenate([pose.center for pose in pair])
        assert reach.min() > -8 and reach.max() < 136
        middles.append(reach.mean(0))
    assert np.abs(np.mean(middles, 0) - 64).max() < 4


def test_a_clip_is_a_function_of_its_arguments():
    frames, tracks = render_clip("orbit", seed=7)
    again, same = render_clip("orbit", seed=7)
    other, _ = render_clip("orbit", seed=8)
    assert np.array_equal(frames, again) and torch.equal(tracks.xy, same.xy)
    assert not np.array_equal(frames, other)
    assert len({render_seed(0, split, m, k) for split, names in BASIC_MOTIONS.items() for m in names
                for k in range(20)}) == 34 * 20


def test_unknown_names_are_errors_that_list_the_known_ones():
    with pytest.raises(ValueError, match="Motion 'jump' is unknown; expected one of approach"):
        render_clip("jump", seed=0)
    with pytest.raises(ValueError, match="Level 'mean' is unknown; expected one of easy"):
        render_clip("fall", seed=0, level="mean")
    with pytest.raises(ValueError, match="Textures 'none' is unknown; expected one of shared"):
        render_clip("fall", seed=0, textures="none")
    with pytest.raises(ValueError, match=r"Motion 'translate_left' is unknown; expected one of accelerate, .* 'view'"):
        render_clip("translate_left", seed=0, level="view")


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_written_video_shows_what_was_rendered(tmp_path):
    frames, _ = render_clip("bounce", seed=4)
    write_video(tmp_path / "clip.mp4", frames)
    shown = decoded(tmp_path / "clip.mp4")
    assert shown.shape == frames.shape == (24, 128, 128, 3)
    gray = np.array([0.299, 0.587, 0.114])
    error = ((shown @ gray - frames @ gray) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 35  # luma; color is stored at half resolution


def test_the_tool_ends_in_one_line_where_it_cannot_write_or_is_interrupted(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    options = ["--clips-per-class", "1", "--frames", "4", "--size", "64", "--points", "20", "--workers", "0"]
    assert main(["--out", str(tmp_path / "file"), *options]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error and error.count("\n") == 1

    def ctrl_c(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(moving_shapes, "write_clip", ctrl_c)
    assert main(["--out", str(tmp_path / "out"), *options]) == 130
    assert capsys.readouterr().err == "Interrupted. The same command renders all clips again.\n"


def test_the_tool_writes_the_same_files_whatever_the_number_of_processes(tmp_path, capsys):
    options = ["--clips-per-class", "1", "--frames", "4", "--size", "64", "--points", "20"]
    main(["--out", str(tmp_path / "two"), *options, "--workers", "2"])
    assert "Wrote 34 clips of 34 classes" in capsys.readouterr().out
    alone = parse_args(["--out", str(tmp_path / "alone"), *options])
    for split, motion in [("train", "gears"), ("val", "zigzag"), ("test", "fall")]:
        write_clip((split, motion, 0), alone)
        files = [tmp_path / run / split / motion / "000.mp4" for run in ("alone", "two")]
        assert files[0].read_bytes() == files[1].read_bytes()
    videos = sorted((tmp_path / "two").glob("*/*/*.mp4"))
    assert len(videos) == 34
    assert all(len(decoded(video)) == 4 for video in videos)
    _, expected = render_clip("fall", seed=render_seed(0, "test", "fall", 0), size=64, num_frames=4, num_points=20)
    tracks = read_tracks(tmp_path / "two/points/exact/folder/feat_dump/test__fall__000.safetensors")
    assert torch.equal(tracks.xy, expected.xy) and torch.equal(tracks.visibility, expected.visibility)
    assert torch.equal(tracks.cluster, expected.cluster) and torch.equal(tracks.query_frame, expected.query_frame)
