"""Frames to files, whole or not at all: H.264 in mp4, and pictures that move in mp4 or GIF."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from PIL import Image

from trokens.runtime.files import whole_file
from trokens.video.draw import COLORS

SEEN = 8  # gray values; a smaller change of a pixel is left out of a GIF
PALETTE_SAMPLE = 2**20  # pixels, of all frames, that a GIF's colors are chosen by, about
SHORTEST_DELAY = 2  # hundredths of a second; browsers show faster GIFs slowly


def write_animation(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames, each (H, W, 3) uint8 RGB, as a moving picture, for looking at it.

    A GIF has one palette for all its frames, in which the colors of ``draw.py`` are exact. It tells time in
    hundredths of a second, so a rate above 50 is slowed down; a frame that equals the one before prolongs that one.

    Args:
        path: A ``.gif`` or ``.mp4`` file; its folder is made.
        frames: At least one. Memory holds one at a time of an mp4, and all of a GIF.
        fps: Frames a second.

    Raises:
        ValueError: Another suffix, no frames, or no positive rate.
    """
    path = Path(path)
    if path.suffix not in (".gif", ".mp4"):
        raise ValueError(f"Cannot write '{path}': its suffix is none of .gif, .mp4.")
    frames = iter(frames)
    first = next(frames, None)
    if first is None or not fps > 0:
        raise ValueError(f"Cannot write '{path}' of {'no' if first is None else 'some'} frames at {fps} a second; both "
                         "must be above 0.")
    if path.suffix == ".mp4":
        write_video(path, chain([first], frames), fps, crf=20)
    else:
        _write_gif(path, chain([first], frames), fps)


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float = 10, crf: int = 14, group: int = 250) -> None:
    """Write frames, each (H, W, 3) uint8 RGB, as H.264 in mp4; the same frames always give the same bytes.

    A last row and column are repeated where a side is odd, as color is stored for 2 x 2 pixels. There is a key frame at
    least every ``group`` frames.
    """
    with whole_file(path) as unfinished, av.open(str(unfinished), "w", format="mp4") as container:
        # More threads, and x264's mbtree on frames of few blocks, would make the file differ from run to run.
        options = {"crf": str(crf), "preset": "fast", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.pix_fmt, stream.gop_size = "yuv420p", group
        for number, frame in enumerate(frames):
            frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), "edge")
            if not number:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _write_gif(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    pictures: list[np.ndarray] = []
    for frame in frames:
        picture = frame.copy()
        if pictures:  # noise would fill most of the file
            before = pictures[-1]
            still = (np.maximum(before, picture) - np.minimum(before, picture)).max(-1) <= SEEN
            picture[still] = before[still]
        pictures.append(picture)
    step = 1 + math.isqrt(len(pictures) * pictures[0][..., 0].size // PALETTE_SAMPLE)
    sample = np.concatenate([picture[::step, ::step] for picture in pictures])
    chosen = Image.fromarray(sample).quantize(255 - len(COLORS), Image.Quantize.MEDIANCUT).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*COLORS.flatten().tolist(), *chosen][:765])
    for number, picture in enumerate(pictures):  # in place of it, for the sake of memory
        pictures[number] = Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
    ends = np.round(np.arange(len(pictures) + 1) * 100 / fps)  # hundredths; rounding them keeps the rate on average
    delays = np.maximum(np.diff(ends), SHORTEST_DELAY) * 10
    with whole_file(path) as unfinished:
        pictures[0].save(unfinished, "GIF", save_all=True, append_images=pictures[1:], loop=0,
                         duration=delays.astype(int).tolist(), palette=palette.palette, transparency=255, optimize=True)
