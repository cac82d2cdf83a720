"""Which frames of a video are extracted."""

from __future__ import annotations

import logging
import os

import numpy as np
import torch
from torch import Tensor

from trokens.video import VideoError, VideoInfo
from trokens.video.pauses import Pause, close_pauses

logger = logging.getLogger(__name__)

MOST_POSITIONS = 2**20  # of a point file; more, 29 hours at 10 a second, no tracker follows


def choose_frames(path: str | os.PathLike, info: VideoInfo, fps: float) -> Tensor:
    """Numbers of the frames to extract (L,) long, see `resample`; pauses of the recording are left out, and named.

    Args:
        path: The video, for the messages.
        info: What is known of it.
        fps: Frames per second; 0 keeps every frame.

    Raises:
        VideoError: There are too many.
    """
    line, pauses = (info.times, []) if fps == 0 else close_pauses(info.times)
    count = len(line) if fps == 0 else _num_positions(line, fps)
    if count > MOST_POSITIONS:
        raise VideoError(f"'{os.fspath(path)}' has {count} frames at {fps:g} a second, above the {MOST_POSITIONS} of a "
                         "point file; lower --fps, or cut the video into shorter ones.")
    if pauses:
        logger.warning("%s", _words(path, pauses))
    return resample(line, fps)


def resample(times: np.ndarray, fps: float) -> Tensor:
    """Frames of a video that are nearest in time to a constant rate.

    Args:
        times: Time of each frame in seconds, ascending from 0, (F,).
        fps: Frames per second; 0 keeps every frame.

    Returns:
        Frame numbers (L,) long, ascending, the first one 0; a rate above the video's repeats frames.
    """
    if fps == 0:
        return torch.arange(len(times))
    wanted = np.arange(_num_positions(times, fps)) / fps
    return torch.from_numpy(np.searchsorted((times[1:] + times[:-1]) / 2, wanted, side="left"))


def _num_positions(times: np.ndarray, fps: float) -> int:
    return int(times[-1] * fps + 0.5) + 1


def _words(path: str | os.PathLike, pauses: list[Pause]) -> str:
    first = pauses[0]
    if len(pauses) == 1:
        return (f"'{os.fspath(path)}' pauses for {first.length:.1f} s behind frame {first.frame} (at {first.begin:.2f} "
                "s); the pause is left out.")
    return (f"'{os.fspath(path)}' pauses {len(pauses)} times, {sum(pause.length for pause in pauses):.1f} s in all, "
            f"first behind frame {first.frame} (at {first.begin:.2f} s, for {first.length:.1f} s); the pauses are left "
            "out.")
