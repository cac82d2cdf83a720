import os

import numpy as np
from videos import FPS, NUM_FRAMES, copy_stream, table

from trokens.video import probe


def test_probe_tells_times_rate_and_size(clip):
    info = probe(clip)
    assert (info.num_frames, info.fps, info.size, info.short, info.damage) == (NUM_FRAMES, 25, (64, 96), None, None)
    assert np.allclose(info.times, np.arange(NUM_FRAMES) / FPS)


def test_probe_forgets_a_file_that_changed(clip, tmp_path):
    before = probe(clip)
    assert probe(clip) is before
    os.replace(copy_stream(clip, tmp_path / "short.mp4", 0, 24), clip)
    assert probe(clip).num_frames == 24


def test_real_files_have_the_frames_a_full_decode_finds(real_clips):
    folder = real_clips / "robust"
    counted = [row for row in table(folder) if row["frames"]]
    assert len(counted) > 25
    for row in counted:
        info = probe(folder / row["path"])
        height, width = int(row["h"]), int(row["w"])
        in_part = row["path"] == "derived_truncated.avi"  # its last frame, which is left out
        assert info.num_frames == int(row["frames"]) - in_part, row["path"]
        assert info.size == ((width, height) if row["rot"] in ("90", "-90") else (height, width)), row["path"]
        assert abs(info.fps - float(row["fps"])) < 0.01, row["path"]
        assert len(info.times) == info.num_frames and (np.diff(info.times) > 0).all(), row["path"]
