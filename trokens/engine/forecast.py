"""What a run is about to do and to take, in a few lines, before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from trokens.clips.split import Clip
from trokens.engine.data import tested_shots, used_splits
from trokens.engine.evaluator import BANK_DTYPES
from trokens.engine.prepare import steps_per_epoch
from trokens.fewshot.bank import TokenBank
from trokens.models.trokens import Trokens
from trokens.reuse.features import feature_bytes
from trokens.runtime.distributed import world_size

# Bytes of autograd's graph per token and channel in one divided space-time block with its MLP (float32),
# and per backbone token and channel without a graph; fitted to measured peaks.
_BLOCK_FLOATS, _BACKBONE_FLOATS = 34, 12


def describe_run(cfg, model: Trokens, splits: Mapping[str, Sequence[Clip]], device: torch.device,
                 precision: torch.dtype | None) -> list[str]:
    """The forecast, line by line: device, processes, episodes, clips, parameters, estimated memory."""
    few_shot, shots = cfg.FEW_SHOT, tested_shots(cfg)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trained
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    lines = [
        f"Device      {where}; {world_size()} process(es); {str(precision or torch.float32).removeprefix('torch.')}",
        "Clips       " + ", ".join(f"{name} {len(clips)} in {len({c.class_id for c in clips})} classes"
                                   for name, clips in splits.items()),
        f"Episodes    {few_shot.N_WAY}-way {few_shot.K_SHOT}-shot"
        + (f", tested with {', '.join(map(str, shots))} shots" if cfg.TEST.K_SHOTS else "")
        + (f"; {cfg.SOLVER.MAX_EPOCH} epochs of {steps_per_epoch(cfg)} steps" if cfg.TRAIN.ENABLE else "")
        + (f"; {few_shot.TEST_EPISODES} test episodes" if cfg.TEST.ENABLE else ""),
        f"Parameters  {trained / 1e6:.2f} M trained, {frozen / 1e6:.2f} M frozen",
        f"Memory      about {estimated_bytes(cfg, model, trained, frozen, device) / 2**30:.1f} GB a process "
        + ("in training" if cfg.TRAIN.ENABLE else "in testing"),
    ]
    if cfg.MODEL.FEATURE_CACHE and used_splits(cfg)[0]:
        views = cfg.AUG.CACHED_VIEWS if cfg.DATA.USE_RAND_AUGMENT else 1  # 0: every look is augmented anew
        kept = len(splits["train"]) * views + len(splits[cfg.TRAIN.VAL_SPLIT])
        size = kept * feature_bytes(model) / 2**30
        lines.append(f"Features    {size:.3g} GB on disk (MODEL.FEATURE_CACHE), of {kept} clips and views of clips")
    evaluated = max((len(clips) for name, clips in splits.items() if name != "train"), default=0)
    shots += [few_shot.K_SHOT] * cfg.TRAIN.ENABLE  # of validations
    matcher = few_shot.MATCHER if model.matcher is None else model.matcher
    if evaluated and not all(TokenBank.can_aggregate(k_shot, few_shot.PROTOTYPE, matcher) for k_shot in shots):
        numbers = evaluated * cfg.DATA.NUM_FRAMES * cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE * model.embed_dim
        size = numbers * BANK_DTYPES[cfg.TEST.BANK_DTYPE].itemsize / 2**30
        lines.append(f"Token bank  {size:.1f} GB in each process, or once on disk (TEST.BANK {cfg.TEST.BANK}): several "
                     "shots need every token with FEW_SHOT.PROTOTYPE published, not with per_clip")
    return lines


def estimated_bytes(cfg, model: Trokens, trained: int, frozen: int, device: torch.device) -> float:
    """Rough peak memory of one process's model and step, in bytes (without the loader's processes)."""
    few_shot, frames = cfg.FEW_SHOT, cfg.DATA.NUM_FRAMES
    clips = few_shot.N_WAY * (few_shot.K_SHOT + few_shot.TRAIN_QUERY_PER_CLASS) if cfg.TRAIN.ENABLE else 8
    floats = frozen + trained * (4 if cfg.TRAIN.ENABLE else 1)  # weight, gradient, two moments
    size = cfg.DATA.TRAIN_CROP_SIZE
    patches = model.backbone.grid(size) ** 2 * model.backbone.embed_dim if model.backbone is not None else 0
    floats += clips * frames * (size**2 * 3 / 4 + patches)
    tokens = clips * frames * cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE * model.embed_dim
    floats += tokens * (_BLOCK_FLOATS * cfg.MF.DEPTH if cfg.TRAIN.ENABLE else _BACKBONE_FLOATS)
    floats += model.clips_a_pass(clips, device) * frames * patches * _BACKBONE_FLOATS
    return 4 * floats
