"""Which frames a file has, and when each is shown.

Most containers name the stamps of all frames without decoding any. Where packets do not tell what a decoder makes of
them (packed B-frames, cut files, streams copied from the middle), frames are counted by decoding.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import av
import numpy as np
from av.video.frame import PictureType

from trokens.video.info import START, VideoInfo, video_error
from trokens.video.orientation import orientation_of
from trokens.video.stream import decode, opened

logger = logging.getLogger(__name__)

_ONE_FRAME_A_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4"}
_SKIPS = {"h264", "mpeg4"}  # in HEVC, frames of higher layers may refer to those that a decoder would leave out
_SMALLEST_FRAME = 32  # bytes; smaller MPEG-4 packets are placeholders that may give no frame


@lru_cache(maxsize=8192)
def probe_file(path: str, _mtime: int, _size: int) -> VideoInfo:
    """Count and time the frames of the file, as it is at this time of change and size."""
    with opened(path, threads=1) as (container, stream):
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
        raise video_error(path, "nothing in it decodes")
    counted = not _packets_tell(packets, first.pts, header_frames, codec, avi)
    if not counted:
        stamps = np.sort(np.array([packet[0] for packet in packets], np.int64))
        keys = np.searchsorted(stamps, np.sort([packet[0] for packet in packets if packet[2]]))
        times = (stamps - stamps[0]) * tick
    else:
        with opened(path, threads=1) as (container, stream):
            shown, types = zip(*((frame.pts, frame.pict_type) for frame in decode(container, stream)), strict=True)
        # AVI names no times of showing: stamps then come in decoding order, while frames come in their own.
        known = np.unique([pts for pts in shown if pts is not None])
        distinct = len(known) == len(shown)
        times = (known - known[0]) * tick if distinct else np.arange(len(shown)) / (fps or 25)
        # A B-frame packed with another frame is lost where a decoder leaves out the B-frame before it.
        apart = codec == "mpeg4" and (PictureType.B, PictureType.B) not in pairwise(types)
        keys, stamps = START, np.array(shown, np.int64) if distinct and apart else None
    times.setflags(write=False)
    orientation = orientation_of(first)
    if not orientation.exact:
        logger.warning("'%s' asks for a display that is no quarter turn; its frames are shown %s.", path, orientation)
    return VideoInfo(len(times), fps or (len(times) - 1) / max(times[-1], tick), times,
                     orientation.size(first.height, first.width), orientation, duration, header_frames, stamps, keys,
                     counted, skips=stamps is not None and codec in _SKIPS)


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
