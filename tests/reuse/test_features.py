"""Features of a frozen backbone: computed once, found again, and the same as from frames."""

import os
import shutil
from dataclasses import replace

import pytest
import timm
import torch
from tiny import APPEARANCE, figures, tiny_cfg

from trokens import build_model
from trokens.clips import reader as loader
from trokens.clips.reader import ClipReader
from trokens.clips.split import build_split
from trokens.config.validate import ConfigError
from trokens.engine.prepare import Prepared, prepare
from trokens.engine.run import build_train_features, run_experiment
from trokens.reuse.embed import ClipEmbedder
from trokens.reuse.features import Features, ViewReader
from trokens.reuse.store import FeatureStore

CPU = torch.device("cpu")
TRAIN = APPEARANCE | {"TEST.ENABLE": False, "MODEL.CACHE_GB": 0.0}


@pytest.fixture
def reads(monkeypatch):
    """One entry for each time that a video is read."""
    made, read_video = [], loader.read_video
    monkeypatch.setattr(loader, "read_video", lambda *a, **k: made.append(a[0]) or read_video(*a, **k))
    return made


def train(data, folder, reads, **changes) -> tuple[list[dict], int]:
    """Figures of a run, and how many videos it read."""
    reads.clear()
    run_experiment(tiny_cfg(data, folder, TRAIN, **changes), CPU)
    return figures(folder), len(reads)


def test_a_run_from_the_disk_equals_one_from_frames_and_later_runs_read_no_video(tiny_data, tmp_path, reads):
    frames, many = train(tiny_data, tmp_path / "frames", reads)
    cache = {"MODEL__FEATURE_CACHE": tmp_path / "cache"}
    first, few = train(tiny_data, tmp_path / "first", reads, **cache)
    second, none = train(tiny_data, tmp_path / "second", reads, RNG_SEED=1, **cache)
    assert many == 6 * 6 + 2 * 9 and few == 24 + 9 and none == 0  # clips of all steps and validations; each clip once
    assert first == second
    for a, b in zip(frames, first, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_a_run_from_memory_equals_one_from_frames(tiny_data, tmp_path, reads):
    frames, _ = train(tiny_data, tmp_path / "frames", reads)
    kept, few = train(tiny_data, tmp_path / "kept", reads, MODEL__CACHE_GB=4.0)
    assert few == 24 + 9
    for a, b in zip(frames, kept, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_other_weights_options_and_files_are_computed_anew(tiny_data, tmp_path, reads):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    cache = {"MODEL__FEATURE_CACHE": tmp_path / "cache", "SOLVER__MAX_EPOCH": 1, "SOLVER__WARMUP_EPOCHS": 0,
             "TRAIN__EVAL_PERIOD": 5}
    count = train(data, tmp_path / "1", reads, **cache)[1]
    video = next(data.glob("train/*/0.mp4"))
    os.utime(video, (0, 0))
    assert train(data, tmp_path / "2", reads, **cache)[1] == 1 and reads == [video]
    assert train(data, tmp_path / "3", reads, DATA__NUM_FRAMES=3, **cache)[1] == count
    assert train(data, tmp_path / "4", reads, MODEL__TIMM_STAGE=1, **cache)[1] == count
    assert train(data, tmp_path / "5", reads, **cache)[1] == 0  # the others took nobody's place


def test_damaged_features_are_computed_anew(tiny_data, tmp_path, reads):
    cache = {"MODEL__FEATURE_CACHE": tmp_path / "cache", "SOLVER__MAX_EPOCH": 1, "SOLVER__WARMUP_EPOCHS": 0}
    want, _ = train(tiny_data, tmp_path / "1", reads, **cache)
    file, = (tmp_path / "cache").glob("features-train-*.bank")
    whole = file.read_bytes()
    row = len(whole) // 24
    file.write_bytes(whole[:5 * row] + bytes(row) + whole[6 * row:])
    assert train(tiny_data, tmp_path / "2", reads, **cache) == (want, 1) and file.read_bytes() == whole


def test_data_sets_of_one_size_never_write_into_each_others_features(tiny_data, tmp_path):
    cfg = tiny_cfg(tiny_data, tmp_path, APPEARANCE, MODEL__NUM_CLASSES=6, MODEL__FEATURE_CACHE=tmp_path / "cache")
    store, model = FeatureStore.from_config(cfg), build_model(cfg)
    reader = ClipReader.from_config(cfg, build_split(cfg, "train"), augment=False)
    one, other = (replace(reader, clips=reader.clips[i:i + 3]) for i in (0, 3))

    def compute(own: ClipReader) -> torch.Tensor:
        return store.keep(ClipEmbedder(model, own, CPU, "train"), range(3)).values

    used = compute(one)  # by a run that goes on while another one starts
    before = used.clone()
    assert not compute(other).equal(before) and used.equal(before)


def test_backbones_that_share_their_weights_are_told_apart(tiny_data, tmp_path, reads):
    """They pad their frames differently."""
    torch.save(timm.create_model("efficientnet_b0").state_dict(), tmp_path / "weights.pth")
    options = {"MODEL__FEATURE_CACHE": tmp_path / "cache", "MODEL__BACKBONE_WEIGHTS": tmp_path / "weights.pth",
               "SOLVER__MAX_EPOCH": 1, "SOLVER__WARMUP_EPOCHS": 0, "TRAIN__EVAL_PERIOD": 5}
    for name in ("efficientnet_b0", "tf_efficientnet_b0"):
        assert train(tiny_data, tmp_path / name, reads, MODEL__TIMM_NAME=name, **options)[1] == 24 + 9


def test_one_folder_serves_features_and_token_banks(tiny_data, tmp_path, reads):
    """A new bank of a split takes the place of the older one, and of nothing else."""
    options = {"MODEL__FEATURE_CACHE": tmp_path / "cache", "TEST__BANK": "disk", "TEST__BANK_DIR": tmp_path / "cache"}
    assert [train(tiny_data, tmp_path / run, reads, **options)[1] for run in "ab"] == [24 + 9, 0]


def test_memory_holds_what_fits_and_nothing_of_augmented_frames(tiny_data, tmp_path):
    run = prepare(tiny_cfg(tiny_data, tmp_path, TRAIN), CPU)
    model = build_model(run.cfg)
    size = 24 * 4 * 4 * 8 * 8 * 40  # clips, frames, bytes, grid, channels

    def kept(run: Prepared, store: FeatureStore) -> Features | None:
        reader = ClipReader.from_config(run.cfg, run.splits["train"], augment=True)
        return build_train_features(run.cfg, model, reader, store, CPU)

    assert kept(run, FeatureStore(None, size - 1)) is None
    assert kept(run, FeatureStore(None, size)).values.nbytes == size
    augmented = prepare(tiny_cfg(tiny_data, tmp_path, TRAIN, DATA__USE_RAND_AUGMENT=True), CPU)
    assert kept(augmented, FeatureStore(tmp_path / "cache", 2**32)) is None


def test_cached_views_need_a_place(tiny_data, tmp_path):
    with pytest.raises(ConfigError, match=r"AUG.CACHED_VIEWS = 2 needs 0\.0 GB of memory, and MODEL.CACHE_GB leaves"):
        run_experiment(tiny_cfg(tiny_data, tmp_path, TRAIN, DATA__USE_RAND_AUGMENT=True, AUG__CACHED_VIEWS=2), CPU)


def test_views_are_augmented_each_in_its_own_way_whoever_asks(tiny_data, tmp_path):
    cfg = tiny_cfg(tiny_data, tmp_path, APPEARANCE, DATA__USE_RAND_AUGMENT=True)
    reader = ClipReader.from_config(cfg, build_split(cfg, "train"), augment=True)
    views = ViewReader(reader, 3)
    assert [clip.id for clip in views.clips[:4]] == [reader.clips[0].id] * 3 + [reader.clips[1].id]
    first = [views.read(row, with_video=True) for row in range(6)]
    assert [clips.index.item() for clips in first] == list(range(6))
    assert [clips.class_id.item() for clips in first] == [reader.clips[row // 3].class_id for row in range(6)]
    assert torch.equal(first[4].video, views.read(4, with_video=True).video)
    assert len({clips.video.numpy().tobytes() for clips in first}) > 4  # an operation is applied half of the time


def test_a_run_with_cached_views_draws_among_them_and_computes_them_once(tiny_data, tmp_path, reads):
    options = {"DATA__USE_RAND_AUGMENT": True, "AUG__CACHED_VIEWS": 2, "MODEL__FEATURE_CACHE": tmp_path / "cache"}
    first, many = train(tiny_data, tmp_path / "1", reads, **options)
    second, none = train(tiny_data, tmp_path / "2", reads, **options)
    assert many == 2 * 24 + 9 and none == 0 and first == second


def test_a_look_draws_a_view_of_each_clip():
    features = Features(torch.arange(12.).view(12, 1), views=3)
    draws = torch.Generator().manual_seed(0)
    seen = {tuple(features.look(torch.tensor([0, 3]), draws).flatten().tolist()) for _ in range(200)}
    assert seen == {(a, b) for a in (0., 1, 2) for b in (9., 10, 11)}
    assert Features(torch.arange(4.), [7, 5, 2, 9]).look(torch.tensor([5, 9])).tolist() == [1, 3]
