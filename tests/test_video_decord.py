import sys
import types

import numpy as np
import pytest
from videos import NUM_FRAMES

from trokens.video import decord_backend, probe, read_video
from trokens.video import frames as frames_module


def test_decord_is_asked_for_by_name_and_missed_with_a_remedy(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(ImportError, match="pip install decord"):
        read_video(clip, [0], backend="decord")


def test_decord_reads_a_whole_call(clip, monkeypatch):
    frames = read_video(clip)
    monkeypatch.setattr(frames_module, "opened", None)  # PyAV must take no part

    class Frames:
        def __init__(self, array):
            self.array, self.shape = array, array.shape

        def asnumpy(self):
            return self.array

    class VideoReader:
        def __init__(self, path, num_threads):
            assert path == str(clip) and num_threads == 1

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

    decord_backend.probe_file.cache_clear()
    monkeypatch.setitem(sys.modules, "decord", types.SimpleNamespace(VideoReader=VideoReader, DECORDError=OSError))
    assert read_video(clip, [5, 0, 5], backend="decord").equal(frames[[5, 0, 5]])
    info = probe(clip, backend="decord")
    assert (info.num_frames, info.size) == (NUM_FRAMES, (64, 96)) and np.allclose(np.diff(info.times), 0.04)
    with pytest.raises(IndexError, match="60 frames"):
        read_video(clip, [60], backend="decord")
    decord_backend.probe_file.cache_clear()


def test_decord_itself_agrees_with_pyav(clip):
    pytest.importorskip("decord")
    assert read_video(clip, [9, 50, 9], backend="decord").equal(read_video(clip, [9, 50, 9]))
