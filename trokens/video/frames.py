"""Any frames of a file as RGB.

A frame is known by its time stamp, which allows to start decoding at the key frame before the one that is wanted.
Frames that nobody wants and that no other frame refers to are not decoded at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import av
import numpy as np
import torch
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from torch import Tensor

from trokens.video.info import START, VideoError, VideoInfo, video_error
from trokens.video.orientation import orientation_of
from trokens.video.stream import decode, opened

_SEEK_GAP = 8  # frames; a seek costs about as much as decoding this many


def read_frames(path: str, info: VideoInfo, indices: Sequence[int], threads: int) -> Tensor:
    """Decode these frames, upright, (len(indices), H, W, 3) uint8."""
    out = np.empty((len(indices), *info.size, 3), np.uint8)
    rows: dict[int, list[int]] = {}
    for row, index in enumerate(indices):
        rows.setdefault(index, []).append(row)
    for index, frame in each_frame(path, info, sorted(rows), threads):
        for row in rows[index]:
            out[row] = frame
    return torch.from_numpy(out)


def each_frame(path: str, info: VideoInfo, wanted: Sequence[int], threads: int) -> Iterator[tuple[int, np.ndarray]]:
    """Decode frames one after the other: the number of each, and the frame upright, (H, W, 3) uint8.

    Args:
        wanted: Their numbers, ascending, all different.
    """
    given = 0
    try:
        for item in _each(path, info, wanted, threads):
            given += 1
            yield item
    except VideoError:
        if not info.skips:
            raise
    else:
        return
    # A decoder that has not seen the frames left out may misjudge how long to hold the others back.
    yield from _each(path, replace(info, skips=False), wanted[given:], threads)


def _each(path: str, info: VideoInfo, wanted: Sequence[int], threads: int) -> Iterator[tuple[int, np.ndarray]]:
    if not wanted:
        return
    reformatter = VideoReformatter()
    # Where frames were counted by decoding, threads could change which damaged ones are given out.
    with opened(path, 1 if info.counted else threads) as (container, stream):
        frames = _by_order if info.stamps is None else _by_stamp
        for index, frame in frames(container, stream, info, wanted, path):
            orientation = orientation_of(frame)
            height, width = orientation.size(*info.size)
            rgb = reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
            yield index, orientation(rgb)


def _by_order(container, stream, _info: VideoInfo, wanted: Sequence[int],
              path: str) -> Iterator[tuple[int, av.VideoFrame]]:
    missing = set(wanted)
    for index, frame in enumerate(decode(container, stream)):
        if index in missing:
            missing.remove(index)
            yield index, frame
            if not missing:
                return
    raise video_error(path, f"frame {min(missing)} does not decode")


def _by_stamp(container, stream, info: VideoInfo, wanted: Sequence[int],
              path: str) -> Iterator[tuple[int, av.VideoFrame]]:
    number = {stamp: index for index, stamp in enumerate(info.stamps.tolist())}
    kept = {int(info.stamps[index]) for index in wanted} if info.skips and len(wanted) < info.num_frames else None

    def start_at(index: int) -> Iterator[av.VideoFrame]:
        container.seek(int(info.stamps[index]), stream=stream)
        return decode(container, stream, kept)

    def find(index: int) -> av.VideoFrame | None:
        frame = next((f for f in frames if number.get(f.pts, -1) >= index), None)
        return frame if frame is not None and number[frame.pts] == index else None

    keys, frames, last = info.keys, decode(container, stream, kept), -1
    for index in wanted:
        key = keys[np.searchsorted(keys, index, side="right") - 1]
        if key > last + _SEEK_GAP:
            frames = start_at(key)
            entry = find(key)
            if entry is not None and entry.pict_type == PictureType.I:
                frames = chain([entry], frames)
            else:  # landed too late, or a "key" frame that is refreshed bit by bit: only the start is exact
                keys, frames = START, start_at(0)
        frame = find(index)
        if frame is None:
            raise video_error(path, f"frame {index} of {info.num_frames} does not decode")
        last = index
        yield index, frame
