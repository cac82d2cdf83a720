"""Evaluation from one look at each clip, against a bare pass of the backbone and against embedding every episode."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from trokens.benchmarks import BENCHMARKS
from trokens.benchmarks.model import MATCHING, vit_s, vit_s_model
from trokens.benchmarks.timing import Figure, Setting, figure, in_turns, speedup
from trokens.clips.loader import collate
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.engine.evaluator import Evaluator
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodePlan, EpisodeSampler
from trokens.fewshot.matchers import clip_features, match
from trokens.models.trokens import Trokens
from trokens.moving_shapes.render import SPLITS, render_clip
from trokens.points.io import write_tracks
from trokens.video.write import write_video

EPISODES = 10_000  # of the protocol
SSV2_SMALL = 2_400  # clips of its test split
CLASSES = 5  # of the clips here: every class is in every episode


@dataclass(frozen=True)
class Sizes:
    """What is measured in a turn: by default a fifth of 200 clips and 10,000 episodes, so that five turns are all.

    Attributes:
        clips, episodes: Of a whole evaluation.
        kept: Clips in the bank that scoring alone reads; more than any cache holds.
        read: Episodes scored with the published prototype of five shots, of which every token is read.
        frames, points, size: Of a clip; its tokens, and the side of its frames.
        depth: Blocks of the backbone.
        pixels: Side of the rendered videos.
    """

    clips: int = 40
    episodes: int = 2_000
    kept: int = 200
    read: int = 500
    frames: int = 8
    points: int = 256
    size: int = 224
    depth: int = 12
    pixels: int = 288


SMALL = Sizes(clips=30, episodes=1_500, kept=50, read=50, frames=4, points=64, size=112, depth=2, pixels=96)


@BENCHMARKS.register("evaluation")
@torch.no_grad()
def evaluation(setting: Setting) -> list[Figure]:
    """A whole evaluation, scoring alone, and how much less than direct evaluation both take."""
    sizes = SMALL if setting.small else Sizes()
    backbone = vit_s(sizes.depth)
    model = vit_s_model(backbone=backbone, grid=backbone.grid(sizes.size), num_frames=sizes.frames,
                        num_points=sizes.points).to(setting.device)
    with TemporaryDirectory() as folder:
        clips = rendered_clips(Path(folder), sizes)
        reader = ClipReader(clips, sizes.frames, sizes.size, sizes.points, "cluster_sample")
        looks = _looks(model, reader, sizes, setting)
    scoring = _scoring(model.embed_dim, sizes, setting)
    figures = [
        figure("evaluation/backbone", [s / sizes.clips for s in looks["backbone"]], "s", "a clip, bare pass"),
        figure("evaluation/whole", [s / sizes.clips for s in looks["whole"]], "s",
               f"a clip: {sizes.episodes} 1-shot episodes over {sizes.clips} clips, decoding and scoring included"),
        speedup("evaluation/backbone of whole", looks["backbone"], looks["whole"],
                "the bare pass over the whole evaluation; 1.35 times as much would be 0.74"),
    ]
    figures += [figure(f"evaluation/scoring {name}", seconds, "s", f"{EPISODES} episodes from the bank")
                for name, seconds in scoring.items()]
    for k_shot, name in ((1, "1-shot"), (5, "5-shot")):
        bank = [SSV2_SMALL / sizes.clips * whole + score
                for whole, score in zip(looks["whole"], scoring[name], strict=True)]
        figures += [
            figure(f"evaluation/direct {name}", looks[name], "s", f"an episode of {CLASSES * (k_shot + 1)} clips"),
            speedup(f"evaluation/bank {name}", [EPISODES * s for s in looks[name]], bank,
                    f"extrapolated from measured parts: {EPISODES} episodes over {SSV2_SMALL} clips"),
        ]
    return figures


def rendered_clips(folder: Path, sizes: Sizes) -> list[Clip]:
    """Videos of 36 frames with 300 tracks; a few are rendered, the others are copies."""
    clips: list[Clip] = []
    for number in range(sizes.clips):
        video, points = folder / f"{number}.mp4", folder / f"{number}.safetensors"
        if number < 4:
            frames, tracks = render_clip(SPLITS["test"][0], seed=number, size=sizes.pixels, num_frames=36,
                                         num_points=300)
            write_video(video, frames)
            write_tracks(points, tracks)
        else:
            shutil.copy(clips[number % 4].video, video)
            shutil.copy(clips[number % 4].tracks, points)
        clips.append(Clip(str(number), video, points, number % CLASSES, ""))
    return clips


def episodes(num_clips: int, num_episodes: int, k_shot: int) -> EpisodeSampler:
    """5-way episodes with one query clip a class."""
    return EpisodeSampler([number % CLASSES for number in range(num_clips)], n_way=CLASSES, k_shot=k_shot, n_query=1,
                          num_episodes=num_episodes, seed=0)


def direct_logits(model: Trokens, reader: ClipReader, plan: EpisodePlan, device: torch.device) -> Tensor:
    """The plain way: every clip of the episode is read and embedded, whichever episodes showed it before."""
    clips = collate([reader.read(index, with_video=True) for index in plan.indices]).to(device)
    tokens, way = model(clips)[1], torch.tensor(plan.way, device=device)
    support = plan.num_support
    return match(tokens[support:], tokens[:support], way[:support], plan.n_way, **MATCHING)


def _looks(model: Trokens, reader: ClipReader, sizes: Sizes, setting: Setting) -> dict[str, list[float]]:
    """Seconds of everything that looks at clips."""
    def evaluator() -> Evaluator:
        return Evaluator(reader, [episodes(sizes.clips, sizes.episodes, 1)], split="test", matching=MATCHING,
                         device=setting.device)

    batch = evaluator().loading["batch_size"]
    videos = torch.cat([reader.read(index, with_video=True).video for index in range(sizes.clips)]).split(batch)

    def whole() -> None:
        for clip in reader.clips:
            os.utime(clip.video)  # else what was found out about the files in the last turn would count
        evaluator().run(model)

    def direct(k_shot: int) -> Callable[[], Tensor]:
        plan = episodes(sizes.clips, 1, k_shot)[0]
        return lambda: direct_logits(model, reader, plan, setting.device)

    return in_turns({"backbone": lambda: [model.patch_features(video.to(setting.device)) for video in videos],
                     "whole": whole, "1-shot": direct(1), "5-shot": direct(5)}, setting)


def _scoring(dim: int, sizes: Sizes, setting: Setting) -> dict[str, list[float]]:
    """Seconds of scoring 10,000 episodes, drawing them included."""
    tokens = torch.randn(sizes.kept, sizes.frames, sizes.points, dim)
    features = torch.cat([clip_features(clip[None]) for clip in tokens])

    def score(stored: Tensor, k_shot: int, num_episodes: int, is_aggregated: bool, **matching) -> Callable:
        bank = TokenBank(stored.to(setting.device), range(sizes.kept), is_aggregated=is_aggregated,
                         device=setting.device, **MATCHING | matching)
        return lambda: bank.accuracy(list(episodes(sizes.kept, num_episodes, k_shot)))

    seconds = in_turns({
        "1-shot": score(features, 1, EPISODES, True),
        "5-shot per_clip": score(features, 5, EPISODES, True, prototype="per_clip"),
        "5-shot": score(tokens, 5, sizes.read, False),
        "5-shot half": score(tokens.half(), 5, sizes.read, False),
    }, setting)
    return {name: _scaled(values, EPISODES / sizes.read if name in ("5-shot", "5-shot half") else 1)
            for name, values in seconds.items()}


def _scaled(values: Sequence[float], factor: float) -> list[float]:
    return [factor * value for value in values]
