"""Which frames are extracted: a constant rate, without the pauses of a recording."""

import numpy as np
import pytest
from videos import write_frames

from trokens.extraction.frame_times import choose_frames, resample
from trokens.video import VideoError, VideoInfo, probe
from trokens.video.info import START
from trokens.video.orientation import AS_STORED


def info_of(times: np.ndarray) -> VideoInfo:
    """A sound video whose frames are shown at these seconds."""
    return VideoInfo(len(times), 25, times, (48, 64), AS_STORED, short=None, damage=None, silent=False, stamps=None,
                     keys=START, counted=True, skips=False)


def test_resampling_takes_the_nearest_frames():
    assert resample(np.arange(30) / 30, 10).tolist() == [*range(0, 30, 3), 29]
    assert resample(np.arange(48) / 12, 12).tolist() == list(range(48))
    assert resample(np.round(np.arange(48) / 12, 3), 12).tolist() == list(range(48))  # stamps in milliseconds
    assert resample(np.array([0, 0.1, 0.15, 0.5]), 10).tolist() == [0, 1, 2, 2, 3, 3]
    assert resample(np.array([0, 0.2, 0.4]), 10).tolist() == [0, 0, 1, 1, 2]
    assert resample(np.array([0, 0.3, 0.4]), 0).tolist() == [0, 1, 2]
    assert resample(np.array([0.]), 10).tolist() == [0]


SECOND = np.arange(25) / 25


@pytest.mark.parametrize("pause", [1.5, 30, 3600, 1e9])
def test_a_pause_is_left_out(pause):
    times = np.concatenate([SECOND, SECOND + 1 + pause])
    assert choose_frames("clip.mkv", info_of(times), 5).tolist() == [*range(0, 50, 5), 49]


def test_pauses_are_named_in_one_line_with_their_place(caplog):
    choose_frames("walk.mkv", info_of(np.concatenate([SECOND, SECOND + 31])), 10)
    assert [record.getMessage() for record in caplog.records] == [
        "'walk.mkv' pauses for 30.0 s behind frame 24 (at 0.96 s); the pause is left out."]
    caplog.clear()
    choose_frames("walk.mkv", info_of(np.concatenate([SECOND, SECOND + 31, SECOND + 3600])), 10)
    assert [record.getMessage() for record in caplog.records] == [
        "'walk.mkv' pauses 2 times, 3598.1 s in all, first behind frame 24 (at 0.96 s, for 30.0 s); the pauses are "
        "left out."]


@pytest.mark.parametrize("times", [
    np.arange(12) * 5.0,                                   # a slideshow
    np.cumsum([0, 2, 5, 1, 8, 3, 4, 9, 2]).astype(float),  # one at its own pace
    np.delete(np.arange(100) / 25, slice(30, 53)),         # less than a second without frames
    np.arange(3000) / 30, np.array([0.]), np.array([0., 0.5]),
])
def test_a_video_without_a_pause_is_sampled_as_ever(times, caplog):
    assert choose_frames("clip.mkv", info_of(times), 10).equal(resample(times, 10))
    assert not caplog.records


def test_nothing_is_made_of_rows_that_are_too_many(monkeypatch):
    monkeypatch.setattr(np, "arange", None)  # nor of a time line that is as long
    with pytest.raises(VideoError, match=r"'week\.mkv' has 6000000001 frames at 1e\+07 a second, above the 1048576 of"):
        choose_frames("week.mkv", info_of(np.linspace(0, 600, 601)), 1e7)


@pytest.mark.parametrize("apart", [1e3, 1e9, 1e18])
def test_frames_that_are_ages_apart_give_few_rows(apart):
    assert len(choose_frames("clip.mkv", info_of(np.arange(10) * apart), 10)) == 9 * 600 + 1


def test_a_files_own_pause_is_left_out_and_its_times_stay_true(tmp_path):
    path = write_frames(tmp_path / "pause.mkv", [*range(0, 1000, 40), *range(61000, 62000, 40)])
    info = probe(path)
    frames = choose_frames(path, info, 10)
    assert len(frames) == 21 and info.times[frames[-1]] == pytest.approx(61.96, abs=0.05)


def test_an_hour_without_frames_gives_the_rows_of_the_clip_without_it(faults):
    path = faults / "videos" / "gap_1h.mkv"
    assert len(choose_frames(path, probe(path), 10)) <= 41
