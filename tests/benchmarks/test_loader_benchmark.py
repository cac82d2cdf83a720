"""The plain way to read a clip shows what ours shows, and takes longer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trokens.benchmarks import loader
from trokens.benchmarks.loader import decode_plainly, frame_numbers, make_clip, read_plainly, render_videos
from trokens.benchmarks.timing import Figure, Setting
from trokens.clips.reader import ClipReader
from trokens.video import probe, read_video
from trokens.video.transforms import _OPERATIONS


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    return render_videos(tmp_path_factory.mktemp("videos"), small=True)[0]


def measure(*videos: Path, repeats: int = 1) -> dict[str, Figure]:
    figures = loader.loader(Setting(torch.device("cpu"), repeats, videos=tuple(map(str, videos))))
    return {figure.name: figure for figure in figures}


@pytest.mark.parametrize("lean", [False, True])
def test_the_plain_way_decodes_the_same_frames(rendered, lean):
    numbers = [0, 13, 14, 40]
    images = decode_plainly(rendered, numbers, lean=lean)
    apart = [(torch.from_numpy(np.array(image)).int() - frame).abs().float().mean()
             for image, frame in zip(images, read_video(rendered, numbers), strict=True)]
    assert max(apart) < 1


def test_the_plain_way_shows_what_the_published_order_shows(rendered, tmp_path):
    clip = make_clip(rendered, tmp_path)
    reader = ClipReader([clip], 8, 224, 256, "cluster_sample", augment=loader.AUGMENT)
    numbers = frame_numbers(clip)
    assert len(numbers) == 8 and numbers[-1] == probe(rendered).num_frames - 1 == 89
    drawn = set()
    for key in range(8):
        plain, ours = read_plainly(reader, numbers, key, lean=True), reader.read(0, with_video=True, key=str(key))
        assert (plain.video.int() - ours.video).abs().float().mean() < 1.5
        assert plain.tracks.shape == ours.tracks.shape
        drawn |= {name for name, *_ in loader.AUGMENT.draw(torch.Generator().manual_seed(key))}
    assert len(drawn) > 3 and loader._OPERATIONS.keys() == _OPERATIONS.keys()


def test_every_way_and_stage_is_measured_for_every_video(tmp_path):
    video = tmp_path / "short.mp4"
    loader.write_video(video, torch.randint(256, (20, 32, 48, 3), dtype=torch.uint8).numpy(), fps=10)
    figures = measure(video)
    assert all(figure.low > 0 and name.startswith("loader/short.mp4/") for name, figure in figures.items())
    assert sum(figure.unit == "ratio" for figure in figures.values()) == 8
    assert sum(figure.unit == "clips/s" for figure in figures.values()) == 6
    assert sum(figure.unit == "ms" for figure in figures.values()) == 7


@pytest.mark.parametrize("name", [
    "mmaction2_test.mp4", "tv_SOX5yA1l24A.mp4", "tv_v_SoccerJuggling_g23_c01.avi",
    "tv_SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi",
])
def test_real_clips_are_read_faster_than_plainly(real_clips, name, monkeypatch):
    monkeypatch.setattr(loader, "KEYS", 2)
    figures = measure(real_clips / "robust" / name, repeats=2)
    ratio = {way: figures[f"loader/{name}/{way} over plain"].value for way in ("resize_first", "cache_raw")}
    assert ratio["resize_first"] > 2.5 and ratio["cache_raw"] > 6
    assert figures[f"loader/{name}/HoD and masks"].value < 1  # ms
