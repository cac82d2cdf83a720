"""Extraction of points, against the backbone's own time, and stage by stage for one's own videos."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import torch

from trokens.benchmarks import BENCHMARKS
from trokens.benchmarks.model import vit_s
from trokens.benchmarks.timing import Figure, Setting, figure, in_turns, peak_memory, speedup
from trokens.clips.lists import DEFAULT_FPS
from trokens.extraction.extractor import Extractor, Options, extract_video
from trokens.extraction.frame_times import resample
from trokens.extraction.jobs import Job
from trokens.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from trokens.moving_shapes.render import render_clip
from trokens.video import probe, stream_video
from trokens.video.write import write_video

TRACKERS = ("flow", "lucas_kanade")  # that need no GPU


@BENCHMARKS.register("extraction")
def extraction(setting: Setting) -> list[Figure]:
    """A clip from its video to its point file: 32 frames, all clustered, about 200 points; then given videos."""
    extractor = _extractor(setting, "flow")
    frames, _ = render_clip("translate_left", seed=0, level="medium", size=160 if setting.small else 280, num_frames=32)
    with TemporaryDirectory() as folder:
        job = Job(Path(folder) / "clip.mp4", Path(folder) / "clip.safetensors", fps=0)
        write_video(job.video, frames)
        seconds = in_turns({"backbone": lambda: extractor.features(torch.from_numpy(frames)),
                            "whole": lambda: extract_video(job, extractor)}, setting)
        figures = [figure("extraction/backbone", seconds["backbone"], "s", "32 frames"),
                   figure("extraction/whole", seconds["whole"], "s", "a clip of 280 x 280, from video to point file"),
                   speedup("extraction/backbone of whole", seconds["backbone"], seconds["whole"])]
        for video in map(Path, setting.videos):
            for tracker in TRACKERS:
                figures += _stages(Job(video, job.points, DEFAULT_FPS), tracker, setting)
    return figures


def _extractor(setting: Setting, tracker: str) -> Extractor:
    cv2.setNumThreads(torch.get_num_threads())
    backbone = vit_s(2 if setting.small else 12, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return Extractor(Options(tracker=tracker), backbone)


def _stages(job: Job, tracker: str, setting: Setting) -> list[Figure]:
    """What each stage of the default options takes of a video, and its whole extraction."""
    extractor = _extractor(setting, tracker)
    info = probe(job.video)
    numbers = resample(info.times, job.fps).tolist()
    length, (height, width) = len(numbers), info.size

    def take():
        return extractor.take(stream_video(job.video, numbers), length, info.size, job.points.parent)

    def decode():  # and scale
        with take():
            pass

    with take() as clip:
        features = extractor.features(clip.squares)
        queries = extractor.place(features, clip.rows, clip.size)
        seconds = in_turns({
            "decode": decode,
            "backbone": lambda: extractor.features(clip.squares),
            "place points": lambda: extractor.place(features, clip.rows, clip.size),
            "track": lambda: extractor.follow(clip, queries),
            "whole": lambda: extract_video(job, extractor),
        }, setting)
    name = f"extraction/{job.video.name}/{tracker}"
    size = os.path.getsize(job.points) / 1e6
    return [*(figure(f"{name}/{stage}", values, "s") for stage, values in seconds.items()),
            Figure(f"{name}/point file", size, "MB", size, size,
                   f"{len(queries.points)} points, {length} positions of {width} x {height}"),
            peak_memory(f"{name}/memory", _extract, setting, job, tracker)]


def _extract(setting: Setting, job: Job, tracker: str) -> None:
    extract_video(job, _extractor(setting, tracker))
