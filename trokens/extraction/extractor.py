"""From a video to a point file: frames at one rate, semantic query points, tracks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from trokens.data.transforms import resize
from trokens.data.write import write_animation
from trokens.distributed import check_memory, pick_device
from trokens.extraction.jobs import Job
from trokens.files import whole_file
from trokens.models.backbone import IMAGENET_MEAN, IMAGENET_STD, build_backbone, build_timm_backbone
from trokens.points.clustering import cluster_patches, kmeans_patches
from trokens.points.geometry import frame_positions
from trokens.points.io import write_tracks
from trokens.points.queries import grid_query_points, semantic_query_points
from trokens.points.source import describe_video
from trokens.points.trackers import build_tracker
from trokens.structures import Tracks
from trokens.video import check_whole, probe, read_video
from trokens.visualize import draw_clusters, draw_trails

IMAGE_SIZE = 224  # side to which frames are resized for the backbone


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


class Queries(NamedTuple):
    """Where tracking starts.

    Attributes:
        points: (N, 3) float32 as (frame, x, y) in pixels.
        cluster: Cluster of each, (N,) long.
        labels: Label of every patch of the clustered frames, (F, P, Q) long; None for a grid.
        frames: Which frames those are, (F,) long; None for a grid.
    """

    points: Tensor
    cluster: Tensor
    labels: Tensor | None = None
    frames: Tensor | None = None


class Extractor:
    """Frames to tracks.

    Args:
        options: How points are chosen and tracked.
        backbone: Used instead of the one that the options name; what it has to be like says `build_backbone`.

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
        self.backbone = None if options.use_grid else (backbone or _build_backbone(options)).to(self.device)
        if options.clustering == "kmeans" and not options.use_grid:  # a video may have one frame alone
            patches = self.backbone.grid(IMAGE_SIZE) ** 2
            if not 0 < options.num_clusters <= patches:
                raise ValueError(f"{options.num_clusters} clusters are asked for; the {patches} patches of a frame "
                                 f"allow 1 to {patches}.")

    def query_points(self, frames: Tensor) -> Queries:
        """Choose points in frames (L, H, W, 3) uint8."""
        options, size = self.options, tuple(frames.shape[1:3])
        if options.use_grid:
            return Queries(*grid_query_points(len(frames), size, grid_size=options.grid_size))
        rows = frame_positions(len(frames), options.num_frames).unique()  # a repeated frame adds nothing
        return self.place(self.features(frames[rows]), rows, size)

    def place(self, features: Tensor, rows: Tensor, size: tuple[int, int]) -> Queries:
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
        images = resize(frames, IMAGE_SIZE).to(self.device).float() / 255                     # (F, 3, 224, 224)
        mean, std = (x.view(3, 1, 1) for x in (self.backbone.mean, self.backbone.std))
        features = self.backbone((images - mean) / std).float().cpu()
        if not features.isfinite().all():  # they would make one cluster, and a file that looks sound
            raise ValueError(f"The patch features of {self.options.backbone} are not finite; check its weights.")
        return features

    def follow(self, frames: Tensor, queries: Queries) -> Tracks:
        """Track chosen points through frames (L, H, W, 3) uint8."""
        result = self.tracker.track(frames, queries.points, queries.cluster)
        return Tracks(result.tracks, result.visibility, queries.points[:, 0].long(), queries.cluster,
                      tuple(frames.shape[1:3]))

    def __call__(self, frames: Tensor) -> Tracks:
        """Choose points in frames (L, H, W, 3) uint8 and follow them."""
        return self.follow(frames, self.query_points(frames))


def _build_backbone(options: Options) -> nn.Module:
    if not options.backbone.startswith("timm:"):
        return build_backbone(options.backbone, options.backbone_weights or None, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    name, _, stage = options.backbone.removeprefix("timm:").partition(":")
    if stage and not stage.lstrip("-").isdigit():
        raise ValueError(f"The stage in '{options.backbone}' is no whole number; write timm:NAME:STAGE.")
    return build_timm_backbone(name, int(stage or -1), options.backbone_weights, IMAGE_SIZE)


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
    wanted = np.arange(int(times[-1] * fps + 0.5) + 1) / fps
    return torch.from_numpy(np.searchsorted((times[1:] + times[:-1]) / 2, wanted, side="left"))


def extract_video(job: Job, extractor: Extractor, threads: int = 1) -> None:
    """Extract one video's points and write its point file: whole, or not at all; and pictures, where asked for.

    Raises:
        VideoError: The video cannot be read, or it is cut.
        MemoryError: Memory does not hold its frames, or what the tracker makes of them.
    """
    source = describe_video(job.video)
    info = probe(job.video)
    check_whole(job.video, info)
    (height, width), numbers = info.size, resample(info.times, job.fps)
    check_memory(len(numbers) * height * width * 3, f"The {len(numbers)} frames of '{job.video}' at {width} x {height} "
                 "take", "cut the video into shorter ones, or lower --fps")
    frames = read_video(job.video, numbers.tolist(), threads=threads)
    queries = extractor.query_points(frames)
    tracks = replace(extractor.follow(frames, queries), frame=numbers)
    if job.clusters and queries.labels is not None:
        _draw_query_frames(job.trails, frames, queries)
    if job.trails:  # after those and before the points: a later run looks for these two
        write_animation(job.trails, draw_trails(frames, tracks), job.fps or info.fps)
    metadata = {"source": job.video.name, **source, "fps": f"{job.fps or info.fps:g}", **extractor.tracker.metadata,
                "options": json.dumps(asdict(extractor.options))}
    write_tracks(job.points, tracks, metadata, times=torch.from_numpy(info.times[numbers.numpy()]))


def _draw_query_frames(trails: Path, frames: Tensor, queries: Queries) -> None:
    """Write ``<clip id>_query_0012.png`` for each frame that has query points: its clusters and those points."""
    number = queries.points[:, 0].long()
    rows = (queries.frames[:, None] == number).any(1)
    numbers = queries.frames[rows].tolist()
    pictures = draw_clusters(frames[numbers], queries.labels[rows],
                             [queries.points[number == n, 1:] for n in numbers])
    for n, picture in zip(numbers, pictures, strict=True):
        with whole_file(trails.with_name(f"{trails.stem}_query_{n:04}.png")) as unfinished:
            Image.fromarray(picture.numpy()).save(unfinished, "PNG")
