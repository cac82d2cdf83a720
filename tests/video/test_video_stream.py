"""Frames one after the other: those that `read_video` gives, one of them held at a time."""

import os
import weakref

import numpy as np
import pytest
import torch
from videos import NUM_FRAMES, X264, encode

from trokens.video import VideoError, probe, read_video, stream_video
from trokens.video.stream import Source


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("plain.mp4", "libx264", {"x264-params": X264}), ("refresh.mkv", "libx264", {"x264-params": "intra-refresh=1"}),
    ("b_frames.avi", "mpeg4", {"bf": "2"})])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_stream_gives_the_frames_that_are_read_at_once(tmp_path, name, codec, options, threads):
    path = encode(tmp_path / name, codec, **options)
    for indices in (range(NUM_FRAMES), [0, 3, 3, 3, 12, 40, 59, 59], []):
        frames = list(stream_video(path, indices, threads=threads))
        assert len(frames) == len(indices) and all(frame.flags.c_contiguous for frame in frames)
        assert not frames or np.array_equal(np.stack(frames), read_video(path, indices))


def test_a_stream_stands_upright(real_clips):
    path = real_clips / "robust" / "decord_rot_90.mov"
    frames = list(stream_video(path, [0, 2]))
    assert np.array_equal(np.stack(frames), read_video(path, [0, 2])) and frames[0].flags.c_contiguous


def test_a_stream_holds_one_frame_at_a_time(clip):
    before = None
    for frame in stream_video(clip, range(20)):
        assert before is None or before() is None
        before = weakref.ref(frame if frame.base is None else frame.base)
        del frame


def test_a_repeated_frame_is_the_same_array(clip):
    first, second, third = stream_video(clip, [7, 7, 8])
    assert first is second and second is not third


@pytest.mark.parametrize("broken", [0, 1])
def test_a_stream_goes_on_where_a_decoder_misses_what_was_left_out(clip, monkeypatch, broken):
    frames, decode, lost = read_video(clip, [5, 31]), Source.frames, probe(clip).stamps[[5, 31][broken]]

    def losing(source, wanted=None, **options):
        return (frame for frame in decode(source, wanted, **options) if wanted is None or frame.pts != lost)

    monkeypatch.setattr(Source, "frames", losing)
    assert np.array_equal(np.stack(list(stream_video(clip, [5, 31]))), frames)


def test_what_cannot_be_streamed_is_named(clip, tmp_path):
    with pytest.raises(IndexError, match=r"Frame 60 of .* is out of range; it has 60 frames"):
        next(stream_video(clip, [60]))
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(VideoError, match=r"text\.mp4': it is a text of 11 bytes"):
        next(stream_video(tmp_path / "text.mp4", [0]))


def test_a_stream_that_is_left_closes_its_file(clip):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("counts open files through /proc")
    before = len(os.listdir("/proc/self/fd"))
    frames = stream_video(clip, range(30))
    assert torch.from_numpy(next(frames)).shape == (64, 96, 3)
    frames.close()
    assert len(os.listdir("/proc/self/fd")) == before
