"""How a decoded frame is turned and mirrored for display.

A file may carry a matrix with every frame, row by row (a, b, u, c, d, v, x, y, w), that shows the pixel (x right, y
down) at (a x + c y, b x + d y), moved back into the picture. Phones write quarter turns; front cameras mirror too.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

_ON_AXIS = math.cos(math.radians(5))  # below, the direction is no quarter turn that was rounded when it was written


class Orientation(NamedTuple):
    """One of the eight ways to lay a picture on the raster: first transposed, then its rows and its columns reversed.

    Attributes:
        transposed: Rows become columns.
        upside_down: The order of the rows is reversed.
        mirrored: The order of the columns is reversed.
        exact: False where the file asks for another angle, of which this is the nearest, or for nothing that can be.
    """

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False
    exact: bool = True

    def __str__(self) -> str:
        return _WORDS[self[:3]]

    @property
    def flips(self) -> bool:
        """Whether no turn alone does it: left and right are exchanged."""
        return self.transposed ^ self.upside_down ^ self.mirrored

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) for display of a frame of this size."""
        return (width, height) if self.transposed else (height, width)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """A view of the image (H, W, ...) as it is shown."""
        image = image.swapaxes(0, 1) if self.transposed else image
        return image[::-1 if self.upside_down else 1, ::-1 if self.mirrored else 1]


AS_STORED = Orientation()
_WORDS = {
    (False, False, False): "as they are stored", (False, False, True): "mirrored",
    (False, True, False): "flipped upside down", (False, True, True): "turned by 180 degrees",
    (True, False, False): "turned by 90 degrees clockwise and mirrored", (True, False, True): "turned by 90 degrees "
    "clockwise", (True, True, False): "turned by 90 degrees counterclockwise",
    (True, True, True): "turned by 90 degrees counterclockwise and mirrored",
}


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """How a decoded frame is shown."""
    # What frame.side_data gives, the frame keeps, and is kept by it: memory would fill with frames that nobody needs.
    data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)
    return AS_STORED if data is None else from_matrix(struct.unpack("=9i", bytes(data)[:36]))


def from_matrix(matrix: tuple[float, ...]) -> Orientation:
    """The orientation nearest to a display matrix of nine numbers; where it flattens the picture, none."""
    a, b, _, c, d, *_ = matrix
    x, y = math.hypot(a, b), math.hypot(c, d)  # lengths of the pixel's sides where they are shown
    if a * d == b * c:
        return Orientation(exact=False)
    a, b, c, d = a / x, b / x, c / y, d / y
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    down, right = (b, c) if transposed else (d, a)
    return Orientation(transposed, down < 0, right < 0, exact=min(abs(down), abs(right)) >= _ON_AXIS)
