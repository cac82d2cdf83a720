"""From where a scene is seen: a view that holds for a clip, and a camera that moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from trokens.moving_shapes.scene import Pose

MIDDLE = 64  # of the frame, in its units


@dataclass(frozen=True)
class Views:
    """How far the views of two clips may differ.

    Attributes:
        turn: Of the whole scene, in degrees, plus or minus.
        zoom: Nearer or farther by up to this factor.
        mirrored: Whether half of the clips show a mirror image.
    """

    turn: float = 0.0
    zoom: float = 1.0
    mirrored: bool = False

    def draw(self, rng: np.random.Generator) -> View:
        """The view of one clip."""
        turn = np.deg2rad(rng.uniform(-1, 1) * self.turn)
        zoom = self.zoom ** rng.uniform(-1, 1)
        return View(turn, zoom, -1 if self.mirrored and rng.random() < 0.5 else 1)


@dataclass(frozen=True)
class View:
    """Of one clip: ``turn`` in radians, ``zoom`` as a factor, ``sense`` -1 where left and right are exchanged."""

    turn: float
    zoom: float
    sense: int

    def __call__(self, pose: Pose) -> Pose:
        """The pose as it looks from there. Only motion is mirrored: an outline stays what it is."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        linear = self.zoom * np.array([[cos, -sin], [sin, cos]]) * [self.sense, 1]
        return Pose((pose.center - MIDDLE) @ linear.T + MIDDLE, self.sense * pose.angle, self.zoom * pose.scale)


@dataclass(frozen=True)
class CameraMotion:
    """How far a camera strays from its mean over a clip, smoothly, at most.

    Attributes:
        pan: In pixels, along each side of the picture.
        roll: In degrees.
        zoom: As a factor.
    """

    pan: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0

    def draw(self, rng: np.random.Generator, time: ndarray) -> Camera:
        """The camera of one clip."""
        x, y, roll, zoom = (_stray(rng, time) for _ in range(4))
        return Camera(self.pan * np.stack([x, y], -1), np.deg2rad(self.roll) * roll, self.zoom ** zoom)


@dataclass(frozen=True)
class Camera:
    """What it does to each of T pictures.

    Attributes:
        shift: (T, 2), right and down.
        turn: (T,) radians about the middle.
        zoom: (T,) factors.
        middle: Of the picture, along each side.
    """

    shift: ndarray
    turn: ndarray
    zoom: ndarray
    middle: float = MIDDLE

    @classmethod
    def still(cls, num_frames: int) -> Camera:
        """One that does nothing."""
        return cls(np.zeros((num_frames, 2)), np.zeros(num_frames), np.ones(num_frames))

    @property
    def linear(self) -> ndarray:
        """Turn and zoom, (T, 2, 2)."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return self.zoom[:, None, None] * np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)

    @property
    def offset(self) -> ndarray:
        """Where the scene's origin is seen, (T, 2)."""
        return self.middle - self.linear.sum(-1) * self.middle + self.shift

    def see(self, pose: Pose) -> Pose:
        """The pose in the pictures."""
        return Pose(self.show(pose.center[:, None])[:, 0], pose.angle + self.turn, pose.scale * self.zoom)

    def show(self, xy: ndarray) -> ndarray:
        """Points of the scene (T or 1, M, 2) in the pictures, (T, M, 2)."""
        return np.einsum("tij,tmj->tmi", self.linear, np.broadcast_to(xy, (len(self.turn), *xy.shape[1:]))
                         ) + self.offset[:, None]

    def find(self, xy: ndarray, frame: ndarray) -> ndarray:
        """Where in the scene points (M, 2), each of the picture ``frame`` (M,), are."""
        return np.einsum("mij,mj->mi", np.linalg.inv(self.linear)[frame], xy - self.offset[frame])


def _stray(rng: np.random.Generator, time: ndarray) -> ndarray:
    """A smooth path (T,) within [-1, 1] whose mean is 0, of at most one and a half swings."""
    periods, phase = rng.uniform([0.4, 0.9], [0.9, 1.5]), rng.uniform(0, 2 * np.pi, 2)
    path = np.sin(2 * np.pi * np.outer(time, periods) + phase) @ [1, 0.5]
    path = path - path.mean()
    return rng.uniform(0.5, 1) * path / max(np.abs(path).max(), 1e-9)
