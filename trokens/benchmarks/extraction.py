"""Extraction of points with the flow tracker, against the backbone's own time."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import torch

from trokens.benchmarks import BENCHMARKS
from trokens.benchmarks.model import vit_s
from trokens.benchmarks.timing import Figure, Setting, figure, in_turns, speedup
from trokens.data.synthetic import render_clip
from trokens.data.write import write_video
from trokens.extraction.extractor import Extractor, Options, extract_video
from trokens.extraction.jobs import Job
from trokens.models.backbone import IMAGENET_MEAN, IMAGENET_STD


@BENCHMARKS.register("extraction")
def extraction(setting: Setting) -> list[Figure]:
    """A clip from its video to its point file: 32 frames, all clustered, about 200 points."""
    cv2.setNumThreads(torch.get_num_threads())
    backbone = vit_s(2 if setting.small else 12, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    extractor = Extractor(Options(tracker="flow"), backbone)
    frames, _ = render_clip("translate_left", seed=0, level="medium", size=160 if setting.small else 280, num_frames=32)
    with TemporaryDirectory() as folder:
        job = Job(Path(folder) / "clip.mp4", Path(folder) / "clip.safetensors", fps=0)
        write_video(job.video, frames)
        seconds = in_turns({"backbone": lambda: extractor.features(torch.from_numpy(frames)),
                            "whole": lambda: extract_video(job, extractor)}, setting)
    return [figure("extraction/backbone", seconds["backbone"], "s", "32 frames"),
            figure("extraction/whole", seconds["whole"], "s", "a clip of 280 x 280, from video to point file"),
            speedup("extraction/backbone of whole", seconds["backbone"], seconds["whole"])]
