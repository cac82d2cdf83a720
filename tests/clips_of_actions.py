"""Tiny clips of actions that tests of the classifier make: a textured square that moves, each in its own way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from trokens.video.write import write_video

WAYS = {"right": (1.0, 0.0), "down": (0.0, 1.0), "left": (-1.0, 0.0), "still": (0.0, 0.0)}
SIZE, FRAMES, SQUARE = 96, 24, 28


def frames(action: str, seed: int, num_frames: int = FRAMES, size: int = SIZE, speed: float = 2.0) -> ndarray:
    """(T, size, size, 3) uint8: background and square have textures of their own, drawn from ``seed``."""
    rng = np.random.default_rng(seed)
    background = np.kron(rng.integers(60, 120, (size // 4, size // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    square = np.kron(rng.integers(100, 255, (SQUARE // 4, SQUARE // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    way = np.array(WAYS[action])
    out = np.repeat(background[None], num_frames, axis=0)
    for t in range(num_frames):
        x, y = ((size - SQUARE) / 2 + way * speed * (t - num_frames / 2)).round().astype(int)
        x, y = np.clip((x, y), 0, size - SQUARE)
        out[t, y:y + SQUARE, x:x + SQUARE] = square
    return out


def write(folder: Path, actions=("down", "left", "right"), clips: int = 2, **options) -> dict[str, list[str]]:
    """Write ``folder/<action>/<i>.mp4``; all clips differ. Returns the paths of each action."""
    found = {}
    for number, action in enumerate(actions):
        found[action] = []
        for i in range(clips):
            path = folder / action / f"{i}.mp4"
            write_video(path, frames(action, seed=100 * number + i, **options))
            found[action].append(str(path))
    return found
