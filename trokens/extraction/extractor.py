"""From a video to a point file: frames at one rate, semantic query points, tracks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from tempfile import gettempdir
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trokens.extraction.clip import HeldClip, Queries, WholeFrames
from trokens.extraction.frame_times import choose_frames
from trokens.extraction.jobs import Job
from trokens.extraction.pictures import write_pictures
from trokens.models.backbone import named_backbone
from trokens.points.clustering import cluster_patches, kmeans_patches
from trokens.points.geometry import frame_positions
from trokens.points.io import write_tracks
from trokens.points.queries import MOST_PIXELS, grid_query_points, semantic_query_points
from trokens.points.source import describe_video
from trokens.runtime.distributed import pick_device
from trokens.runtime.machine import available_memory, check_memory
from trokens.structures import Tracks
from trokens.trackers import ReducingTracker, build_tracker
from trokens.trackers.held import IN_MEMORY, HeldFrames
from trokens.video import check_sound, check_whole, probe, stream_video
from trokens.video.transforms import channels_first, resize

IMAGE_SIZE = 224  # side to which frames are resized for the backbone
READING, PLACING = 40, 120  # bytes of memory a pixel of one frame: to decode and scale it, and to place points on it
TRACKING = 100              # and a position of a point, while it is tracked


@dataclass(frozen=True)
class Options:
    """How points are chosen and tracked.

    Attributes:
        tracker: Name of a tracker, see `build_tracker`.
        tracker_options: Keyword arguments of it.
        backbone: "dinov2_vitb14" (or another DINOv2), or "timm:NAME" or "timm:NAME:STAGE" for any timm model.
        backbone_weights: A file, or what else `build_backbone` or `build_timm_backbone` take.
        clustering: "bipartite" or "kmeans".
        num_clusters: Of k-means.
        num_frames: Frames that are clustered.
        merge_ratio, num_iters: Of the bipartite merging, see `cluster_patches`.
        points_per_entity: Query points on each cluster.
        connected_components: Whether each 4-connected part of a cluster becomes a cluster.
        use_grid: A uniform grid of query points instead of semantic ones; no backbone is used.
        grid_size: Points along each side of the grid.
    """

    tracker: str = "flow"
    tracker_options: dict[str, Any] = field(default_factory=dict)
    backbone: str = "dinov2_vitb14"
    backbone_weights: str = ""
    clustering: str = "bipartite"
    num_clusters: int = 12
    num_frames: int = 32
    merge_ratio: int = 25
    num_iters: int = 11
    points_per_entity: int = 16
    connected_components: bool = False
    use_grid: bool = False
    grid_size: int = 16

    @property
    def name(self) -> str:
        """Folder of the point files where none is named: cotracker3_bip_fr_32, flow_kmeans_fr_32, flow_grid_16."""
        tracker = self.tracker.removesuffix("_offline")  # as the published folder is called
        if self.use_grid:
            return f"{tracker}_grid_{self.grid_size}"
        return f"{tracker}_{'bip' if self.clustering == 'bipartite' else self.clustering}_fr_{self.num_frames}"


class Extractor:
    """Frames to tracks.

    Args:
        options: How points are chosen and tracked.
        backbone: Used instead of the one that the options name; `build_backbone` says what it gives.

    Raises:
        ValueError, FileNotFoundError: An unknown tracker, clustering or backbone, or no weights; more clusters than
            a frame has patches; or this process of several on a node has no GPU of its own.
    """

    def __init__(self, options: Options, backbone: nn.Module | None = None):
        if options.clustering not in ("bipartite", "kmeans"):
            raise ValueError(f"Unknown clustering method '{options.clustering}'. Known: bipartite, kmeans.")
        self.options = options
        self.device = pick_device(num_gpus=1)
        self.tracker = build_tracker(options.tracker, **({"device": self.device} | options.tracker_options))
        self._reducing = self.tracker if isinstance(self.tracker, ReducingTracker) else WholeFrames(self.tracker)
        self.backbone = None if options.use_grid else (backbone or named_backbone(
            options.backbone, options.backbone_weights, IMAGE_SIZE)).to(self.device)
        if options.clustering == "kmeans" and not options.use_grid:  # a video may have one frame alone
            patches = self.backbone.grid(IMAGE_SIZE) ** 2
            if not 0 < options.num_clusters <= patches:
                raise ValueError(f"{options.num_clusters} clusters are asked for; the {patches} patches of a frame "
                                 f"allow 1 to {patches}.")

    def memory(self, num_frames: int, size: tuple[int, int]) -> int:
        """Bytes of memory, about, that frames of this size take at most, without the tracks."""
        pixels = size[0] * size[1]
        placing = 0 if self.options.use_grid else PLACING * min(pixels, MOST_PIXELS)
        return READING * pixels + placing + (0 if self._reducing is self.tracker else 3 * pixels * num_frames)

    @contextmanager
    def read(self, frames: Iterable[np.ndarray], num_frames: int, size: tuple[int, int],
             folder: str | os.PathLike) -> Iterator[HeldClip]:
        """Hold of each frame what is needed of it, so that memory has one of full size at a time; let go in the end.

        Args:
            frames: L frames (H, W, 3) uint8; the same array again is a repeated frame.
            num_frames: L.
            size: Their height and width, H and W.
            folder: For a temporary file of what memory has no share for, see `HeldFrames`.

        Raises:
            OSError: The disk does not take that file.
        """
        rows = torch.empty(0, dtype=torch.long)
        if not self.options.use_grid:
            rows = frame_positions(num_frames, self.options.num_frames).unique()  # a repeated frame adds nothing
        clustered, newest, reduced, frame = set(rows.tolist()), None, None, None
        squares = [torch.empty(0, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)]
        with closing(HeldFrames(folder, num_frames, min(IN_MEMORY, available_memory() // 4))) as held:
            for row, frame in enumerate(frames):
                if row in clustered:
                    squares.append(resize(torch.from_numpy(frame)[None], IMAGE_SIZE))
                if frame is not newest:
                    newest, reduced = frame, self._reducing.reduce(frame)
                held.append(reduced)
            del newest, reduced, frame  # while points are followed, no frame of full size is held
            yield HeldClip(size, rows, torch.cat(squares), held)

    def query_points(self, clip: HeldClip) -> Queries:
        """Choose points in a clip."""
        if self.options.use_grid:
            return Queries(*grid_query_points(len(clip.frames), clip.size, grid_size=self.options.grid_size))
        return self.choose_points(self.features(clip.squares), clip.rows, clip.size)

    def choose_points(self, features: Tensor, rows: Tensor, size: tuple[int, int]) -> Queries:
        """Choose points on the clusters of the features (F, S, S, D) of frames ``rows`` (F,), which have this size."""
        options = self.options
        if options.clustering == "kmeans":
            labels = kmeans_patches(features, options.num_clusters)[0]
        else:
            labels = cluster_patches(features, options.merge_ratio, options.num_iters)
        points = semantic_query_points(labels, rows, size, points_per_entity=options.points_per_entity,
                                       connected_components=options.connected_components)
        return Queries(*points, labels, rows)

    @torch.no_grad()
    def features(self, frames: Tensor) -> Tensor:
        """Patch features of frames (F, H, W, 3) uint8: (F, S, S, D) float32 on the CPU.

        Raises:
            ValueError: They are not finite.
        """
        images = channels_first(resize(frames, IMAGE_SIZE)).to(self.device).float() / 255     # (F, 3, 224, 224)
        mean, std = (x.view(3, 1, 1) for x in (self.backbone.mean, self.backbone.std))
        features = self.backbone((images - mean) / std).float().cpu()
        if not features.isfinite().all():  # they would make one cluster, and a file that looks sound
            raise ValueError(f"The patch features of {self.options.backbone} are not finite; check its weights.")
        return features

    def follow(self, clip: HeldClip, queries: Queries) -> Tracks:
        """Track chosen points through a clip.

        Raises:
            MemoryError: Memory does not hold the tracks.
        """
        num_frames, num_points = len(clip.frames), len(queries.points)
        check_memory(num_frames * num_points * TRACKING, f"The tracks of {num_points} points through {num_frames} "
                     "frames take", "cut the video into shorter ones, or lower --fps")
        result = self._reducing.track_reduced(clip.frames, clip.size, queries.points, queries.cluster)
        return Tracks(result.tracks, result.visibility, queries.points[:, 0].long(), queries.cluster, clip.size)

    def __call__(self, frames: Tensor) -> Tracks:
        """Choose points in frames (L, H, W, 3) uint8 and follow them."""
        with self.read(frames.numpy(), len(frames), tuple(frames.shape[1:3]), gettempdir()) as clip:
            return self.follow(clip, self.query_points(clip))


def extract_video(job: Job, extractor: Extractor, threads: int = 1) -> None:
    """Extract one video's points and write its point file: whole, or not at all; and pictures, where asked for.

    Raises:
        VideoError: The video cannot be read, or it is cut or damaged and ``job`` does not let that pass.
        MemoryError: Memory does not hold a frame, or the tracks.
        OSError: The disk does not take a file.
    """
    source = describe_video(job.video)
    info = probe(job.video)
    check_whole(job.video, info, job.short)
    damage = check_sound(job.video, job.damaged)
    (height, width), numbers = info.size, choose_frames(job.video, info, job.fps)
    check_memory(extractor.memory(len(numbers), info.size), f"Extraction of '{job.video}' ({len(numbers)} frames of "
                 f"{width} x {height}) takes", "scale the video down, or cut it into shorter ones")
    frames = stream_video(job.video, numbers.tolist(), threads=threads, damaged=job.damaged)
    with extractor.read(frames, len(numbers), info.size, job.points.parent) as clip:
        queries = extractor.query_points(clip)
        tracks = replace(extractor.follow(clip, queries), frame=numbers)
    write_pictures(job, queries, tracks, job.fps or info.fps, threads)  # before the points: a later run looks for both
    metadata = {"source": job.video.name, **source, "fps": f"{job.fps or info.fps:g}", **extractor.tracker.metadata,
                "options": json.dumps(asdict(extractor.options))}
    metadata |= {key: text for key, text in (("short", info.short), ("damaged", damage)) if text}
    write_tracks(job.points, tracks, metadata, times=torch.from_numpy(info.times[numbers.numpy()]))
