"""Moving Shapes: rendered clips whose classes differ only in motion, with exact tracks and occlusions.

A clip shows textured shapes over a textured background. What things look like is drawn from a stream of random numbers
that never sees the motion's name; see ``trokens.moving_shapes`` for what moves how.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy import ndarray

from trokens.moving_shapes.levels import LEVELS
from trokens.moving_shapes.motions import drifting, poses, roaming
from trokens.moving_shapes.scene import Pose
from trokens.moving_shapes.views import Camera
from trokens.structures import Tracks

TEXTURES = ("shared", "varied")
_UNIT = 128  # frame width to which lengths here refer
_MARGIN = 16  # texture beyond the frame, for the camera's jitter


@dataclass(frozen=True)
class Shape:
    """A textured outline: ``sprite`` (S, S, 4) premultiplied RGBA float32 in [0, 255] and the outline's own numbers.

    The outline lies between a circle (``roundness`` 1) and a regular polygon of ``corners`` corners (0).
    """

    sprite: ndarray
    radius: float
    corners: int
    roundness: float

    def contains(self, points: ndarray) -> ndarray:
        """Whether points (..., 2), in pixels from the middle of the shape, lie inside: (...,) bool."""
        return _rim(points, self.radius, self.corners, self.roundness) > 0


def _rim(points: ndarray, radius: float, corners: int, roundness: float) -> ndarray:
    """Distance along the ray from points (..., 2) to the outline, positive inside."""
    step = np.pi / corners
    angle = np.arctan2(points[..., 1], points[..., 0]) % (2 * step) - step
    polygon = np.sqrt(np.pi / (corners * np.sin(step) * np.cos(step))) * np.cos(step) / np.cos(angle)  # circle's area
    return radius * (roundness + (1 - roundness) * polygon) - np.hypot(points[..., 0], points[..., 1])


def render_seed(seed: int, split: str, motion: str, index: int) -> int:
    """Seed from which one clip of a data set is rendered: 63 bits that depend on nothing but the arguments."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{split}/{motion}/{index}".encode()).digest()[:8], "big") >> 1


def render_clip(motion: str, *, seed: int, level: str = "easy", textures: str = "shared", size: int = 128,
                num_frames: int = 24, num_points: int = 160) -> tuple[ndarray, Tracks]:
    """Render one clip of Moving Shapes.

    The picture of the shapes and the background depends on ``seed`` alone; only the poses depend on ``motion`` too.

    Args:
        motion: A class of the level.
        level: One of ``LEVELS``, and with it the classes.
        textures: ``shared`` (all clips of all seeds draw on one small family) or ``varied`` (each clip its own).
        size: Width and height in pixels.
        num_points: Points tracked; three quarters lie on shapes, and each is visible at its own random query frame.

    Returns:
        Frames (T, size, size, 3) uint8 RGB and the exact ``Tracks``: ``cluster`` is 0 on the background, 1 and 2 on
        the moving shapes, more on the others; pixel centers have whole coordinates.

    Raises:
        ValueError: Motion, level or textures is unknown.
    """
    if level not in LEVELS:
        raise ValueError(f"Level '{level}' is unknown; expected one of {', '.join(LEVELS)}.")
    if textures not in TEXTURES:
        raise ValueError(f"Textures '{textures}' is unknown; expected one of {', '.join(TEXTURES)}.")
    grade, scale = LEVELS[level], size / _UNIT
    if motion not in grade.classes:
        raise ValueError(f"Motion '{motion}' is unknown; expected one of {', '.join(sorted(grade.classes))} at level "
                         f"'{level}'.")
    looks, moves, extras, view_draws = (np.random.default_rng([seed, stream]) for stream in range(4))
    time = np.linspace(0, 1, num_frames)
    background, shapes = _draw_looks(looks, textures, size, grade.contrast, 2 + grade.occluders + grade.distractors)
    turns = looks.uniform(0, 2 * np.pi, len(shapes))

    pair = poses(motion, time, grade.variation, moves)
    others = [drifting(extras, time, grade.drift) if grade.drift is not None else roaming(extras, time)
              for _ in shapes[2:]]
    jitter = extras.normal(0, grade.jitter, (num_frames, 2))
    scene = [*pair, *others]
    if grade.views:
        view = grade.views.draw(view_draws)
        scene = [view(pose) for pose in scene]
    camera = grade.camera.draw(view_draws, time) if grade.camera else Camera.still(num_frames)
    camera = replace(camera, shift=(camera.shift + jitter) * scale, middle=(size - 1) / 2)
    placed = [camera.see(Pose(p.center * scale + scale / 2 - 0.5, p.angle + turn, p.scale))
              for p, turn in zip(scene, turns, strict=True)]
    # Painted from the back: distractors, the two in random order, occluders.
    front = 2 + grade.occluders
    order = [*range(front, len(shapes)), *extras.permutation(2), *range(2, front)]

    frames = np.stack([_compose(background, shapes, placed, order, t, camera, size) for t in range(num_frames)])
    frames += extras.normal(0, grade.noise, (num_frames, size, size, 1)).astype(np.float32)
    tracks = _exact_tracks(shapes, placed, order, camera, size, num_points, extras)
    return np.clip(frames + 0.5, 0, 255).astype(np.uint8), tracks


# Appearance ------------------------------------------------------------------------------------------------------

def _draw_looks(rng: np.random.Generator, textures: str, size: int, contrast: float,
                count: int) -> tuple[ndarray, list[Shape]]:
    """Background (size + 2 margins, ..., 3) and ``count`` shapes; the first two never share a texture."""
    side = size + 2 * _MARGIN
    if textures == "shared":
        fabrics, grounds = _family(side, contrast)
        picked = [fabrics[k] for k in rng.permutation(len(fabrics))]
        background = grounds[rng.integers(len(grounds))]
    else:
        hue = rng.uniform()
        picked = [_fabric(rng, side, hue + k / count) for k in range(count)]
        background = _ground(rng, side, contrast)
    shapes = []
    for k in range(count):
        # Those beyond the two are smaller, so that they neither look nor act like main shapes.
        radius = (rng.uniform(19, 24) if k < 2 else rng.uniform(9, 12)) * size / _UNIT
        shapes.append(_cut(rng, picked[k % len(picked)], radius))
    return np.roll(background, tuple(rng.integers(side, size=2)), (0, 1)), shapes


@lru_cache(maxsize=4)
def _family(side: int, contrast: float) -> tuple[list[ndarray], list[ndarray]]:
    """The shared textures: four for shapes, two for backgrounds."""
    rng = np.random.default_rng(2025)
    return [_fabric(rng, side, k / 4) for k in range(4)], [_ground(rng, side, contrast) for _ in range(2)]


def _fabric(rng: np.random.Generator, side: int, hue: float) -> ndarray:
    """Vivid texture of a shape: fine and of high contrast, so that flow can hold on to it."""
    return _texture(rng, side, hue, saturation=180, values=(40, 250), grain=rng.uniform(1.6, 2.4, 2))


def _ground(rng: np.random.Generator, side: int, contrast: float) -> ndarray:
    """Dull texture of a background."""
    values = (110 - contrast / 2, 110 + contrast / 2)
    return _texture(rng, side, rng.uniform(), saturation=50, values=values, grain=rng.uniform(3, 4, 2))


def _texture(rng: np.random.Generator, side: int, hue: float, saturation: float, values: tuple[float, float],
             grain: ndarray) -> ndarray:
    """Seamless blobs of two colors, (side, side, 3) float32 in [0, 255]; ``grain`` (2,) is their blur in pixels."""
    hues = np.array([hue, hue + rng.uniform(0.1, 0.3)]) % 1 * 180
    ends = np.stack([hues, [saturation, saturation], values], -1)[None].astype(np.uint8)
    dark, bright = cv2.cvtColor(ends, cv2.COLOR_HSV2RGB)[0].astype(np.float32)
    frequency = np.stack(np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)), -1)
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) * np.exp(-2 * np.pi**2 * (frequency**2 @ grain**2))
    pattern = np.fft.ifft2(spectrum).real
    blend = 1 / (1 + np.exp(-3 * pattern / pattern.std()))[..., None]
    return (dark + (bright - dark) * blend).astype(np.float32)


def _cut(rng: np.random.Generator, texture: ndarray, radius: float) -> Shape:
    """Cut a random outline out of a random place of ``texture``."""
    corners, roundness = int(rng.integers(3, 7)), rng.uniform(0.2, 0.9)
    reach = int(np.ceil(1.6 * radius)) + 2
    grid = np.arange(-reach, reach + 1)
    alpha = np.clip(0.5 + _rim(np.stack(np.meshgrid(grid, grid), -1), radius, corners, roundness), 0, 1)[..., None]
    rows, columns = (rng.integers(len(texture)) + grid[None] for _ in range(2))
    patch = texture[rows.T % len(texture), columns % len(texture)]
    return Shape(np.concatenate([patch * alpha, alpha], -1).astype(np.float32), radius, corners, roundness)


# Geometry --------------------------------------------------------------------------------------------------------

def _matrix(pose: Pose, t: int) -> ndarray:
    """Turn and scale (2, 2) of a pose."""
    cos, sin = np.cos(pose.angle[t]), np.sin(pose.angle[t])
    return pose.scale[t] * np.array([[cos, -sin], [sin, cos]])


def _compose(background: ndarray, shapes: list[Shape], placed: list[Pose], order: list[int], t: int, camera: Camera,
             size: int) -> ndarray:
    """One frame (size, size, 3) float32, shapes painted in ``order``."""
    linear = camera.linear[t]
    affine = np.concatenate([linear, (camera.offset[t] - linear.sum(-1) * _MARGIN)[:, None]], 1)
    frame = cv2.warpAffine(background, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    for k in order:
        linear = _matrix(placed[k], t)
        middle = (len(shapes[k].sprite) - 1) / 2
        affine = np.concatenate([linear, (placed[k].center[t] - linear @ [middle, middle])[:, None]], 1)
        layer = cv2.warpAffine(shapes[k].sprite, affine, (size, size), flags=cv2.INTER_LINEAR)
        frame = frame * (1 - layer[..., 3:]) + layer[..., :3]
    return frame


def _exact_tracks(shapes: list[Shape], placed: list[Pose], order: list[int], camera: Camera, size: int,
                  num_points: int, rng: np.random.Generator) -> Tracks:
    """Draw points on shapes and background, each visible at its query frame, and follow them exactly."""
    num_frames = len(camera.turn)
    budget = np.full(1 + len(shapes), (num_points * 3 // 4) // len(shapes))
    budget[0] = num_points
    chosen: list[tuple[ndarray, ndarray, ndarray, int]] = []
    for k in [*range(len(shapes)), -1]:  # the background last: it fills what hidden shapes could not give
        count = 12 * num_points
        query = rng.integers(num_frames, size=count)
        if k < 0:
            xy = camera.show(camera.find(rng.uniform(0, size - 1, (count, 2)), query)[None])
        else:
            local = rng.uniform(-1.6, 1.6, (count, 2)) * shapes[k].radius
            query, local = (x[shapes[k].contains(local)] for x in (query, local))
            xy = np.stack([local @ _matrix(placed[k], t).T + placed[k].center[t] for t in range(num_frames)])
        seen = _visible(xy, order[order.index(k) + 1:] if k >= 0 else order, shapes, placed, size)
        good = np.flatnonzero(seen[query, np.arange(len(query))])
        room = num_points - sum(len(c[2]) for c in chosen)
        good = good[:min(budget[k + 1], room)]
        chosen.append((xy[:, good], seen[:, good], query[good], k + 1))
    return Tracks(
        xy=torch.from_numpy(np.concatenate([c[0] for c in chosen], 1)).float(),
        visibility=torch.from_numpy(np.concatenate([c[1] for c in chosen], 1)),
        query_frame=torch.from_numpy(np.concatenate([c[2] for c in chosen])),
        cluster=torch.cat([torch.full((len(c[2]),), c[3]) for c in chosen]),
        size=(size, size),
        frame=torch.arange(num_frames),
    )


def _visible(xy: ndarray, in_front: list[int], shapes: list[Shape], placed: list[Pose], size: int) -> ndarray:
    """Whether points (T, M, 2) are inside the frame and under none of the shapes ``in_front``: (T, M) bool."""
    seen = ((xy >= 0) & (xy <= size - 1)).all(-1)
    for k in in_front:
        for t in range(len(xy)):
            seen[t] &= ~shapes[k].contains((xy[t] - placed[k].center[t]) @ np.linalg.inv(_matrix(placed[k], t)).T)
    return seen
