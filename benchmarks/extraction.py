"""Extraction of points, against the backbone's own time, and stage by stage for one's own videos."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import torch

from benchmarks.model import vit_s
from benchmarks.timing import Figure, Setting, figure, in_turns, peak_memory, speedup
from trokens.clips.dataset import FPS
from trokens.extraction.extractor import Extractor, Options, extract_video
from trokens.extraction.frame_times import resample
from trokens.extraction.jobs import Job
from trokens.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from trokens.moving_shapes.render import render_clip
from trokens.video import probe, stream_video
from trokens.video.write import write_video

TRACKERS = ("flow", "lucas_kanade")  # that need no GPU


def measure(setting: Setting) -> list[Figure]:
    """A clip from its video to its point file: 32 frames, all clustered, about 200 points; then given videos."""
    extractor = build_extractor(setting, "flow")
    frames, _ = render_clip("translate_left", seed=0, level="medium", size=160 if setting.small else 280, num_frames=32)
    with TemporaryDirectory() as folder:
        job = Job(Path(folder) / "clip.mp4", Path(folder) / "clip.safetensors", fps=0)
        write_video(job.video, frames)
        seconds = in_turns({"backbone": lambda: extractor.features(torch.from_numpy(frames)),
                            "whole": lambda: extract_video(job, extractor)}, setting)
        figures = [figure("extraction/backbone", seconds["backbone"], note="32 frames"),
                   figure("extraction/whole", seconds["whole"], note="a clip of 280 x 280, from video to point file"),
                   speedup("extraction/backbone of whole", seconds["backbone"], seconds["whole"])]
        for video in setting.videos:
            for tracker in TRACKERS:
                figures += stages(Job(Path(video), job.points, FPS), tracker, setting)
    return figures


def build_extractor(setting: Setting, tracker: str) -> Extractor:
    """The default options, but for the tracker and the backbone."""
    cv2.setNumThreads(1)
    return Extractor(Options(tracker=tracker), vit_s(2 if setting.small else 12, mean=IMAGENET_MEAN, std=IMAGENET_STD))


def stages(job: Job, tracker: str, setting: Setting) -> list[Figure]:
    """What each stage takes of a video, and its whole extraction."""
    extractor, info = build_extractor(setting, tracker), probe(job.video)
    numbers = resample(info.times, job.fps).tolist()

    def take():
        return extractor.read(stream_video(job.video, numbers), len(numbers), info.size, job.points.parent)

    with take() as clip:
        features = extractor.features(clip.squares)
        queries = extractor.choose_points(features, clip.rows, clip.size)
        seconds = in_turns({
            "decode": lambda: take().__enter__(),  # and scale
            "backbone": lambda: extractor.features(clip.squares),
            "place points": lambda: extractor.choose_points(features, clip.rows, clip.size),
            "track": lambda: extractor.follow(clip, queries),
            "whole": lambda: extract_video(job, extractor),
        }, setting)
    name, size, (height, width) = f"extraction/{job.video.name}/{tracker}", job.points.stat().st_size / 1e6, info.size
    return [*(figure(f"{name}/{stage}", values) for stage, values in seconds.items()),
            figure(f"{name}/point file", [size], "MB",
                   f"{len(queries.points)} points, {len(numbers)} positions of {width} x {height}"),
            peak_memory(f"{name}/memory", extract, setting, job, tracker)]


def extract(setting: Setting, job: Job, tracker: str) -> None:
    """Extract a video from the start."""
    extract_video(job, build_extractor(setting, tracker))
