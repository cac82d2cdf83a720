"""Which frames a file has, and when each is shown.

Most containers name the stamps of all frames without decoding any. Where packets do not tell what a decoder makes of
them (packed B-frames, cut files, streams copied from the middle), frames are counted by decoding.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import av
import numpy as np
from av.video.frame import PictureType

from trokens.video.info import NOTHING_DECODES, START, Damage, VideoInfo, video_error, warn_once
from trokens.video.orientation import orientation_of
from trokens.video.stream import Packet, opened, reference_decoder
from trokens.video.whole import has_hole, lost_bytes, shortfall

_ONE_FRAME_A_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4"}
_SKIPS = {"h264", "mpeg4"}  # in HEVC, frames of higher layers may refer to those that a decoder would leave out
_SMALLEST_FRAME = 32  # bytes; smaller MPEG-4 packets are placeholders that may give no frame
_USUAL_FPS = 25.0  # of a video that does not tell its rate
_LONGEST = 2**62  # ticks between two stamps; more are no time


class _Scan(NamedTuple):
    """What one pass over the packets tells."""

    packets: list[Packet]
    first: av.VideoFrame
    codec: str
    avi: bool
    header_frames: int | None
    fps: float
    tick: float
    joints: int
    short: str | None
    silent: bool


@lru_cache(maxsize=8192)
def probe_file(path: str, _mtime: int, _size: int) -> VideoInfo:
    """Count and time the frames of the file, as it is at this time of change and size."""
    damage = Damage()
    scan = _scan(path, damage)
    counted = bool(damage.count or scan.joints) or not _packets_tell(scan)
    if counted:
        decoded = Damage()
        times, stamps, keys = _decoded_times(path, scan, decoded)
        damage = decoded if decoded.count else damage
    else:
        times, stamps, keys = _packet_times(scan)
    times.setflags(write=False)
    orientation = orientation_of(scan.first)
    if not orientation.exact:
        warn_once(f"'{path}' asks for a display that is no quarter turn; its frames are shown {orientation}.")
    fps = scan.fps or (len(times) - 1) / max(times[-1], scan.tick) or _USUAL_FPS
    return VideoInfo(len(times), fps, times, orientation.size(scan.first.height, scan.first.width), orientation,
                     scan.short, str(damage) if damage.count else None, scan.silent and not counted, stamps, keys,
                     counted, skips=stamps is not None and scan.codec in _SKIPS)


def _scan(path: str, damage: Damage) -> _Scan:
    """Read all packets, and decode the first frame."""
    with opened(path, threads=1) as video:
        stream, codec, kind = video.stream, video.stream.codec_context.name, video.container.format.name
        packets, first = [], None
        for packet in video.packets(damage):
            if packet.size:
                packets.append(Packet(packet.pts, packet.dts, packet.duration or 0, packet.pos, packet.size,
                                      packet.is_keyframe, packet.is_discard))
                if packet.is_corrupt:
                    damage(video.seconds(packet.pts), "a packet is marked corrupt")
                elif has_hole(codec, packet):
                    damage(video.seconds(packet.pts), "a packet has lost bytes to zeros")
            if first is None:
                try:
                    first = next(iter(video.decoder.decode(packet)), None)
                except av.error.FFmpegError:
                    if packet.is_keyframe:
                        damage(video.seconds(packet.pts), "a packet does not decode")
        if first is None:
            raise video_error(path, NOTHING_DECODES)
        for sign in lost_bytes(path, kind, packets):
            damage(None, sign)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        return _Scan(packets, first, codec, avi=kind == "avi", header_frames=stream.frames or None,
                     fps=rate if 0 < rate < math.inf else 0.0, tick=float(stream.time_base), joints=video.joints,
                     short=shortfall(video, packets),
                     silent=reference_decoder(codec, stream.codec_context.pix_fmt) is not None)


def _packets_tell(scan: _Scan) -> bool:
    """Whether a decoder will surely give one frame for each packet that is shown, marked with the packet's stamp."""
    stamps = [packet.pts for packet in scan.packets]
    if None in stamps or not scan.packets:
        return False
    shown = [packet.pts for packet in scan.packets if not packet.discard]
    left_out = [packet.pts for packet in scan.packets if packet.discard]
    return (
        scan.codec in _ONE_FRAME_A_PACKET
        and scan.header_frames in (None, len(scan.packets))
        and len(set(shown)) == len(shown)
        and max(stamps) - min(stamps) < _LONGEST
        # Else frames refer to what was cut off before the first key frame.
        and scan.packets[0].key and stamps[0] == min(stamps) and scan.first.pts == min(shown, default=None)
        and all(stamp < scan.first.pts for stamp in left_out)  # those that lead up to the first that is shown
        and (not (scan.avi or scan.codec == "mpeg4") or all(
            packet.pts == packet.dts and packet.size >= _SMALLEST_FRAME for packet in scan.packets))
    )


def _packet_times(scan: _Scan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time and stamp of every frame, and the frames at which decoding may start, as the packets tell."""
    shown = [packet for packet in scan.packets if not packet.discard]
    stamps = np.sort(np.array([packet.pts for packet in shown], np.int64))
    keys = np.searchsorted(stamps, np.sort([packet.pts for packet in shown if packet.key]))
    # The key frame that leads up to the first one shown may itself be left out.
    return (stamps - stamps[0]) * scan.tick, stamps, np.union1d(START, keys).astype(np.int64)


def _decoded_times(path: str, scan: _Scan, damage: Damage) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """The same, as a decoder tells; stamps are None where they do not tell frames apart."""
    with opened(path, threads=1, attentive=True) as video:
        shown = [(frame.pts, frame.pict_type) for frame in video.frames(on_damage=damage)]
    if not shown:
        raise video_error(path, NOTHING_DECODES)
    stamps, types = zip(*shown, strict=True)
    known = sorted({stamp for stamp in stamps if stamp is not None})
    # AVI names no times of showing: stamps then come in decoding order, while frames come in their own.
    distinct = len(known) == len(shown) and known[-1] - known[0] < _LONGEST
    times = ((np.array(known, np.int64) - known[0]) * scan.tick if distinct
             else np.arange(len(shown)) / (scan.fps or _USUAL_FPS))
    # A B-frame packed with another frame is lost where a decoder leaves out the B-frame before it.
    apart = scan.codec == "mpeg4" and (PictureType.B, PictureType.B) not in pairwise(types)
    return times, np.array(stamps, np.int64) if distinct and apart and not damage.count else None, START


@lru_cache(maxsize=8192)
def damage_in_frames(path: str, mtime: int, size: int) -> str | None:
    """Decode every frame of the file; the signs of damage in words, or None."""
    info, damage, count = probe_file(path, mtime, size), Damage(), 0
    with opened(path, threads=1, attentive=True) as video:
        for _ in video.frames(on_damage=damage):
            count += 1
    if damage.count:
        return str(damage)
    return f"{info.num_frames - count} of {info.num_frames} frames do not decode" if count < info.num_frames else None
