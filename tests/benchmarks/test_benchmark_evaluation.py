"""The benchmark of evaluation compares ways that give the same."""

import pytest
import torch

from trokens.benchmarks import evaluation as module
from trokens.benchmarks.evaluation import Sizes, direct_logits, episodes, evaluation, rendered_clips
from trokens.benchmarks.model import vit_s, vit_s_model
from trokens.benchmarks.timing import Setting
from trokens.clips.loader import collate
from trokens.clips.reader import ClipReader
from trokens.fewshot.bank import TokenBank

CPU = torch.device("cpu")
TINY = Sizes(clips=30, episodes=20, kept=30, read=2, frames=2, points=8, size=28, depth=1, pixels=48)


def test_the_direct_way_gives_what_the_bank_gives(tmp_path):
    clips = rendered_clips(tmp_path, TINY)
    reader = ClipReader(clips, TINY.frames, TINY.size, TINY.points, "cluster_sample")
    model = vit_s_model(backbone=vit_s(depth=1), grid=2, num_frames=2, num_points=8)
    with torch.no_grad():
        tokens = model(collate([reader.read(index, with_video=True) for index in range(TINY.clips)]))[1]
        for k_shot in (1, 5):
            bank = TokenBank(tokens, range(TINY.clips), is_aggregated=False, **module.MATCHING)
            plan = episodes(TINY.clips, 1, k_shot)[0]
            assert len(set(plan.indices)) == 5 * (k_shot + 1)
            direct = direct_logits(model, reader, plan, CPU)
            torch.testing.assert_close(bank.score([plan])[0], direct, atol=1e-5, rtol=0)


def test_its_figures_are_of_one_run(monkeypatch):
    monkeypatch.setattr(module, "SMALL", TINY)
    monkeypatch.setattr(module, "EPISODES", 40)
    figures = {figure.name.removeprefix("evaluation/"): figure for figure in evaluation(Setting(CPU, 1, small=True))}
    assert all(figure.value > 0 and figure.low <= figure.value <= figure.high for figure in figures.values())
    value = {name: figure.value for name, figure in figures.items()}
    assert value["backbone of whole"] == pytest.approx(value["backbone"] / value["whole"])
    for name in ("1-shot", "5-shot"):
        whole = module.SSV2_SMALL * value["whole"] + value[f"scoring {name}"]
        assert value[f"bank {name}"] == pytest.approx(40 * value[f"direct {name}"] / whole)
        assert "extrapolated" in figures[f"bank {name}"].note
