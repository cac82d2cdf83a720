"""What is seen of a video: steps and pictures in one pass, of any shape and length, in bounded memory."""

import numpy as np
import pytest
from clips_of_actions import frames, write_video

from trokens.recognize.describe import Describer, describe_one
from trokens.recognize.optical_flow import (
    FLOW_SIDE,
    PICTURE_SIDE,
    STRIDE,
    Flow,
    Picture,
    flow_and_pictures,
    frame_pairs,
)
from trokens.recognize.windows import spans_of
from trokens.video import probe


@pytest.fixture
def video(tmp_path):
    """A square that goes to the right, 2 pixels a frame, 10 frames a second, in a portrait of 64 x 96."""
    path = tmp_path / "video.mp4"
    write_video(path, frames("right", 0, num_frames=20)[:, :, 16:80])
    return path


def test_neighbors_at_the_rate_are_the_steps_and_a_longer_clips_are_spread_over_it(video):
    info = probe(video)
    pairs = frame_pairs(video, info)
    assert pairs[0] == (0, 1) and pairs[-1] == (18, 19) and len(pairs) == 19
    few = frame_pairs(video, info, most=4)
    assert few == [(0, 1), (6, 7), (12, 13), (18, 19)]


def test_pictures_and_steps_come_in_one_pass_and_the_pictures_change_no_step(video):
    info = probe(video)
    items = list(flow_and_pictures(video, info, frame_pairs(video, info, 3), [2, 9, 10]))
    assert [(item.start, item.end) for item in items if isinstance(item, Flow)] == [(0, 1), (9, 10), (18, 19)]
    pictures = [item for item in items if isinstance(item, Picture)]
    assert [picture.frame for picture in pictures] == [2, 9, 10]
    assert all(picture.rgb.shape == (PICTURE_SIDE, PICTURE_SIDE, 3) for picture in pictures)
    alone = [item for item in flow_and_pictures(video, info, frame_pairs(video, info, 3), []) if isinstance(item, Flow)]
    for with_pictures, without in zip([item for item in items if isinstance(item, Flow)], alone, strict=True):
        np.testing.assert_array_equal(with_pictures.field, without.field)


def test_a_portrait_is_reduced_as_it_is(video):
    info = probe(video)
    step = next(item for item in flow_and_pictures(video, info, [(8, 9)], []) if isinstance(item, Flow))
    height, width = step.size
    assert (height, width) == (FLOW_SIDE, round(FLOW_SIDE * 64 / 96))
    assert step.field.shape == (height // STRIDE, (width + 1) // STRIDE, 2)
    moving = step.field[np.abs(step.field).max(-1) > 1].astype(float)
    assert np.median(moving[:, 0]) == pytest.approx(2 * FLOW_SIDE / 96, abs=0.7) and abs(np.median(moving[:, 1])) < 0.7


def test_trajectories_lie_where_the_file_has_its_motion(video):
    description = Describer()(video)
    assert description.size.tolist() == [96, 64]
    xy = description.trail_xy[description.trail_xy[..., 0] > 0]
    assert (xy[:, 1] > 25).all() and (xy[:, 1] < 70).all()  # the square is at 34 to 62


def test_a_long_video_is_looked_at_no_longer_than_a_minute(tmp_path, monkeypatch):
    monkeypatch.setattr("trokens.recognize.describe.MOST_PAIRS", 5)
    path = tmp_path / "long.mp4"
    write_video(path, frames("down", 0, num_frames=60))
    description = Describer()(path)
    assert len(set(description.trail_frame.flatten().tolist())) == 6  # five steps: six frames
    assert description.span[1] == pytest.approx(6.0, abs=0.1) and description.frame[-1] > 50


@pytest.mark.parametrize(("duration", "spans"), [
    (0.0, [(0, 0)]), (1.5, [(0, 1.5)]), (2.0, [(0, 2)]), (2.1, [(0, 2), (1, 2.1)]), (4.0, [(0, 2), (1, 3), (2, 4)])])
def test_windows_cover_a_video_to_its_end_and_no_further(duration, spans):
    assert spans_of(duration, 2, 1) == spans


def test_every_file_is_described_or_one_line_says_why_not(real_clips):
    files = [path for path in sorted((real_clips / "robust").iterdir()) if path.suffix not in (".csv", ".safetensors")]
    outcomes = {path.name: describe_one((str(path), None), Describer()) for path in files}
    for name, outcome in outcomes.items():
        if outcome.description is None:
            assert "\n" not in outcome.error and name in outcome.error
        else:
            assert all(np.isfinite(x).all() for x in outcome.description.arrays().values())
    assert {name for name, outcome in outcomes.items() if outcome.error} >= {
        "decord_corrupted.mp4", "derived_audio_only.mp4", "derived_zero_bytes.mp4", "lerobot_lfs_pointer.mp4"}
    assert sum(outcome.error is None for outcome in outcomes.values()) >= 25


@pytest.mark.parametrize("stride", [1e-9, 5e-324])
def test_more_windows_than_anybody_can_look_at_are_refused(stride):
    with pytest.raises(ValueError, match="cuts 10 s into more than 131072 windows; take a longer one"):
        spans_of(10, 1, stride)
