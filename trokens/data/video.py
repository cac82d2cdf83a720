"""Frames of a video file: which there are, and any of them as RGB.

A frame is known by its time stamp. Most containers name the stamps of all frames without decoding any, which also
allows to start decoding at the key frame before the one that is wanted. Where packets do not tell what a decoder
makes of them (packed B-frames, cut files, streams copied from the middle), frames are counted by decoding.
Frames that nobody wants and that no other frame refers to are not decoded at all.
"""

from __future__ import annotations

import operator
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
import torch
from av.stream import Disposition
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from torch import Tensor

if TYPE_CHECKING:
    import decord

BACKENDS = ("pyav", "decord")
WHOLE_DURATION, WHOLE_FRAMES = 0.90, 0.95  # a video with less of what its header promises was cut
_ONE_FRAME_A_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4"}
_SKIPS = {"h264", "mpeg4"}  # in HEVC, frames of higher layers may refer to those that a decoder would leave out
_SMALLEST_FRAME = 32  # bytes; smaller MPEG-4 packets are placeholders that may give no frame
_START = np.zeros(1, np.int64)
_SEEK_GAP = 8  # frames; a seek costs about as much as decoding this many


class VideoError(ValueError):
    """A video cannot be read; the message names the file and the cause."""


def _error(path: str | os.PathLike, cause: str) -> VideoError:
    return VideoError(f"Cannot read video '{os.fspath(path)}': {cause}.")


@dataclass(frozen=True)
class VideoInfo:
    """What a full decode of a video finds.

    Attributes:
        num_frames: Number of frames (F).
        fps: Frames per second on average.
        times: When each frame is shown, in seconds since the first, ascending, (F,) float64, read-only.
        size: Frame (height, width) in pixels, after rotation for display.
        duration: The container's own duration in seconds, or None where it names none.
        header_frames: The container's own count of frames, or None where it names none.
        stamps: Time stamp by which the decoder marks each frame, (F,) int64, all different; None where stamps cannot
            be relied on, so that frame i is the i-th out of the decoder.
        keys: Frames at which decoding may start, ascending, (K,) int64.
        counted: True where only decoding told which frames there are.
        skips: True where the decoder can leave out frames that no other refers to, and the rest stays the same.
    """

    num_frames: int
    fps: float
    times: np.ndarray
    size: tuple[int, int]
    duration: float | None
    header_frames: int | None
    stamps: np.ndarray | None
    keys: np.ndarray
    counted: bool
    skips: bool


def probe(path: str | os.PathLike, backend: str = "pyav") -> VideoInfo:
    """Count and time the frames of a video; remembered for as long as the file stays the same.

    Damage behind the first frame of a file that looks whole shows only when its frames are read.

    Raises:
        VideoError: The file is empty, holds no video, or nothing in it decodes.
        FileNotFoundError: There is no such file.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise _error(path, "it is not a regular file")
    return _BACKENDS[_known(backend)][0](os.path.abspath(path), status.st_mtime_ns, status.st_size)


def check_whole(path: str | os.PathLike, info: VideoInfo) -> None:
    """Refuse a video that decodes to less than its header promises.

    Raises:
        VideoError: It is short; the message gives both figures.
    """
    end = info.times[-1] + 1 / info.fps
    if info.header_frames and info.num_frames < WHOLE_FRAMES * info.header_frames:
        raise VideoError(f"'{path}' is cut: {info.num_frames} of {info.header_frames} frames are there.")
    if info.duration and end < WHOLE_DURATION * info.duration:
        raise VideoError(f"'{path}' is cut: its frames end at {end:.2f} s of {info.duration:.2f} s.")


def read_video(path: str | os.PathLike, indices: Iterable[int] | None = None, backend: str = "pyav", *,
               threads: int = 1) -> Tensor:
    """Decode frames of a video.

    Args:
        path: The video file.
        indices: Numbers of the wanted frames, in any order, repeats allowed; None for all.
        backend: "pyav" or "decord".
        threads: Decoder threads, 0 for as many as there are cores. Sound files give the same frames with any
            number; what a decoder makes up for damaged ones may differ.

    Returns:
        RGB frames in the given order, rotated for display, (len(indices), H, W, 3) uint8.

    Raises:
        IndexError: An index is negative or not below the number of frames.
        VideoError: The file cannot be read, or a wanted frame is damaged.
        FileNotFoundError: There is no such file.
    """
    info = probe(path, backend)
    indices = list(range(info.num_frames)) if indices is None else [operator.index(i) for i in indices]
    for index in indices:
        if not 0 <= index < info.num_frames:
            raise IndexError(f"Frame {index} of '{os.fspath(path)}' is out of range; it has {info.num_frames} frames, "
                             f"numbered 0 to {info.num_frames - 1}.")
    return _BACKENDS[backend][1](os.path.abspath(path), info, indices, threads)


def _known(backend: str) -> str:
    if backend not in BACKENDS:
        raise ValueError(f"Unknown video backend '{backend}'. Known: {', '.join(BACKENDS)}.")
    return backend


@contextmanager
def _opened(path: str, threads: int) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file for one use: nothing is shared between calls, so forked and spawned workers are safe."""
    try:
        # Only local files: a playlist in disguise must not reach for the network.
        with av.open(path, metadata_errors="ignore", container_options={"protocol_whitelist": "file"}) as container:
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not streams:
                raise _error(path, "it has no video stream")
            stream = streams[0]
            stream.thread_type = "NONE" if threads == 1 else "AUTO"
            stream.codec_context.thread_count = threads
            yield container, stream
    except av.error.FFmpegError as error:
        raise _error(path, _cause(path) or error.strerror) from error


def _cause(path: str) -> str | None:
    """What is wrong with a file that no decoder would say."""
    with open(path, "rb") as file:
        head = file.read(256)
    if not head:
        return "the file is empty"
    if head.isascii() and b"\0" not in head:
        return f"it is a text of {os.path.getsize(path)} bytes, perhaps a Git LFS pointer; fetch the file itself"
    return None


def _decode(container: av.container.InputContainer, stream: av.VideoStream,
            wanted: Collection[int] | None = None) -> Iterator[av.VideoFrame]:
    """Yield frames as they are shown. Packets before the first frame and packets cut short may be undecodable.

    With ``wanted``, frames that have none of these stamps and that no other frame refers to are left out.
    """
    started = False
    for packet in container.demux(stream):
        if wanted is not None:
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if started and not packet.is_corrupt:
                raise
            continue
        started = started or bool(frames)
        yield from frames


@lru_cache(maxsize=8192)
def _probe_pyav(path: str, _mtime: int, _size: int) -> VideoInfo:
    with _opened(path, threads=1) as (container, stream):
        packets, first = [], None
        for packet in container.demux(stream):
            if packet.size:
                packets.append((packet.pts, packet.dts, packet.is_keyframe, packet.size,
                                packet.is_discard or packet.is_corrupt))
            if first is None:
                try:
                    first = next(iter(packet.decode()), None)
                except av.error.FFmpegError:
                    continue
        codec, avi = stream.codec_context.name, container.format.name == "avi"
        header_frames = stream.frames or None
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        tick = float(stream.time_base)
        duration = None if container.duration is None else container.duration / av.time_base
    if first is None:
        raise _error(path, "nothing in it decodes")
    counted = not _packets_tell(packets, first.pts, header_frames, codec, avi)
    if not counted:
        stamps = np.sort(np.array([packet[0] for packet in packets], np.int64))
        keys = np.searchsorted(stamps, np.sort([packet[0] for packet in packets if packet[2]]))
        times = (stamps - stamps[0]) * tick
    else:
        with _opened(path, threads=1) as (container, stream):
            shown, types = zip(*((frame.pts, frame.pict_type) for frame in _decode(container, stream)), strict=True)
        # AVI names no times of showing: stamps then come in decoding order, while frames come in their own.
        known = np.unique([pts for pts in shown if pts is not None])
        distinct = len(known) == len(shown)
        times = (known - known[0]) * tick if distinct else np.arange(len(shown)) / (fps or 25)
        # A B-frame packed with another frame is lost where a decoder leaves out the B-frame before it.
        apart = codec == "mpeg4" and (PictureType.B, PictureType.B) not in pairwise(types)
        keys, stamps = _START, np.array(shown, np.int64) if distinct and apart else None
    times.setflags(write=False)
    height, width = (first.width, first.height) if _quarter_turns(first) % 2 else (first.height, first.width)
    return VideoInfo(len(times), fps or (len(times) - 1) / max(times[-1], tick), times, (height, width), duration,
                     header_frames, stamps, keys, counted, skips=stamps is not None and codec in _SKIPS)


def _packets_tell(packets: Sequence[tuple], first: int | None, header_frames: int | None, codec: str,
                  avi: bool) -> bool:
    """Whether a decoder will surely give one frame for each packet, marked with the packet's time stamp."""
    stamps = [packet[0] for packet in packets]
    return (
        codec in _ONE_FRAME_A_PACKET
        and header_frames in (None, len(packets))
        and None not in stamps
        and len(set(stamps)) == len(stamps)
        and not any(damaged for *_, damaged in packets)
        and packets[0][2]
        and first == stamps[0] == min(stamps)  # else frames refer to what was cut off before the first key frame
        and (not (avi or codec == "mpeg4") or all(pts == dts and size >= _SMALLEST_FRAME
                                                  for pts, dts, _, size, _ in packets))
    )


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counterclockwise quarter turns that bring a decoded frame upright."""
    return round(frame.rotation / 90) % 4


def _read_pyav(path: str, info: VideoInfo, indices: Sequence[int], threads: int) -> Tensor:
    try:
        return _read_frames(path, info, indices, threads)
    except VideoError:
        if not info.skips:
            raise
        # A decoder that has not seen the frames left out may misjudge how long to hold the others back.
        return _read_frames(path, replace(info, skips=False), indices, threads)


def _read_frames(path: str, info: VideoInfo, indices: Sequence[int], threads: int) -> Tensor:
    out = np.empty((len(indices), *info.size, 3), np.uint8)
    rows: dict[int, list[int]] = {}
    for row, index in enumerate(indices):
        rows.setdefault(index, []).append(row)
    if not rows:
        return torch.from_numpy(out)
    wanted, reformatter = sorted(rows), VideoReformatter()
    # Where frames were counted by decoding, threads could change which damaged ones are given out.
    with _opened(path, 1 if info.counted else threads) as (container, stream):
        frames = _by_order if info.stamps is None else _by_stamp
        for index, frame in frames(container, stream, info, wanted, path):
            turns = _quarter_turns(frame)
            height, width = info.size[::-1] if turns % 2 else info.size
            rgb = reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
            for row in rows[index]:
                out[row] = np.rot90(rgb, turns)
    return torch.from_numpy(out)


def _by_order(container, stream, _info: VideoInfo, wanted: Sequence[int],
              path: str) -> Iterator[tuple[int, av.VideoFrame]]:
    missing = set(wanted)
    for index, frame in enumerate(_decode(container, stream)):
        if index in missing:
            missing.remove(index)
            yield index, frame
            if not missing:
                return
    raise _error(path, f"frame {min(missing)} does not decode")


def _by_stamp(container, stream, info: VideoInfo, wanted: Sequence[int],
              path: str) -> Iterator[tuple[int, av.VideoFrame]]:
    number = {stamp: index for index, stamp in enumerate(info.stamps.tolist())}
    kept = {int(info.stamps[index]) for index in wanted} if info.skips and len(wanted) < info.num_frames else None

    def start_at(index: int) -> Iterator[av.VideoFrame]:
        container.seek(int(info.stamps[index]), stream=stream)
        return _decode(container, stream, kept)

    def find(index: int) -> av.VideoFrame | None:
        frame = next((f for f in frames if number.get(f.pts, -1) >= index), None)
        return frame if frame is not None and number[frame.pts] == index else None

    keys, frames, last = info.keys, _decode(container, stream, kept), -1
    for index in wanted:
        key = keys[np.searchsorted(keys, index, side="right") - 1]
        if key > last + _SEEK_GAP:
            frames = start_at(key)
            entry = find(key)
            if entry is not None and entry.pict_type == PictureType.I:
                frames = chain([entry], frames)
            else:  # landed too late, or a "key" frame that is refreshed bit by bit: only the start is exact
                keys, frames = _START, start_at(0)
        frame = find(index)
        if frame is None:
            raise _error(path, f"frame {index} of {info.num_frames} does not decode")
        last = index
        yield index, frame


@contextmanager
def _decord_opened(path: str, threads: int) -> Iterator[decord.VideoReader]:
    try:
        import decord
    except ImportError as error:
        raise ImportError("Video backend 'decord' is not installed: run `pip install decord` or use 'pyav'.") from error
    try:
        # Its own choice of threads, 0, fails on VP9.
        yield decord.VideoReader(path, num_threads=threads or os.cpu_count())
    except (decord.DECORDError, RuntimeError) as error:
        cause = "decord: " + " ".join(str(error).split()).rstrip(".")[:300]
        raise _error(path, _cause(path) or cause) from error


@lru_cache(maxsize=8192)
def _probe_decord(path: str, _mtime: int, _size: int) -> VideoInfo:
    with _decord_opened(path, threads=1) as reader:
        num_frames, fps = len(reader), float(reader.get_avg_fps())
        if not num_frames:
            raise _error(path, "nothing in it decodes")
        size = tuple(reader[0].shape[:2])
        times = np.asarray(reader.get_frame_timestamp(range(num_frames)), np.float64)[:, 0]
    times = times - times[0] if (np.diff(times) > 0).all() else np.arange(num_frames) / fps
    times.setflags(write=False)
    return VideoInfo(num_frames, fps, times, size, duration=None, header_frames=None, stamps=None, keys=_START,
                     counted=True, skips=False)


def _read_decord(path: str, info: VideoInfo, indices: Sequence[int], threads: int) -> Tensor:
    if not indices:
        return torch.empty((0, *info.size, 3), dtype=torch.uint8)
    with _decord_opened(path, threads) as reader:
        return torch.from_numpy(reader.get_batch(indices).asnumpy())


_BACKENDS = {"pyav": (_probe_pyav, _read_pyav), "decord": (_probe_decord, _read_decord)}
