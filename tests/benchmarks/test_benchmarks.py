"""tools/benchmark.py compares ways that give the same, and says where a ratio has fallen twice."""

import importlib
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import evaluation, extraction, loader
from benchmarks.model import MATCHING, vit_s, vit_s_model
from benchmarks.timing import Figure, Setting
from trokens.clips.loader import collate
from trokens.clips.reader import ClipReader
from trokens.extraction.jobs import Job
from trokens.fewshot.bank import TokenBank
from trokens.video import read_video
from trokens.video.write import write_video

CPU = torch.device("cpu")
TOOL = Path(__file__).resolve().parents[2] / "tools/benchmark.py"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command, with a ratio of 1.0 when `modules` is measured first, and of 2.9 after that."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    measured: list[float] = []

    def measure(_setting) -> list[Figure]:
        measured.append(2.9 if measured else 1.0)
        return [Figure("modules/fast over direct", measured[-1], "ratio", 1, 3)]

    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(measure=measure))

    def run(recorded: float, *arguments: str) -> tuple[int, int]:
        """The exit code, and how often the part was measured, where its recorded ratio is so high."""
        measured.clear()
        figures = [{"name": "modules/fast over direct", "value": recorded, "unit": "ratio"}]
        (tmp_path / "ratios.json").write_text(json.dumps({"figures": figures}))
        main = runpy.run_path(str(TOOL))["main"]
        return main([*(arguments or ["modules"]), "--check", str(tmp_path / "ratios.json")]), len(measured)

    return run


def test_a_ratio_that_fell_is_measured_once_more_and_is_an_error_if_it_fell_twice(run, tmp_path, capsys):
    assert run(1.4) == (0, 1)
    assert run(4, "modules", "--json", str(tmp_path / "figures.json")) == (0, 2)
    assert json.loads((tmp_path / "figures.json").read_text())["figures"][0]["value"] == 2.9  # the better one counts
    assert "| modules/fast over direct | 2.9 ratio |" in capsys.readouterr().out
    assert run(4.2) == (1, 2)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Slower than recorded: modules/fast over direct is 2.90; recorded was 4.20.")


def test_what_cannot_be_measured_is_told_before_anything_is(run, capsys):
    assert run(1, "modules", "nosy") == (2, 0)
    assert "Unknown benchmark 'nosy'. Known: evaluation, " in capsys.readouterr().err


def test_evaluation_embeds_for_the_direct_way_what_the_bank_holds(tmp_path):
    sizes = evaluation.Sizes(clips=30, frames=2, points=8, size=28, depth=1, pixels=48)
    reader = ClipReader(evaluation.rendered_clips(tmp_path, sizes), 2, 28, 8, "cluster_sample")
    model = vit_s_model(vit_s(depth=1), grid=2, num_frames=2, num_points=8)
    with torch.no_grad():
        tokens = model(collate([reader.read(index, with_video=True) for index in range(30)]))[1]
        for k_shot in (1, 5):
            bank = TokenBank(tokens, range(30), is_aggregated=False, **MATCHING)
            plan = evaluation.episodes(30, 1, k_shot)[0]
            direct = evaluation.direct_logits(model, reader, plan, CPU)
            torch.testing.assert_close(bank.score([plan])[0], direct, atol=1e-5, rtol=0)


def test_the_plain_way_to_read_a_clip_shows_what_the_published_order_shows(tmp_path):
    [video] = loader.render_videos(tmp_path, small=True)
    clip = loader.make_clip(video, tmp_path)
    reader = ClipReader([clip], 8, 224, 256, "cluster_sample", augment=loader.AUGMENT)
    numbers = loader.frame_numbers(clip)
    for lean in (True, False):
        decoded = np.stack([np.array(image) for image in loader.decode_plainly(video, numbers, lean=lean)])
        assert (torch.from_numpy(decoded).int() - read_video(video, numbers)).abs().float().mean() < 1
    for key in range(8):
        plain = loader.read_plainly(reader, numbers, key, lean=True)
        ours = reader.read(0, with_video=True, key=str(key))
        assert (plain.video.int() - ours.video).abs().float().mean() < 1.5 and plain.tracks.shape == ours.tracks.shape


def test_given_videos_are_measured_by_way_and_stage(tmp_path):
    video = tmp_path / "noise.mp4"
    write_video(video, np.random.default_rng(0).integers(256, size=(20, 48, 64, 3), dtype=np.uint8), fps=10)
    setting = Setting(CPU, 1, small=True, videos=(str(video),))
    extracted = extraction.stages(Job(video, tmp_path / "noise.safetensors", 10), "lucas_kanade", setting)
    figures = {f.name: f for f in [*loader.measure(setting), *extracted]}
    assert all(f.value > 0 for f in figures.values())
    assert sum(name.startswith("loader/noise.mp4/") for name in figures) == 6 + 8 + 7
    assert "20 positions of 64 x 48" in figures["extraction/noise.mp4/lucas_kanade/point file"].note


@pytest.mark.parametrize("name", ["mmaction2_test.mp4", "tv_SOX5yA1l24A.mp4", "tv_v_SoccerJuggling_g23_c01.avi",
                                  "tv_SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi"])
def test_real_clips_are_read_faster_than_plainly(real_clips, name, monkeypatch):
    monkeypatch.setattr(loader, "KEYS", 2)
    setting = Setting(CPU, 2, videos=(str(real_clips / "robust" / name),))
    figures = {f.name.removeprefix(f"loader/{name}/"): f.value for f in loader.measure(setting)}
    assert figures["resize_first over plain"] > 2.5 and figures["cache_raw over plain"] > 6
    assert figures["HoD and masks"] < 1  # ms
