"""What the machine itself can do: the speed of one matrix multiplication, against which the rest is held."""

import torch

from benchmarks.timing import Figure, Setting, figure, in_turns


def measure(setting: Setting) -> list[Figure]:
    """Speed of float32 matrix products of 1024 x 1024."""
    x, times = torch.randn(1024, 1024, device=setting.device), 8 if setting.device.type == "cpu" else 512
    seconds = in_turns({"matmul": lambda: [x @ x for _ in range(times)]}, setting)["matmul"]
    return [figure("machine/matmul", [times * 2 * 1024**3 / 1e9 / s for s in seconds], "GFLOP/s")]
