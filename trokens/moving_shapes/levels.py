"""The levels of Moving Shapes: which classes, what disturbs, and how much clips of one class differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from trokens.moving_shapes.motions import BASIC_MOTIONS, RELATION_MOTIONS, VIEW_MOTIONS, MotionsOfSplit
from trokens.moving_shapes.scene import Variation
from trokens.moving_shapes.views import CameraMotion, Views


@dataclass(frozen=True)
class Level:
    """One kind of difficulty, or several.

    Attributes:
        noise: Standard deviation in gray values.
        jitter: Standard deviation of the camera in pixels.
        contrast: Of the background, in gray values: what the shapes must stand out from.
        distractors: Small shapes behind the two that matter.
        occluders: Small shapes in front of them.
        drift: Standard deviation of the way that distractors and occluders go, in pixels; None gives each a motion of
            its own.
        variation: How much clips of a class differ in their motion.
        views: From where clips show their scene; None is straight from the front.
        camera: How the camera moves, besides its jitter.
        motions: The classes of each split.
    """

    noise: float
    jitter: float
    contrast: float
    distractors: int
    occluders: int
    drift: float | None
    variation: Variation
    views: Views | None = None
    camera: CameraMotion | None = None
    motions: MotionsOfSplit = field(default_factory=lambda: BASIC_MOTIONS)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(motion for motions in self.motions.values() for motion in motions)


_EASY = Level(2, 0.3, 30, 0, 0, 0, Variation(direction=10, speed=0.12, axis=10, distance=3))
_FREE = Variation(direction=10, speed=0.3, axis=180, distance=6)
_VIEWS = Views(turn=180, zoom=1.25, mirrored=True)
_CAMERA = CameraMotion(pan=16, roll=12, zoom=1.2)

LEVELS = {
    "easy": _EASY,
    "medium": Level(5, 0.7, 60, 1, 1, 6, Variation(direction=15, speed=0.2, axis=60, distance=6)),
    "hard": Level(9, 1.4, 90, 2, 2, 12, Variation(direction=22, speed=0.3, axis=180, distance=8)),
    # Each of these adds one thing to easy; the last one has them all.
    "view": replace(_EASY, variation=_FREE, views=_VIEWS, motions=VIEW_MOTIONS),
    "camera": replace(_EASY, camera=_CAMERA),
    "crowd": replace(_EASY, distractors=3, occluders=2, drift=None),
    "relations": replace(_EASY, variation=replace(_FREE, speed=0.12), motions=RELATION_MOTIONS),
    "combined": replace(_EASY, distractors=3, occluders=2, drift=None, variation=_FREE, views=_VIEWS, camera=_CAMERA,
                        motions=RELATION_MOTIONS),
}
