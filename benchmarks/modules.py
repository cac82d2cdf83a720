"""Each module on the clips of a training episode."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.model import vit_s, vit_s_model
from benchmarks.timing import Figure, Setting, figure, in_turns, peak_memory, speedup
from trokens.fewshot.matchers import match
from trokens.models.motion import CrossMotionModule, cross_motion


def plain_cross_motion(module: CrossMotionModule, tracks: Tensor, visibility: Tensor) -> Tensor:
    """Cross-motion by its definition."""
    return module.plain(cross_motion(tracks, visibility))


def cross_motion_alone(setting: Setting, plain: bool) -> None:
    """Cross-motion of 35 clips, forward and backward."""
    module = CrossMotionModule(256, 384).to(setting.device)
    tracks = torch.zeros(35, 8, 256, 2, device=setting.device)
    inputs = tracks, torch.ones(tracks.shape[:3], dtype=torch.bool, device=setting.device)
    (plain_cross_motion(module, *inputs) if plain else module(*inputs)).sum().backward()


def measure(setting: Setting) -> list[Figure]:
    """ViT-S/14 at 224, 8 frames, 256 points, 35 clips; forward and backward but for the frozen backbone."""
    clips, depth = (6, 2) if setting.small else (35, 12)
    model = vit_s_model(vit_s(depth)).to(setting.device).train()
    motionless = vit_s_model(model.backbone, hod=None, cross_motion=False).to(setting.device).train()
    make = torch.Generator(setting.device).manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, device=setting.device)

    frames, points, dim = model.num_frames, 256, model.embed_dim
    tracks, visibility = random(clips, frames, points, 2).clamp(-1, 1), random(clips, frames, points) > -1
    features, tokens = random(clips, frames, 16, 16, dim), random(clips, frames, points, dim)
    cls = random(clips, 1, dim)
    video = torch.zeros(1, frames, 3, 224, 224, dtype=torch.uint8, device=setting.device)
    way = torch.arange(5, device=setting.device)
    hod, cross = model.hod_motion_module, model.cross_motion_module

    ways = {
        "backbone": lambda: [model.patch_features(video) for _ in range(clips)],
        "tokens": lambda: motionless.embed_points(features, tracks, visibility).sum().backward(),
        "hod": lambda: hod(tracks).sum().backward(),
        "cross-motion": lambda: cross(tracks, visibility).sum().backward(),
        "cross-motion plain": lambda: plain_cross_motion(cross, tracks, visibility).sum().backward(),
        "transformer": lambda: sum(x.sum() for x in model.blocks[0](cls, tokens)).backward(),
        "head": lambda: match(tokens[5:], tokens[:5], way).sum(),
    }
    seconds = in_turns(ways, setting)
    figures = [*(figure(f"modules/{name}", values, note=f"{clips} clips") for name, values in seconds.items()),
               speedup("modules/cross-motion over plain", seconds["cross-motion plain"], seconds["cross-motion"])]
    if not setting.small:
        figures += [peak_memory("modules/peak memory of cross-motion", cross_motion_alone, setting, False),
                    peak_memory("modules/peak memory of cross-motion plain", cross_motion_alone, setting, True)]
    return figures
