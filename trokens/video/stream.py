"""A file opened for one use, and the frames that its decoder gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import av
from av.stream import Disposition

from trokens.video.info import no_video_cause, video_error


@contextmanager
def opened(path: str, threads: int) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a file for one use: nothing is shared between calls, so forked and spawned workers are safe."""
    try:
        # Only local files: a playlist in disguise must not reach for the network.
        with av.open(path, metadata_errors="ignore", container_options={"protocol_whitelist": "file"}) as container:
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not streams:
                raise video_error(path, "it has no video stream")
            stream = streams[0]
            stream.thread_type = "NONE" if threads == 1 else "AUTO"
            stream.codec_context.thread_count = threads
            yield container, stream
    except av.error.FFmpegError as error:
        raise video_error(path, no_video_cause(path) or error.strerror) from error


def decode(container: av.container.InputContainer, stream: av.VideoStream,
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
