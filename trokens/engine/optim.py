"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def learning_rate(epoch: int, *, base_lr: float, policy: str, max_epoch: int, steps: Sequence[int] = (),
                  lrs: Sequence[float] = (), warmup_epochs: float = 0, warmup_start_lr: float = 0.0,
                  cosine_end_lr: float = 0.0, cosine_after_warmup: bool = False) -> float:
    """Learning rate of a whole epoch.

    Args:
        epoch: From 0.
        base_lr: What the relative rates multiply; the cosine's start.
        policy: ``steps_with_relative_lrs`` or ``cosine``.
        max_epoch: Where the cosine ends.
        steps: First epoch of each relative rate, ascending from 0.
        lrs: Relative rates.
        warmup_epochs: Epochs of linear warm-up, to the rate that the policy gives right after them.
        warmup_start_lr: Rate of epoch 0 during warm-up.
        cosine_end_lr: Rate the cosine falls to.
        cosine_after_warmup: The cosine starts after the warm-up, not at epoch 0.
    """

    def by_policy(at: float) -> float:
        if policy == "steps_with_relative_lrs":
            return base_lr * lrs[max(i for i, step in enumerate(steps) if step <= at)]
        offset = warmup_epochs if cosine_after_warmup else 0.0
        progress = (at - offset) / (max_epoch - offset)
        return cosine_end_lr + (base_lr - cosine_end_lr) * (math.cos(math.pi * progress) + 1) / 2

    if epoch < warmup_epochs:
        return warmup_start_lr + (by_policy(warmup_epochs) - warmup_start_lr) * epoch / warmup_epochs
    return by_policy(epoch)


def learning_rate_from_config(cfg, epoch: int) -> float:
    """:func:`learning_rate` with the options of ``cfg.SOLVER``."""
    s = cfg.SOLVER
    return learning_rate(epoch, base_lr=s.BASE_LR, policy=s.LR_POLICY, max_epoch=s.MAX_EPOCH, steps=s.STEPS,
                         lrs=s.LRS, warmup_epochs=s.WARMUP_EPOCHS, warmup_start_lr=s.WARMUP_START_LR,
                         cosine_end_lr=s.COSINE_END_LR, cosine_after_warmup=s.COSINE_AFTER_WARMUP)


def build_optimizer(cfg, model: nn.Module) -> torch.optim.Optimizer:
    """Optimizer over the trainable parameters; weight decay spares the class token, on request all 1-D ones."""
    s = cfg.SOLVER
    decayed, spared = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            spare = name.endswith("cls_token") or (s.ZERO_WD_1D_PARAM and parameter.ndim <= 1)
            (spared if spare else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": s.WEIGHT_DECAY}, {"params": spared, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if s.OPTIMIZING_METHOD == "sgd":
        return torch.optim.SGD(groups, lr=s.BASE_LR, momentum=s.MOMENTUM, dampening=s.DAMPENING,
                               nesterov=s.NESTEROV)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[s.OPTIMIZING_METHOD]
    fused = any(parameter.is_cuda for group in groups for parameter in group["params"])  # one kernel for all tensors
    return kind(groups, lr=s.BASE_LR, betas=(0.9, 0.999), eps=1e-8, fused=fused or None)


def clip_gradients(cfg, model: nn.Module) -> None:
    """Clip gradients by value or by norm where the config asks for it."""
    if cfg.SOLVER.CLIP_GRAD_VAL:
        nn.utils.clip_grad_value_(model.parameters(), cfg.SOLVER.CLIP_GRAD_VAL)
    elif cfg.SOLVER.CLIP_GRAD_L2NORM:
        nn.utils.clip_grad_norm_(model.parameters(), cfg.SOLVER.CLIP_GRAD_L2NORM)


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, state: Mapping[str, Any]) -> str:
    """Give an optimizer the moments that a checkpoint keeps; how it steps follows from this run's options.

    A checkpoint numbers parameters in the order of its own groups, and within each in the order of its model. The
    published code's order may be another than ours, so the numbers are translated by the order of ``model_state``.

    Args:
        optimizer: From :func:`build_optimizer`; left as it is where the moments do not fit.
        model: Whose parameters it has.
        state: The checkpoint, with ``model_state`` and ``optimizer_state``.

    Returns:
        "", or why the optimizer starts fresh.
    """
    saved = state.get("optimizer_state")
    if not isinstance(saved, Mapping) or not {"state", "param_groups"} <= saved.keys():
        return "the checkpoint has none"
    if not isinstance(saved["state"], Mapping) or not all(
            isinstance(group, Mapping) and isinstance(group.get("params"), list) for group in saved["param_groups"]):
        return "it is none of torch.optim"
    theirs = sorted((group["params"] for group in saved["param_groups"]), key=len)
    ours = sorted((group["params"] for group in optimizer.param_groups), key=len)
    if [len(group) for group in theirs] != [len(group) for group in ours]:
        return "it has other groups of parameters"
    wanted = {"step", "exp_avg", "exp_avg_sq"}
    if isinstance(optimizer, torch.optim.SGD):
        wanted = {"momentum_buffer"} if optimizer.defaults["momentum"] else set()
    names = {parameter: name for name, parameter in model.named_parameters()}
    order = {name.removeprefix("module."): number for number, name in enumerate(state["model_state"])}
    own_number = {p: i for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    moments = {}
    for numbers, parameters in zip(theirs, ours, strict=True):
        there = sorted(parameters, key=lambda parameter: order.get(names[parameter], -1))
        for number, parameter in zip(numbers, there, strict=True):
            entry = saved["state"].get(number)
            if entry and not wanted <= entry.keys():
                return "another kind of optimizer made it"
            if entry and any(isinstance(x, Tensor) and x.ndim and x.shape != parameter.shape for x in entry.values()):
                return f"it does not fit {names[parameter]}"
            if entry and wanted:
                moments[own_number[parameter]] = {name: entry[name] for name in wanted}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return ""
