"""What happens to decoded frames in the loader: photometric RandAugment in training, and the resize, all on uint8."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from numpy import ndarray
from torch import Tensor

_FORM = re.compile(r"rand-m(?P<m>\d+(\.\d+)?)(-n(?P<n>[1-9]\d*))?(-mstd(?P<mstd>\d+(\.\d+)?))?(-inc(?P<inc>[01]))?")
_FULL = 10.0  # the strength scale's upper end
_APPLIED = 0.5  # probability that a drawn operation is applied
_LEAST_CONTRAST = 1 / 8  # of the clip's own
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
_VALUES = np.arange(256)


def resize(frames: Tensor, size: int) -> Tensor:
    """Scale frames to a square, bilinear with antialiasing; nothing is cropped, the aspect ratio is not kept.

    Args:
        frames: (T, H, W, 3) uint8.
        size: Side of the square in pixels.

    Returns:
        (T, size, size, 3) uint8, contiguous.
    """
    # Of the two layouts that torchvision takes, channels last, as the frames lie in memory, is resized twice as fast.
    return F.resize(frames.permute(0, 3, 1, 2), [size, size], antialias=True).permute(0, 2, 3, 1).contiguous()


def channels_first(frames: Tensor) -> Tensor:
    """(T, H, W, 3) -> (T, 3, H, W), contiguous, both uint8; a tenth of the time that ``permute`` takes to copy."""
    planes = np.empty((len(frames), 3, *frames.shape[1:3]), np.uint8)
    for frame, own in zip(frames.numpy(), planes, strict=True):
        cv2.split(frame, list(own))
    return torch.from_numpy(planes)


class PhotometricAugment:
    """RandAugment (Cubuk et al., 2020) with the operations that leave every pixel in its place, so tracks stay valid.

    Strings and strengths are timm's: "rand-m9-n2-mstd0.5-inc1" draws 2 operations, repeats allowed, applies each with
    probability 1/2 at a strength from N(9, 0.5) cut to [0, 10]; inc1 lets every operation's effect grow with its
    strength (m20 is thus the full strength, 10 of 10, where posterize leaves black). Unlike timm's, a clip survives
    any strength asked for below 10: noise does not lift it to 10, and an operation that would take
    more than 7/8 of the clip's contrast is left out.

    Args:
        aa_type: m, and optionally n (default 2), mstd (0), inc (0), in this order.

    Raises:
        ValueError: The string is of another form.
    """

    def __init__(self, aa_type: str):
        match = _FORM.fullmatch(aa_type)
        if not match:
            raise ValueError(f"aa_type is '{aa_type}'; expected rand-m<strength>[-n<operations>][-mstd<noise>]"
                             "[-inc<0|1>], such as rand-m9-n2-mstd0.5-inc1.")
        self.strength = float(match["m"])
        self.num_ops = int(match["n"] or 2)
        self.noise = float(match["mstd"] or 0)
        self.increasing = match["inc"] == "1"

    def draw(self, generator: torch.Generator) -> Iterator[tuple[str, float, int]]:
        """Yield the operations of one clip: name, level in [0, 1], and sign of those that go either way."""
        top = _FULL - 1e-6 if self.strength < _FULL else _FULL
        for _ in range(self.num_ops):
            name = list(_OPERATIONS)[int(torch.randint(len(_OPERATIONS), (), generator=generator))]
            applied, sign = torch.rand(2, generator=generator).tolist()
            strength = self.strength + self.noise * float(torch.randn((), generator=generator))
            if applied < _APPLIED:
                yield name, min(max(strength, 0.0), top) / _FULL, 1 if sign < 0.5 else -1

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Apply one draw of operations and strengths to all frames of a clip.

        Args:
            frames: (T, H, W, 3) uint8.
            generator: Source of every draw.

        Returns:
            (T, H, W, 3) uint8.
        """
        video = np.ascontiguousarray(frames.numpy())
        least = _contrast(video) * _LEAST_CONTRAST if self.strength < _FULL else 0.0
        for name, level, sign in self.draw(generator):
            changed = _OPERATIONS[name](video, level, sign, self.increasing)
            if _contrast(changed) >= least:
                video = changed
        return torch.from_numpy(video)


def _contrast(video: ndarray) -> float:
    return float(cv2.meanStdDev(video[:, ::4].reshape(-1))[1].item())


# The operations give what Pillow's do, on all frames at once: results are cut, not rounded, to whole gray values.

def _mapped(video: ndarray, table: ndarray) -> ndarray:
    """Replace every value by the table's, (256,) from 0 to 255."""
    return cv2.LUT(video.reshape(len(video), -1), table.astype(np.uint8)).reshape(video.shape)


def _mapped_by_channel(video: ndarray, tables: ndarray) -> ndarray:
    """Replace the values by those of a table for each frame and channel, (T, 3, 256) from 0 to 255."""
    planes, changed = channels_first(torch.from_numpy(video)).numpy(), np.empty_like(video)
    tables = tables.astype(np.uint8).reshape(-1, 256)
    for plane, table in zip(planes.reshape(len(tables), *video.shape[1:3]), tables, strict=True):
        cv2.LUT(plane, table, plane)
    for own, frame in zip(planes, changed, strict=True):
        cv2.merge(list(own), frame)
    return changed


def _mixed(first: ndarray, second: ndarray, share: float) -> ndarray:
    """``share`` of the first and the rest of the second; beyond 1 leads away from the second."""
    rows = (-1, first.shape[2], 3)  # OpenCV takes pictures: all frames as one
    mix = cv2.addWeighted(first.reshape(rows), share, second.reshape(rows), 1 - share, -0.4999)
    return mix.reshape(first.shape)


def _gray(video: ndarray) -> ndarray:
    """Luma, (T, H, W)."""
    return cv2.cvtColor(video.reshape(-1, video.shape[2], 3), cv2.COLOR_RGB2GRAY).reshape(video.shape[:3])


def _auto_contrast(video: ndarray, *_) -> ndarray:
    values = channels_first(torch.from_numpy(video)).numpy().reshape(len(video), 3, -1)
    low, high = values.min(-1)[..., None].astype(int), values.max(-1)[..., None].astype(int)  # (T, 3, 1)
    spread = (_VALUES - low) * 255 // np.maximum(high - low, 1)
    return _mapped_by_channel(video, np.where(high > low, spread.clip(0, 255), _VALUES))


def _equalize(video: ndarray, *_) -> ndarray:
    count = np.stack([[cv2.calcHist([frame], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
                      for frame in video]).astype(int)  # (T, 3, 256)
    brightest = 255 - (count[..., ::-1] > 0).argmax(-1)[..., None]
    step = (count.sum(-1, keepdims=True) - np.take_along_axis(count, brightest, -1)) // 255  # (T, 3, 1)
    flat = (step // 2 + count.cumsum(-1) - count) // np.maximum(step, 1)
    return _mapped_by_channel(video, np.where(step > 0, flat.clip(0, 255), _VALUES))


def _posterize(video: ndarray, level: float, _sign: int, increasing: bool) -> ndarray:
    bits = int(4 * level)
    return video & np.uint8(256 - 2 ** (8 - (4 - bits if increasing else bits)))


def _solarize(video: ndarray, level: float, _sign: int, increasing: bool) -> ndarray:
    threshold = int(256 * level)
    threshold = 256 - threshold if increasing else threshold
    return _mapped(video, np.where(threshold <= _VALUES, 255 - _VALUES, _VALUES))


def _solarize_add(video: ndarray, level: float, *_) -> ndarray:
    return _mapped(video, np.where(_VALUES < 128, _VALUES + int(110 * level), _VALUES))


def _factor(level: float, sign: int, increasing: bool) -> float:
    """Share of the clip in a mixture with the operation's opposite: 1 changes nothing."""
    return max(0.1, 1 + sign * 0.9 * level) if increasing else 0.1 + 1.8 * level


def _color(video: ndarray, *strength) -> ndarray:
    gray = cv2.cvtColor(_gray(video).reshape(-1, video.shape[2]), cv2.COLOR_GRAY2RGB)
    return _mixed(video, gray.reshape(video.shape), _factor(*strength))


def _contrast_change(video: ndarray, *strength) -> ndarray:
    means = [int(cv2.mean(gray)[0] + 0.5) for gray in _gray(video)]
    return np.concatenate([_mapped(frame[None], (mean + _factor(*strength) * (_VALUES - mean)).clip(0, 255))
                           for frame, mean in zip(video, means, strict=True)])


def _brightness(video: ndarray, *strength) -> ndarray:
    return _mapped(video, (_factor(*strength) * _VALUES).clip(0, 255))


def _sharpness(video: ndarray, *strength) -> ndarray:
    smooth = video.copy()  # whose borders stay as they are
    for frame, target in zip(video, smooth, strict=True):
        target[1:-1, 1:-1] = cv2.filter2D(frame, -1, _SMOOTH)[1:-1, 1:-1]
    return _mixed(video, smooth, _factor(*strength))


# (video (T, H, W, 3) uint8, level in [0, 1], sign, increasing) -> video
_OPERATIONS: dict[str, Callable[[ndarray, float, int, bool], ndarray]] = {
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
    "Invert": lambda video, *_: ~video,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": _color,
    "Contrast": _contrast_change,
    "Brightness": _brightness,
    "Sharpness": _sharpness,
}
