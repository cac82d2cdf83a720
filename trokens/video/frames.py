"""Any frames of a file as RGB.

A frame is known by its time stamp, which allows to start decoding at the key frame before the one that is wanted.
Frames that nobody wants and that no other frame refers to are not decoded at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from trokens.video.info import NOTHING_DECODES, START, VideoError, VideoInfo, damaged_video, video_error
from trokens.video.orientation import orientation_of
from trokens.video.stream import Source, opened

_SEEK_GAP = 8  # frames; a seek costs about as much as decoding this many


def each_frame(path: str, info: VideoInfo, wanted: Sequence[int], threads: int,
               damaged: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    """Decode frames one after the other: the number of each, and the frame upright, (H, W, 3) uint8.

    Args:
        wanted: Their numbers, ascending, all different.
        damaged: Take the frames as a damaged file gives them, always by the same way: all of them from the first on.
            Otherwise damage that is met is a `DamagedVideo`.
    """
    plain = replace(info, skips=False, keys=START)
    if damaged:
        yield from _each(path, plain, wanted, 1, _whatever_comes, attentive=True)  # which makes up the same each time
        return
    frames, given = _by_order if info.stamps is None else _by_stamp, 0
    try:
        for item in _each(path, info, wanted, threads, frames):
            given += 1
            yield item
    except VideoError:
        if not info.skips and len(info.keys) == 1:
            raise
    else:
        return
    # A decoder that has not seen all frames may misjudge how long to hold the others back, or miss one it refers to.
    yield from _each(path, plain, wanted[given:], 1, frames)


def _each(path: str, info: VideoInfo, wanted: Sequence[int], threads: int, frames: Callable,
          attentive: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    if not wanted:
        return
    reformatter = VideoReformatter()
    # Where frames were counted by decoding, threads could change which damaged ones are given out.
    with opened(path, 1 if info.counted else threads, attentive=attentive) as video:
        for index, frame in frames(video, info, wanted):
            orientation = orientation_of(frame)
            height, width = orientation.size(*info.size)
            rgb = reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
            # What a decoder leaves open in a damaged frame is what was in its memory: held longer, it would differ.
            del frame
            yield index, orientation(rgb)


def _by_stamp(video: Source, info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames by their time stamps, from the nearest key frame on where one lies far enough ahead."""
    stamps = info.stamps.tolist()
    number = {stamp: index for index, stamp in enumerate(stamps)}
    kept = {stamps[index] for index in wanted} if info.skips and len(wanted) < info.num_frames else None
    keys, frames, last = info.keys, video.frames(kept), -1
    for index in wanted:
        key = keys[np.searchsorted(keys, index, side="right") - 1]
        if key > last + _SEEK_GAP:
            frames = video.frames(kept, start=stamps[key])
            entry = _found(frames, number, key)
            if entry is not None and entry.pict_type == PictureType.I:
                frames = chain([entry], frames)
            else:  # landed too late, or a "key" frame that is refreshed bit by bit: only the start is exact
                keys, frames = START, video.frames(kept, start=stamps[0])
        last = index
        if (frame := _found(frames, number, index)) is None:
            raise damaged_video(video.path, f"frame {index} of {info.num_frames} does not decode")
        yield index, frame


def _found(frames: Iterator[av.VideoFrame], number: Mapping[int, int], index: int) -> av.VideoFrame | None:
    """Go on to this frame; None where it does not come."""
    frame = next((f for f in frames if number.get(f.pts, -1) >= index), None)
    return frame if frame is not None and number[frame.pts] == index else None


def _by_order(video: Source, info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames by counting, where their stamps do not tell them apart."""
    missing = set(wanted)
    for index, frame in enumerate(video.frames()):
        if index in missing:
            missing.remove(index)
            yield index, frame
            if not missing:
                return
    raise damaged_video(video.path, f"frame {min(missing)} of {info.num_frames} does not decode")


def _whatever_comes(video: Source, info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """In place of a frame that does not decode the one before it, or before the first of all the first."""
    number = None if info.stamps is None else {stamp: index for index, stamp in enumerate(info.stamps.tolist())}
    rest, before = list(reversed(wanted)), None
    for count, frame in enumerate(video.frames(on_damage=lambda _seconds, _sign: None)):
        index = count if number is None else number.get(frame.pts, -1)
        while rest and rest[-1] < index:
            yield rest.pop(), frame if before is None else before
        if rest and rest[-1] == index:
            yield rest.pop(), frame
        if not rest:
            return
        before = frame
    if before is None:
        raise video_error(video.path, NOTHING_DECODES)
    for index in reversed(rest):
        yield index, before
