"""Tell the classes of Moving Shapes by their definitions, from a clip's exact tracks: the best that can be done."""

import numpy as np

from trokens.moving_shapes.motions import poses
from trokens.moving_shapes.render import LEVELS
from trokens.moving_shapes.scene import Pose
from trokens.structures import Tracks

RADIUS = 21  # of a shape: weighs its turns and sizes against its ways


def poses_in_scene(tracks: Tracks) -> tuple[Pose, Pose]:
    """Where the two shapes are against the background, in units of a frame 128 pixels wide, from their tracks alone."""
    xy = tracks.xy.double().numpy() * 128 / tracks.size[0]
    z = xy[..., 0] + 1j * xy[..., 1]
    (turn, place), *shapes = (_similarity(z[:, tracks.cluster.numpy() == k]) for k in range(3))
    seen = [(a / turn, (b - place) / turn) for a, b in shapes]
    return tuple(Pose(np.stack([b.real, b.imag], -1), np.unwrap(np.angle(a)), np.abs(a)) for a, b in seen)


def _similarity(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn with scale (T,), and place (T,), of points z (T, N) relative to how they lie in the first frame."""
    rest = z[0] - z[0].mean()
    return (z - z.mean(1, keepdims=True)) @ rest.conj() / (np.abs(rest)**2).sum(), z.mean(1)


class Oracle:
    """Knows how each class is drawn; says which one a clip's poses are nearest to."""

    def __init__(self, level: str, classes, num_frames: int = 24, draws: int = 600):
        self.grade, self.classes = LEVELS[level], tuple(classes)
        time, rng = np.linspace(0, 1, num_frames), np.random.default_rng(0)
        self.known = [np.stack([_as_row(poses(motion, time, self.grade.variation, rng)) for _ in range(draws)])
                      for motion in self.classes]

    def __call__(self, pair: tuple[Pose, Pose]) -> str:
        sides = [pair, pair[::-1]]
        if self.grade.views:
            sides += [tuple(map(_mirrored, side)) for side in sides]
        seen = np.stack([_as_row(side) for side in sides])
        return self.classes[int(np.argmin([self._apart(seen, known).min() for known in self.known]))]

    def _apart(self, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Rows (S, 6, T) and (K, 6, T), complex: (S, K), least over what the level leaves free."""
        way, own = seen[:, None, :2], known[None, :, :2]
        fit = (own.conj() * way).sum((2, 3)) / (np.abs(own)**2).sum((2, 3))
        if self.grade.views or self.grade.variation.axis >= 180:
            zoom = np.clip(np.abs(fit), *((1 / self.grade.views.zoom, self.grade.views.zoom) if self.grade.views
                                          else (1, 1)))
            fit = zoom * fit / np.maximum(np.abs(fit), 1e-12)
        else:
            fit = np.ones_like(fit)
        return (np.abs(way - fit[..., None, None] * own)**2).sum((2, 3)) + (
            np.abs(seen[:, None, 2:] - known[None, :, 2:])**2).sum((2, 3))


def _mirrored(pose: Pose) -> Pose:
    return Pose(pose.center * [-1, 1], -pose.angle, pose.scale)


def _as_row(pair: tuple[Pose, Pose]) -> np.ndarray:
    """(6, T): complex places about their common middle, turns and logarithms of sizes about their means."""
    z = np.stack([pose.center[:, 0] + 1j * pose.center[:, 1] for pose in pair])
    turns = np.stack([pose.angle for pose in pair])
    sizes = np.log(np.stack([pose.scale for pose in pair]))
    return np.concatenate([z - z.mean(), *(RADIUS * (x - x.mean(1, keepdims=True)) for x in (turns, sizes))])
