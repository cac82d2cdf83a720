"""A training step, cold and from the features of a cache, and the memory it takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from benchmarks.model import MATCHING, vit_s, vit_s_model
from benchmarks.timing import Figure, Setting, figure, in_turns, peak_memory, speedup
from trokens.fewshot.task import FewShotTask
from trokens.structures import Clips, Episode


def build_step(setting: Setting, **options) -> Callable[[bool], float]:
    """A function that takes a training step, from frames in memory or from features, and returns its loss."""
    clips, frames, points, size, depth = (10, 4, 64, 112, 6) if setting.small else (35, 8, 256, 224, 12)
    backbone = vit_s(depth)
    model = vit_s_model(backbone, num_frames=frames, num_points=points, grid=backbone.grid(size),
                        **options).to(setting.device)
    task = FewShotTask(model, matching=MATCHING).train()
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=1e-4)
    make = torch.Generator().manual_seed(0)
    way = torch.cat([torch.arange(5), torch.arange(5).repeat_interleave(clips // 5 - 1)])
    video = torch.randint(256, (clips, frames, 3, size, size), generator=make, dtype=torch.uint8)
    tracks = torch.rand(clips, frames, points, 2, generator=make) * 2 - 1
    visibility = torch.rand(clips, frames, points, generator=make) > 0.2
    shown = Clips(video, tracks, visibility, torch.ones_like(visibility), way, torch.arange(clips))
    episode = Episode(shown, way, 5, 5).to(setting.device)

    @cache  # a cold step's memory does not hold them
    def features() -> Tensor:
        return model.patch_features(episode.clips.video)

    def step(from_cache: bool) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = task(episode, features() if from_cache else None)["loss"]
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def two_steps(setting: Setting, options: dict, from_cache: bool) -> None:
    """Build a model and train it for two steps."""
    step = build_step(setting, **options)
    for _ in range(2):
        step(from_cache)


def measure(setting: Setting) -> list[Figure]:
    """5-way 1-shot with 6 query clips a class: 35 clips, ViT-S/14 at 224, 8 frames, 256 points."""
    step, again = build_step(setting), build_step(setting, act_checkpoint=True)
    seconds = in_turns({"cold": lambda: step(False), "from features": lambda: step(True),
                        "from features, activations computed again": lambda: again(True)}, setting)
    figures = [*(figure(f"training/step {name}", values) for name, values in seconds.items()),
               speedup("training/features over cold", seconds["cold"], seconds["from features"])]
    if not setting.small:  # there, torch itself is most of it
        figures += [peak_memory(f"training/peak memory {source}{how}", two_steps, setting, options, source != "cold")
                    for source in ("cold", "from features")
                    for how, options in {"": {}, ", activations computed again": {"act_checkpoint": True}}.items()]
    return figures
