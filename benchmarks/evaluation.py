"""Evaluation from one look at each clip, against a bare pass of the backbone and against embedding every episode."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.model import MATCHING, vit_s, vit_s_model
from benchmarks.timing import Figure, Setting, figure, in_turns, speedup
from trokens.clips.loader import collate
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.engine.evaluator import Evaluator
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodePlan, EpisodeSampler
from trokens.fewshot.matchers import clip_features, match
from trokens.models.trokens import Trokens
from trokens.moving_shapes.render import render_clip
from trokens.points.io import write_tracks
from trokens.reuse.embed import ClipEmbedder
from trokens.video.write import write_video

EPISODES, CLIPS = 10_000, 2_400  # of the protocol; of SSv2-Small's test split
CLASSES = 5  # of the clips here: every class is in every episode


@dataclass(frozen=True)
class Sizes:
    """What is measured in a turn: by default a fifth of 200 clips and 10,000 episodes, so that five turns are all."""

    clips: int = 40  # of a whole evaluation
    episodes: int = 2_000
    kept: int = 200  # clips in the bank that scoring alone reads: more than any cache holds
    read: int = 500  # episodes scored with the published prototype of five shots, of which every token is read
    frames: int = 8
    points: int = 256
    size: int = 224  # side of a clip's frames
    depth: int = 12  # blocks of the backbone
    pixels: int = 288  # side of the rendered videos


SMALL = Sizes(clips=30, episodes=1_500, kept=50, read=50, frames=4, points=64, size=112, depth=2, pixels=96)


@torch.no_grad()
def measure(setting: Setting) -> list[Figure]:
    """A whole evaluation, scoring alone, and how much less than direct evaluation both take."""
    sizes = SMALL if setting.small else Sizes()
    backbone = vit_s(sizes.depth)
    model = vit_s_model(backbone, grid=backbone.grid(sizes.size), num_frames=sizes.frames,
                        num_points=sizes.points).to(setting.device)
    with TemporaryDirectory() as folder:
        reader = ClipReader(rendered_clips(Path(folder), sizes), sizes.frames, sizes.size, sizes.points,
                            "cluster_sample")
        looks = in_turns(ways_to_look(model, reader, sizes, setting), setting)
    whole, scoring = looks["whole"], in_turns(ways_to_score(model.embed_dim, sizes, setting), setting)
    for name in ("5-shot", "5-shot half"):
        scoring[name] = [EPISODES / sizes.read * seconds for seconds in scoring[name]]
    figures = [
        figure("evaluation/backbone", looks["backbone"], "s", "a clip, bare pass", factor=1 / sizes.clips),
        figure("evaluation/whole", whole, "s", f"a clip: {sizes.episodes} 1-shot episodes over {sizes.clips} clips, "
               "decoding and scoring included", factor=1 / sizes.clips),
        speedup("evaluation/backbone of whole", looks["backbone"], whole,
                "the bare pass over the whole evaluation; 1.35 times as much would be 0.74"),
        *(figure(f"evaluation/scoring {name}", seconds, "s", f"{EPISODES} episodes from the bank")
          for name, seconds in scoring.items())]
    for k_shot, name in ((1, "1-shot"), (5, "5-shot")):
        bank = [CLIPS / sizes.clips * look + score for look, score in zip(whole, scoring[name], strict=True)]
        figures += [figure(f"evaluation/direct {name}", looks[name], "s",
                           f"an episode of {CLASSES * (k_shot + 1)} clips"),
                    speedup(f"evaluation/bank {name}", [EPISODES * s for s in looks[name]], bank,
                            f"extrapolated from measured parts: {EPISODES} episodes over {CLIPS} clips")]
    return figures


def rendered_clips(folder: Path, sizes: Sizes) -> list[Clip]:
    """Videos of 36 frames with 300 tracks."""
    clips = []
    for number in range(sizes.clips):
        clip = Clip(str(number), folder / f"{number}.mp4", folder / f"{number}.safetensors", number % CLASSES, "")
        frames, tracks = render_clip("fall", seed=number, size=sizes.pixels, num_frames=36, num_points=300)
        write_video(clip.video, frames)
        write_tracks(clip.tracks, tracks)
        clips.append(clip)
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


def ways_to_look(model: Trokens, reader: ClipReader, sizes: Sizes, setting: Setting) -> dict[str, Callable]:
    """Everything that looks at clips: the backbone alone, a whole evaluation, an episode embedded on its own."""
    embedder = ClipEmbedder(model, reader, setting.device, "test", 1 if setting.device.type == "cpu" else 8)

    def whole() -> None:
        for clip in reader.clips:
            os.utime(clip.video)  # else what was found out about the files in the last turn would count
        sampler = episodes(sizes.clips, sizes.episodes, 1)
        Evaluator("test", {1: list(sampler)}, MATCHING).run(embedder)

    videos = torch.cat([reader.read(index, with_video=True).video for index in range(sizes.clips)])
    batches = videos.split(embedder.batch_size)
    plans = {k_shot: episodes(sizes.clips, 1, k_shot)[0] for k_shot in (1, 5)}
    return {"backbone": lambda: [model.patch_features(batch.to(setting.device)) for batch in batches],
            "whole": whole,
            "1-shot": lambda: direct_logits(model, reader, plans[1], setting.device),
            "5-shot": lambda: direct_logits(model, reader, plans[5], setting.device)}


def ways_to_score(dim: int, sizes: Sizes, setting: Setting) -> dict[str, Callable]:
    """Scoring from the bank, drawing the episodes included: 10,000, or those of which every token is read."""
    tokens = torch.randn(sizes.kept, sizes.frames, sizes.points, dim)
    features = torch.cat([clip_features(clip[None]) for clip in tokens])

    def score(stored: Tensor, k_shot: int, num_episodes: int, **matching) -> Callable[[], Tensor]:
        bank = TokenBank(stored.to(setting.device), range(sizes.kept), is_aggregated=stored is features,
                         device=setting.device, **MATCHING | matching)
        return lambda: bank.accuracy(list(episodes(sizes.kept, num_episodes, k_shot)))

    return {"1-shot": score(features, 1, EPISODES),
            "5-shot per_clip": score(features, 5, EPISODES, prototype="per_clip"),
            "5-shot": score(tokens, 5, sizes.read),
            "5-shot half": score(tokens.half(), 5, sizes.read)}
