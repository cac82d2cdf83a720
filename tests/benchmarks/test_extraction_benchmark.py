"""The benchmark of extraction tells the stages of given videos apart."""

import numpy as np
import torch

from trokens.benchmarks import extraction as module
from trokens.benchmarks.timing import Setting
from trokens.video.write import write_video


def test_every_stage_of_a_given_video_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TRACKERS", ("lucas_kanade",))
    video = tmp_path / "noise.mp4"
    write_video(video, np.random.default_rng(0).integers(256, size=(8, 48, 64, 3), dtype=np.uint8), fps=10)
    figures = {f.name: f for f in module.extraction(Setting(torch.device("cpu"), 1, small=True, videos=(str(video),)))}
    stages = {name.rpartition("/")[2]: f for name, f in figures.items() if name.startswith("extraction/noise.mp4/")}
    assert list(stages) == ["decode", "backbone", "place points", "track", "whole", "point file", "memory"]
    assert all(f.value > 0 for f in stages.values()) and stages["memory"].unit == "GB"
    assert "8 positions of 64 x 48" in stages["point file"].note
