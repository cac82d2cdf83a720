"""Learning rates and optimizer groups."""

import json
import math

import pytest
import torch
from tiny import ROOT

from trokens import Trokens, load_cfg
from trokens.engine.optim import build_optimizer, clip_gradients, learning_rate, learning_rate_from_config

SMALL = ROOT / "configs/trokens/ssv2_small.yaml"


def cfg(*overrides):
    return load_cfg(SMALL, [*overrides])


@pytest.fixture(scope="module")
def model() -> Trokens:
    return Trokens(5, embed_dim=16, num_heads=2, num_points=4, num_frames=2, grid=2, hod={"bins": 4})


def test_ssv2_small_has_the_published_learning_rates(small_golden):
    want = json.loads((small_golden / "lr_ssv2_small.json").read_text())["lr_ssv2_small"]
    assert [learning_rate_from_config(cfg(), epoch) for epoch in range(50)] == pytest.approx(want, rel=1e-9)


def test_the_cosine_falls_from_the_base_rate_to_its_end():
    options = {"base_lr": 0.4, "policy": "cosine", "max_epoch": 10, "cosine_end_lr": 0.1}
    rates = [learning_rate(epoch, **options) for epoch in range(11)]
    assert rates == pytest.approx([0.1 + 0.3 * (math.cos(math.pi * e / 10) + 1) / 2 for e in range(11)])
    assert rates[0] == 0.4 and rates[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("after", [False, True])
def test_the_warm_up_meets_the_cosine(after):
    options = {"base_lr": 1.0, "policy": "cosine", "max_epoch": 20, "warmup_epochs": 4, "warmup_start_lr": 0.1,
               "cosine_after_warmup": after}
    rates = [learning_rate(epoch, **options) for epoch in range(20)]
    peak = 1.0 if after else (math.cos(math.pi * 4 / 20) + 1) / 2
    assert rates[:5] == pytest.approx([0.1 + (peak - 0.1) * e / 4 for e in range(5)])
    assert rates[5] < rates[4] and rates[12] == pytest.approx(
        (math.cos(math.pi * ((12 - 4) / 16 if after else 12 / 20)) + 1) / 2)


def groups(model, *overrides) -> tuple[torch.optim.Optimizer, dict[str, float]]:
    """The optimizer, and the weight decay of every trainable parameter by name."""
    optimizer = build_optimizer(cfg(*overrides), model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    return optimizer, {name: decay[id(p)] for name, p in model.named_parameters()}


def test_weight_decay_spares_the_class_token_alone(model):
    optimizer, decay = groups(model)
    assert {name for name, value in decay.items() if value != 0.5} == {"cls_token"}
    assert decay["cls_token"] == 0.0
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.9, 0.999) and optimizer.defaults["eps"] == 1e-8


def test_weight_decay_spares_one_dimensional_parameters_on_request(model):
    _, decay = groups(model, "SOLVER.ZERO_WD_1D_PARAM", True)
    spared = {name for name, p in model.named_parameters() if p.ndim == 1} | {"cls_token"}
    assert {name for name, value in decay.items() if value == 0.0} == spared
    assert {value for name, value in decay.items() if name not in spared} == {0.5}


def test_a_frozen_parameter_is_not_optimized(model):
    model.head.weight.requires_grad_(False)
    try:
        optimizer = build_optimizer(cfg(), model)
    finally:
        model.head.weight.requires_grad_(True)
    assert model.head.weight not in {p for group in optimizer.param_groups for p in group["params"]}


def test_other_optimizers_take_their_options(model):
    sgd, _ = groups(model, "SOLVER.OPTIMIZING_METHOD", "sgd", "SOLVER.MOMENTUM", 0.7)
    assert isinstance(sgd, torch.optim.SGD) and sgd.defaults["momentum"] == 0.7 and sgd.defaults["nesterov"]
    assert type(groups(model, "SOLVER.OPTIMIZING_METHOD", "adam")[0]) is torch.optim.Adam


def test_gradients_are_clipped_by_value_or_by_norm():
    layer = torch.nn.Linear(3, 1, bias=False)

    def clipped(*overrides) -> torch.Tensor:
        layer.weight.grad = torch.tensor([[3.0, -4.0, 0.0]])
        clip_gradients(cfg(*overrides), layer)
        return layer.weight.grad[0]

    assert clipped().tolist() == [3, -4, 0]
    assert clipped("SOLVER.CLIP_GRAD_VAL", 1.0).tolist() == [1, -1, 0]
    assert clipped("SOLVER.CLIP_GRAD_L2NORM", 1.0).tolist() == pytest.approx([0.6, -0.8, 0], abs=1e-6)
