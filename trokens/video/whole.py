"""Whether a video has what its header promises."""

from __future__ import annotations

import os

from trokens.video.info import VideoError, VideoInfo

WHOLE_DURATION, WHOLE_FRAMES = 0.90, 0.95  # a video with less of what its header promises was cut


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
