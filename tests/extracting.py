"""The command that extracts points, and what it reads and writes."""

import pickle
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from trokens.cli import extract as extract_points

SCRIPT = Path(__file__).resolve().parents[1] / "point_tracking" / "extract_points.py"


class Colors(torch.nn.Module):
    """A backbone whose features are the mean colors of 14 x 14 cells."""

    mean = std = torch.tensor([0.5, 0.5, 0.5])

    def forward(self, frames):
        return torch.nn.functional.avg_pool2d(frames, 16).permute(0, 2, 3, 1)

    def grid(self, size):
        return size // 16


def run(*flags) -> int:
    """Run the command in this process; flags given later win."""
    return extract_points.main(["--workers", "0", *(str(flag) for flag in flags)])


def contents(path: Path) -> dict:
    """All a point file says."""
    with safe_open(path, framework="np") as file:
        return file.metadata() | {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


def tapvid_record(seed: int = 0, size: tuple[int, int] = (40, 60)) -> dict:
    """6 frames and 3 tracks, the last never visible."""
    rng = np.random.default_rng(seed)
    occluded = np.array([[0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1], [1] * 6], bool)
    return {"video": rng.integers(0, 255, (6, *size, 3), np.uint8), "points": rng.random((3, 6, 2), np.float32),
            "occluded": occluded}


def dump(path: Path, content, protocol: int = 4) -> str:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return str(path)
