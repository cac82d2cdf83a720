"""What happens to decoded frames in the loader: photometric RandAugment in training, then the resize, all on uint8."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

_FORM = re.compile(r"rand-m(?P<m>\d+(\.\d+)?)(-n(?P<n>[1-9]\d*))?(-mstd(?P<mstd>\d+(\.\d+)?))?(-inc(?P<inc>[01]))?")
_FULL = 10.0  # the strength scale's upper end
_APPLIED = 0.5  # probability that a drawn operation is applied
_LEAST_CONTRAST = 1 / 8  # of the clip's own


def resize(frames: Tensor, size: int) -> Tensor:
    """Scale frames to a square, bilinear with antialiasing; nothing is cropped, the aspect ratio is not kept.

    Args:
        frames: (T, H, W, 3) uint8.
        size: Side of the square in pixels.

    Returns:
        (T, 3, size, size) uint8, contiguous.
    """
    return F.resize(frames.permute(0, 3, 1, 2), [size, size], antialias=True).contiguous()


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
            raise ValueError(f"AUG.AA_TYPE is '{aa_type}'; expected rand-m<strength>[-n<operations>][-mstd<noise>]"
                             "[-inc<0|1>], such as rand-m9-n2-mstd0.5-inc1.")
        self.strength = float(match["m"])
        self.num_ops = int(match["n"] or 2)
        self.noise = float(match["mstd"] or 0)
        self.increasing = match["inc"] == "1"

    def __call__(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Apply one draw of operations and strengths to all frames of a clip.

        Args:
            frames: (T, H, W, 3) uint8.
            generator: Source of every draw.

        Returns:
            (T, H, W, 3) uint8.
        """
        video = frames.permute(0, 3, 1, 2)  # (T, 3, H, W)
        protected = self.strength < _FULL
        least = _contrast(video) * _LEAST_CONTRAST
        for _ in range(self.num_ops):
            name = list(_OPERATIONS)[int(torch.randint(len(_OPERATIONS), (), generator=generator))]
            applied, sign = torch.rand(2, generator=generator).tolist()
            strength = self.strength + self.noise * float(torch.randn((), generator=generator))
            if applied >= _APPLIED:
                continue
            strength = min(max(strength, 0.0), _FULL - 1e-6 if protected else _FULL)
            changed = _OPERATIONS[name](video, strength / _FULL, 1 if sign < 0.5 else -1, self.increasing)
            if not protected or _contrast(changed) >= least:
                video = changed
        return video.permute(0, 2, 3, 1)


def _contrast(video: Tensor) -> Tensor:
    return video[..., ::4, ::4].float().std(correction=0)


def _enhance(adjust: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float, int, bool], Tensor]:
    """Blend with the operation's opposite: factor 1 changes nothing."""

    def operation(video: Tensor, level: float, sign: int, increasing: bool) -> Tensor:
        return adjust(video, max(0.1, 1 + sign * 0.9 * level) if increasing else 0.1 + 1.8 * level)

    return operation


def _posterize(video: Tensor, level: float, _sign: int, increasing: bool) -> Tensor:
    bits = int(4 * level)
    return F.posterize(video, 4 - bits if increasing else bits)


def _solarize(video: Tensor, level: float, _sign: int, increasing: bool) -> Tensor:
    threshold = int(256 * level)
    threshold = 256 - threshold if increasing else threshold
    return F.solarize(video, threshold) if threshold < 256 else video


def _solarize_add(video: Tensor, level: float, _sign: int, _increasing: bool) -> Tensor:
    brighter = (video.short() + int(110 * level)).clamp_(max=255).byte()
    return torch.where(video < 128, brighter, video)


# (video (T, 3, H, W) uint8, level in [0, 1], sign, increasing) -> video
_OPERATIONS: dict[str, Callable[[Tensor, float, int, bool], Tensor]] = {
    "AutoContrast": lambda video, *_: F.autocontrast(video),
    "Equalize": lambda video, *_: F.equalize(video),
    "Invert": lambda video, *_: F.invert(video),
    "Posterize": _posterize,
    "Solarize": _solarize,
    "SolarizeAdd": _solarize_add,
    "Color": _enhance(F.adjust_saturation),
    "Contrast": _enhance(F.adjust_contrast),
    "Brightness": _enhance(F.adjust_brightness),
    "Sharpness": _enhance(F.adjust_sharpness),
}
