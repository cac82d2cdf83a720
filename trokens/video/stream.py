"""A file opened for one use: its packets, and the frames that its decoder gives."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import av
from av.stream import Disposition

from trokens.video.containers import MOST_ZEROS, ends_in_zeros, no_video_cause, promised_bytes, refused_format
from trokens.video.info import VideoError, damaged_video, sign_at, video_error

MAX_PIXELS = 2**25  # of a frame: 8K; a header may ask for any size, and a decoder would set the memory aside
_PICTURES = frozenset({"mjpeg", "png", "bmp", "gif", "tiff", "webp"})  # beside a video they are its cover
_STRICT = "crccheck+bitstream+buffer"  # what decoders check beyond what they need; sound files pass


# Told of each sign of damage: seconds from the start of the file, or None, and what is wrong there.
OnDamage = Callable[[float | None, str], None]


class Packet(NamedTuple):
    """What is kept of a packet; times are in the stream's own unit."""

    pts: int | None
    dts: int | None
    duration: int
    position: int | None  # of its first byte in the file
    size: int
    key: bool
    discard: bool  # left out by an edit list: decoded for the frames after it, not shown


class Source:
    """A video file while it is open.

    Attributes:
        path: The file.
        container, stream: PyAV's.
        decoder: What decodes the stream.
        partial: Number of packets at the end that are there in part only, and left out.
        joints: Number of places where files were joined; both are known when all packets have been read.
    """

    def __init__(self, path: str, container: av.container.InputContainer, stream: av.VideoStream,
                 decoder: av.VideoCodecContext):
        self.path, self.container, self.stream, self.decoder = path, container, stream, decoder
        self.partial = self.joints = 0

    def packets(self, on_damage: OnDamage) -> Iterator[av.Packet]:
        """All packets of the stream up to where the file ends or breaks off, then an empty one, which makes a decoder
        give out what it holds back."""
        demuxed, held = self.container.demux(self.stream), None
        try:
            for packet in self._joined(demuxed) if self.container.format.name == "mpegts" else demuxed:
                if held is not None and packet.size:
                    yield held
                    held = None
                if packet.is_corrupt and packet.size:
                    held = packet  # the last one of a cut file is there in part
                else:
                    yield packet
        except av.error.FFmpegError as error:
            promised = promised_bytes(self.path)
            if promised is None or os.path.getsize(self.path) >= promised:  # else it was cut: `shortfall` says so
                on_damage(None, f"reading stops ({error.strerror})")
            yield av.Packet()
        self.partial = int(held is not None)

    def _joined(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Packets of a transport stream, without a wrong mark: where two files were joined, the last packet but one
        before the joint is marked corrupt, whole as it is."""
        ahead: deque[av.Packet] = deque()
        for packet in packets:
            ahead.append(packet)
            if len(ahead) > 2:
                first = ahead.popleft()
                if first.is_corrupt and any(later.is_keyframe for later in ahead):
                    first.is_corrupt, self.joints = False, self.joints + 1
                yield first
        yield from ahead

    def frames(self, wanted: Collection[int] | None = None, on_damage: OnDamage | None = None, *,
               start: int | None = None) -> Iterator[av.VideoFrame]:
        """Decode frames in the order in which they are shown.

        Packets before the first frame may be undecodable where they refer to what was cut off before them.

        Args:
            wanted: Stamps; frames that have none of them and that no other frame refers to are left out.
            on_damage: Told of every sign of damage; None raises a `DamagedVideo` at the first.
            start: Go to the key frame at or before this stamp first; None goes on from where the file is.
        """
        on_damage, started = on_damage or self._refuse, False
        if start is not None:
            self.container.seek(start, stream=self.stream)
        for packet in self.packets(on_damage):
            if wanted is not None:
                self.decoder.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            try:
                frames = self.decoder.decode(packet)
            except av.error.FFmpegError:
                if started or packet.is_keyframe:
                    on_damage(self.seconds(packet.pts), "a packet does not decode")
                continue
            for frame in frames:
                if frame.is_corrupt:
                    on_damage(self.seconds(frame.pts), "a frame is marked corrupt")
                started = True
                yield frame

    def seconds(self, stamp: int | None) -> float | None:
        """Time of a stamp from the start of the file."""
        return None if stamp is None else float(stamp * self.stream.time_base)

    def _refuse(self, seconds: float | None, sign: str) -> None:
        raise damaged_video(self.path, sign_at(seconds, sign))


@contextmanager
def opened(path: str, threads: int, *, attentive: bool = False) -> Iterator[Source]:
    """Open a file for one use: nothing is shared between calls, so forked and spawned workers are safe.

    Whatever goes wrong in the block becomes one `VideoError` about the file. A file that is mostly zeros is refused:
    FFmpeg would read a hundred GB of nothing.

    Args:
        path: The file.
        threads: Decoder threads, 0 for as many as there are cores.
        attentive: Decode by the decoder that notices most damage, where that is not FFmpeg's own; it takes longer.
    """
    if ends_in_zeros(path):
        raise video_error(path, f"its last {MOST_ZEROS >> 30} GiB are zeros, as of a download that did not come to its "
                          "end; get it anew")
    try:
        # Only local files: a playlist in disguise must not reach for the network.
        with av.open(path, metadata_errors="ignore", options={"max_pixels": str(MAX_PIXELS)},
                     container_options={"protocol_whitelist": "file"}) as container:
            stream = _video_stream(path, container)
            decoder = stream.codec_context
            # FFmpeg's own gives out what was in memory before where a damaged VP8 frame ends early.
            attentive = attentive or decoder.name == "vp8"
            if attentive and (name := reference_decoder(decoder.name, decoder.pix_fmt)):
                decoder = av.CodecContext.create(name, "r")
            decoder.thread_type = "NONE" if threads == 1 else "AUTO"
            decoder.thread_count = threads
            # A JPEG decoder goes on with gray after an error, and says so only if it is told to stop.
            strict = _STRICT + "+explode" * (decoder.name == "mjpeg")
            decoder.options = {"err_detect": strict, "max_pixels": str(MAX_PIXELS)}
            yield Source(path, container, stream, decoder)
    except (VideoError, AssertionError):
        raise
    except av.error.EOFError as error:
        raise video_error(path, no_video_cause(path) or "it ends before its first frame; get it anew") from error
    except av.error.FFmpegError as error:
        cause = f"FFmpeg cannot read it ({error.strerror}); get it anew, or convert it, for example to H.264"
        raise video_error(path, no_video_cause(path) or cause) from error
    except Exception as error:  # what PyAV makes of a header that nobody has foreseen
        raise video_error(path, f"{type(error).__name__}: {error}") from error


@lru_cache
def reference_decoder(codec: str, pix_fmt: str | None) -> str | None:
    """Name of the decoder that notices damage over which FFmpeg's own of a codec passes in silence, if there is one."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(codec) if pix_fmt == "yuv420p" else None
    try:
        return name and av.Codec(name, "r").name
    except ValueError:  # not part of this FFmpeg
        return None


def _video_stream(path: str, container: av.container.InputContainer) -> av.VideoStream:
    """The first stream that is a video and no cover picture, which some files have as a track like any other."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    streams.sort(key=lambda stream: stream.codec_context is not None and stream.codec_context.name in _PICTURES)
    if not streams:
        raise video_error(path, "it has no video stream; leave it out, or get the file with its video")
    if cause := refused_format(path, container.format.name):
        raise video_error(path, no_video_cause(path) or cause)
    stream = streams[0]
    if stream.codec_context is None:
        raise video_error(path, "there is no decoder for its video; convert it, for example to H.264")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise video_error(path, f"its frames of {width} x {height} pixels are above the {MAX_PIXELS} that are read")
    if not stream.time_base:
        raise video_error(path, "its video has no unit of time")
    return stream
