"""What the machine itself can do: the speed of one matrix multiplication, against which the rest is held."""

from __future__ import annotations

import torch

from trokens.benchmarks import BENCHMARKS
from trokens.benchmarks.timing import Figure, Setting, figure, in_turns

SIZE = 1024


def flops_per_second(setting: Setting) -> list[float]:
    """Floating-point operations a second of float32 matrix products, one value a repeat."""
    x = torch.randn(SIZE, SIZE, device=setting.device)
    times = 8 if setting.device.type == "cpu" else 512
    seconds = in_turns({"matmul": lambda: [x @ x for _ in range(times)]}, setting)["matmul"]
    return [times * 2 * SIZE**3 / s for s in seconds]


@BENCHMARKS.register("machine")
def machine(setting: Setting) -> list[Figure]:
    """Speed of float32 matrix products of 1024 x 1024."""
    return [figure("machine/matmul", [f / 1e9 for f in flops_per_second(setting)], "GFLOP/s")]
