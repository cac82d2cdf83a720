import sys
import types

import numpy as np
import pytest
import torch
from videos import NUM_FRAMES

from trokens.video import VideoError, decord_backend, probe, read_video
from trokens.video import frames as frames_module


def test_decord_is_asked_for_by_name_and_missed_with_a_remedy(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(ImportError, match="pip install decord"):
        read_video(clip, [0], backend="decord")


def stand_in(frames: torch.Tensor) -> types.SimpleNamespace:
    """A module like decord, of which every video has these frames."""

    class Frames:
        def __init__(self, array):
            self.array, self.shape = array, array.shape

        def asnumpy(self):
            return self.array

    class VideoReader:
        def __init__(self, path, num_threads):
            assert num_threads == 1

        def __len__(self):
            return len(frames)

        def __getitem__(self, i):
            return Frames(frames[i].numpy())

        def get_avg_fps(self):
            return 25.0

        def get_frame_timestamp(self, indices):
            return np.zeros((len(indices), 2))  # as it says of AVI files

        def get_batch(self, indices):
            return Frames(frames[indices].numpy())

    return types.SimpleNamespace(VideoReader=VideoReader, DECORDError=OSError)


@pytest.fixture
def _fresh():
    decord_backend.probe_file.cache_clear()
    yield
    decord_backend.probe_file.cache_clear()


def test_decord_reads_a_whole_call(clip, monkeypatch, _fresh):
    frames = read_video(clip)
    monkeypatch.setattr(frames_module, "opened", None)  # PyAV gives no frame
    monkeypatch.setitem(sys.modules, "decord", stand_in(frames))
    assert read_video(clip, [5, 0, 5], backend="decord").equal(frames[[5, 0, 5]])
    info = probe(clip, backend="decord")
    assert (info.num_frames, info.size) == (NUM_FRAMES, (64, 96)) and np.allclose(np.diff(info.times), 0.04)
    with pytest.raises(IndexError, match="60 frames"):
        read_video(clip, [60], backend="decord")


@pytest.mark.parametrize("change", [lambda frames: torch.cat([frames, frames[:10]]), lambda frames: frames[:, :32]])
def test_decord_is_refused_where_it_reads_another_stream(clip, monkeypatch, _fresh, change):
    frames = change(read_video(clip))
    monkeypatch.setitem(sys.modules, "decord", stand_in(frames))
    with pytest.raises(VideoError, match=rf"decord finds {len(frames)} frames of 96 x {frames.shape[1]} pixels where "
                       r"PyAV, by which points are extracted, finds 60 of 96 x 64; set .* to pyav"):
        probe(clip, backend="decord")


def test_decord_itself_agrees_with_pyav(clip):
    pytest.importorskip("decord")
    assert read_video(clip, [9, 50, 9], backend="decord").equal(read_video(clip, [9, 50, 9]))
