"""Clips whose true tracks are known, to measure trackers by: files, TAP-Vid's pickles, rendered ones.

The truth of a clip is a ``Tracks`` that says with ``query_frame`` where each point is to be asked for.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trokens.clips.dataset import clip_id
from trokens.clips.walk import find_videos
from trokens.moving_shapes.render import LEVELS, render_clip, render_seed
from trokens.points.io import read_tracks
from trokens.points.pickles import load_nested
from trokens.points.tapvid import QUERIES, RASTER
from trokens.structures import Tracks
from trokens.video import read_video
from trokens.video.transforms import resize

EXACT = Path("points/exact/folder/feat_dump")  # where tools/make_moving_shapes.py writes the tracks of its clips
MAX_BYTES = 2**28  # of an .npz file's arrays together: 10,000 points through 2,000 frames in float64
MAX_TAPVID_BYTES = 2**33  # of a pickle of TAP-Vid, which holds all videos of its set uncompressed
MAX_FRAMES = 10_000  # of its videos, each of which takes 192 KiB on the raster


class KnownClip(NamedTuple):
    """A clip that is read or rendered when asked for.

    Attributes:
        name: Name among the clips of its set.
        load: Returns frames (T, H, W, 3) uint8 and the true ``Tracks``, or raises ValueError or OSError.
    """

    name: str
    load: Callable[[], tuple[Tensor, Tracks]]


def find_clips(source: str, mode: str) -> list[KnownClip]:
    """List the clips of a set on disk.

    Args:
        source: A folder with videos at any depth, a pattern of videos, or a ``.pkl`` file of TAP-Vid.
        mode: TAP-Vid's query mode, for a set that does not name its own query points.

    Raises:
        ValueError: There are no videos, or the pickle is none of TAP-Vid's or unsafe.
        FileNotFoundError: There is no such pickle.
    """
    if source.endswith(".pkl") and not os.path.isdir(source):
        return _tapvid_clips(source, mode)
    videos, _ = find_videos(source)
    if not videos:
        raise ValueError(f"There are no videos in '{source}'; name a folder, a pattern in quotes, or a .pkl file.")
    root = os.path.commonpath([video.parent for video in videos])
    return [KnownClip(os.path.relpath(video.with_suffix(""), root), partial(load_truth, video)) for video in videos]


def load_truth(video: Path) -> tuple[Tensor, Tracks]:
    """Read a video and its true tracks.

    They are in the ``.npz`` file of the video's name: ``query_points (N, 3)`` as (t, x, y), ``tracks (T, N, 2)`` in
    pixels, ``visibility (T, N)``, and, where known, ``layer (N,)``, taken as the points' clusters. Without such a file
    they are where tools/make_moving_shapes.py writes them.

    Raises:
        FileNotFoundError: There are no such tracks.
        VideoError, ValueError: A file cannot be read.
    """
    beside = video.with_suffix(".npz")
    root = next((folder for folder in video.parents if (folder / EXACT).is_dir()), None)
    if not beside.exists() and root is None:
        raise FileNotFoundError(f"No true tracks for '{video}': neither {beside.name} beside it nor a folder {EXACT} "
                                "above it.")
    if beside.exists():
        truth = _read_truth(beside)
        frames = read_video(video)
    else:
        frames = read_video(video)
        truth = read_tracks(root / EXACT / f"{clip_id(video, root)}.safetensors")
        beside = root / EXACT
    if truth.num_positions != len(frames):
        raise ValueError(f"The tracks of '{video}' in {beside} have {truth.num_positions} frames, and it has "
                         f"{len(frames)}; it is cut, or they belong to another video.")
    return frames, replace(truth, size=tuple(frames.shape[1:3]))


def _read_truth(path: Path) -> Tracks:
    content = _read_arrays(path, ("query_points", "tracks", "visibility"), ("layer",))
    try:
        query, xy = content["query_points"].float(), content["tracks"].float()
        point = torch.arange(len(query))
        frame = query[:, 0].long()
        if not ((frame >= 0) & (frame < len(xy))).all():
            raise ValueError(f"a query frame is not among the {len(xy)} frames")
        if not torch.equal(query[:, 0], frame.float()):
            raise ValueError("a query frame is no whole number")
        cluster = content.get("layer", torch.zeros(len(query)))
        if not cluster.float().isfinite().all():
            raise ValueError("layer is not finite everywhere")
        truth = Tracks(xy, _truths(content["visibility"]), frame, cluster.long())
        xy[frame, point] = query[:, 1:]  # trackers start exactly there, and no measure counts this frame
        return truth
    except (IndexError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} has no sound query_points, tracks and visibility: {str(error).rstrip('.')}."
                         ) from error


def _read_arrays(path: Path, names: Collection[str], optional: Collection[str]) -> dict[str, Tensor]:
    """Arrays of numbers in an ``.npz`` file that anybody may have written; what else the file holds is left alone."""
    try:
        with zipfile.ZipFile(path) as file:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in file.infolist()
                     if entry.filename.endswith(".npy")}
        if lacking := [name for name in names if name not in sizes]:
            raise ValueError(f"it has no '{lacking[0]}', only {', '.join(list(sizes)[:10]) or 'nothing'}")
        wanted = [name for name in (*names, *optional) if name in sizes]
        if (size := sum(sizes[name] for name in wanted)) > MAX_BYTES:
            raise ValueError(f"its arrays take {size >> 20} MiB, more than {MAX_BYTES >> 20}")
        with np.load(path) as file:
            arrays = {name: file[name] for name in wanted}
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf" or array.itemsize > 8:
                raise ValueError(f"'{name}' holds {array.dtype}, not numbers")
        return {name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) for name, array in arrays.items()}
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
            KeyError) as error:
        cause = str(error).partition("\n")[0].rstrip(".") if os.path.getsize(path) else "it is empty"
        raise ValueError(f"{path} cannot be read: {cause}; write it anew with numpy.savez.") from error


def rendered_clips(level: str, num_clips: int) -> list[KnownClip]:
    """List ``num_clips`` of Moving Shapes' clips of seed 0, evenly spread over the motions."""
    motions = [(split, motion) for split, names in LEVELS[level].motions.items() for motion in names]
    clips, numbers = [], Counter()
    for i in range(num_clips):
        split, motion = motions[i * len(motions) // num_clips]
        index = numbers[motion]
        numbers[motion] += 1
        clips.append(KnownClip(f"{split}/{motion}/{index:03d}", partial(
            _render, motion, seed=render_seed(0, split, motion, index), level=level)))
    return clips


def _render(motion: str, **options) -> tuple[Tensor, Tracks]:
    frames, tracks = render_clip(motion, **options)
    return torch.from_numpy(frames), tracks


def _tapvid_clips(path: str, mode: str) -> list[KnownClip]:
    content = load_nested(path, "pickle of TAP-Vid", MAX_TAPVID_BYTES)
    records = content if isinstance(content, dict) else dict(enumerate(content)) if isinstance(content, list) else {}
    if not records:
        raise ValueError(f"{path} is no pickle of TAP-Vid: it holds neither a dict nor a list of clips.")
    return [KnownClip(str(name), partial(_unpack, record, mode)) for name, record in records.items()]


def _unpack(record: dict, mode: str) -> tuple[Tensor, Tracks]:
    """Frames on TAP-Vid's raster, as its reported figures are made, and a track for each query of the mode.

    Raises:
        ValueError: The record is none of TAP-Vid's.
    """
    if not isinstance(record, dict):
        raise ValueError(f"It has no sound video, points and occluded: it is a {type(record).__name__}, not a dict.")
    try:
        video, points, occluded = (_array(record[key], key) for key in ("video", "points", "occluded"))
        if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3:
            raise ValueError(f"video is {video.shape} {video.dtype}; expected (T, H, W, 3) uint8")
        if len(video) > MAX_FRAMES:
            raise ValueError(f"video has {len(video)} frames, more than {MAX_FRAMES}")
        if points.shape[1] != len(video):
            raise ValueError(f"points have {points.shape[1]} frames, and video has {len(video)}")
        # There (0, 0) and (1, 1) are the outer corners of the first and the last pixel.
        xy = torch.from_numpy(points).float().transpose(0, 1) * RASTER - 0.5
        start = torch.zeros(len(points), dtype=torch.long)
        visibility = ~_truths(torch.from_numpy(occluded)).transpose(0, 1)
        truth = QUERIES[mode](Tracks(xy, visibility, start, start, (RASTER, RASTER)))
        return resize(torch.from_numpy(video), RASTER), truth
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"It has no sound video, points and occluded: {str(error).rstrip('.')}.") from error


def _array(value: np.ndarray, name: str) -> np.ndarray:
    if not isinstance(value, np.ndarray):  # lists of lists may hold each other without end
        raise TypeError(f"{name} is a {type(value).__name__}, not an array")
    return value.copy()


def _truths(x: Tensor) -> Tensor:
    """As bool; NaN would be True."""
    if not x.isfinite().all():
        raise ValueError("visibility is not finite everywhere")
    return x > 0.5
