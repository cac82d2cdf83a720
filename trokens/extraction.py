"""From videos to point files: frames at one rate, semantic query points, tracks; for one video and for a list."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from trokens.data.datasets import clip_id
from trokens.data.transforms import resize
from trokens.data.video import VideoError, VideoInfo, probe, read_video
from trokens.distributed import num_cores
from trokens.models.backbone import IMAGENET_MEAN, IMAGENET_STD, build_backbone, build_timm_backbone
from trokens.points.clustering import cluster_patches, kmeans_patches
from trokens.points.geometry import frame_positions
from trokens.points.io import write_tracks
from trokens.points.queries import grid_query_points, semantic_query_points
from trokens.points.trackers import TRACKERS
from trokens.structures import Tracks

logger = logging.getLogger(__name__)

IMAGE_SIZE = 224  # side to which frames are resized for the backbone
FPS = {"ssv2": 12.0}  # frames a second at which points are extracted, where it is not DEFAULT_FPS
DEFAULT_FPS = 10.0
NAMED_BY_FILE = ("ssv2", "hmdb51", "ucf101", "finegym")  # a clip's id is the file's name up to its first dot
WHOLE_DURATION, WHOLE_FRAMES = 0.90, 0.95  # a video with less of what its header promises was cut


@dataclass(frozen=True)
class Options:
    """How points are chosen and tracked.

    Attributes:
        tracker: Name in ``TRACKERS``.
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
        """Folder of the point files where none is named: `flow_bip_fr_32`, `flow_kmeans_fr_32`, `flow_grid_16`."""
        if self.use_grid:
            return f"{self.tracker}_grid_{self.grid_size}"
        return f"{self.tracker}_{'bip' if self.clustering == 'bipartite' else self.clustering}_fr_{self.num_frames}"


class Extractor:
    """Frames to tracks.

    Raises:
        ValueError, FileNotFoundError: An unknown tracker, clustering or backbone, or no weights.
    """

    def __init__(self, options: Options):
        if options.clustering not in ("bipartite", "kmeans"):
            raise ValueError(f"Unknown clustering method '{options.clustering}'. Known: bipartite, kmeans.")
        self.options = options
        self.tracker = TRACKERS.get(options.tracker)()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.backbone = None if options.use_grid else _build_backbone(options).to(self.device)

    def query_points(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Choose points in frames (L, H, W, 3) uint8: (N, 3) float32 as (t, x, y), and their clusters (N,) long."""
        options, size = self.options, tuple(frames.shape[1:3])
        if options.use_grid:
            return grid_query_points(len(frames), size, grid_size=options.grid_size)
        rows = frame_positions(len(frames), options.num_frames).unique()  # a repeated frame adds nothing
        features = self.features(frames[rows])
        if options.clustering == "kmeans":
            labels = kmeans_patches(features, options.num_clusters)[0]
        else:
            labels = cluster_patches(features, options.merge_ratio, options.num_iters)
        return semantic_query_points(labels, rows, size, points_per_entity=options.points_per_entity,
                                     connected_components=options.connected_components)

    @torch.no_grad()
    def features(self, frames: Tensor) -> Tensor:
        """Patch features of frames (F, H, W, 3) uint8: (F, S, S, D) float32 on the CPU."""
        images = resize(frames, IMAGE_SIZE).to(self.device).float() / 255                     # (F, 3, 224, 224)
        mean, std = (x.view(3, 1, 1) for x in (self.backbone.mean, self.backbone.std))
        return self.backbone((images - mean) / std).float().cpu()

    def __call__(self, frames: Tensor) -> Tracks:
        """Choose points in frames (L, H, W, 3) uint8 and follow them."""
        points, cluster = self.query_points(frames)
        result = self.tracker.track(frames, points, cluster)
        return Tracks(result.tracks, result.visibility, points[:, 0].long(), cluster, tuple(frames.shape[1:3]))


def _build_backbone(options: Options) -> nn.Module:
    if not options.backbone.startswith("timm:"):
        return build_backbone(options.backbone, options.backbone_weights or None, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    name, _, stage = options.backbone.removeprefix("timm:").partition(":")
    if stage and not stage.lstrip("-").isdigit():
        raise ValueError(f"The stage in '{options.backbone}' is no whole number; write timm:NAME:STAGE.")
    return build_timm_backbone(name, int(stage or -1), options.backbone_weights, IMAGE_SIZE)


class Job(NamedTuple):
    """One video to extract: the video, the point file to write, and the frame rate (0: every frame of the video)."""

    video: Path
    points: Path
    fps: float


class Outcome(NamedTuple):
    """What became of a job: ``failure`` is None, or the cause."""

    job: Job
    failure: str | None


@dataclass(frozen=True)
class VideoList:
    """Videos to extract, each with its dataset.

    Attributes:
        videos: (path, dataset) pairs.
        root: Folder below which the paths of one's own clips are their ids; training's ``DATA.PATH_TO_DATA_DIR``.
    """

    videos: Sequence[tuple[Path, str]]
    root: Path

    def jobs(self, out: Path, fps: float | None = None) -> list[Job]:
        """Name the point file ``<out>/<dataset>/feat_dump/<clip id>.safetensors`` of each video.

        Args:
            out: Folder of the point files.
            fps: Frame rate; None takes the dataset's.

        Raises:
            ValueError: There are no videos, or two videos would share a point file.
        """
        if not self.videos:
            raise ValueError("There are no videos to extract points from; check --csv_path or --videos.")
        jobs = []
        for video, dataset in self.videos:
            dataset = dataset.lower()
            rate = FPS.get(dataset, DEFAULT_FPS) if fps is None else fps
            jobs.append(Job(video, out / dataset / "feat_dump" / f"{self._id(video, dataset)}.safetensors", rate))
        twice = [path for path, count in Counter(job.points for job in jobs).items() if count > 1]
        if twice:
            videos = [str(job.video) for job in jobs if job.points == twice[0]]
            raise ValueError(f"{len(twice)} clip ids belong to more than one video (first: {twice[0].stem} of "
                             f"{' and '.join(videos[:2])}); rename or drop all but one.")
        return jobs

    def _id(self, video: Path, dataset: str) -> str:
        if dataset == "k400":
            return video.name[:11]
        return video.name.split(".")[0] if dataset in NAMED_BY_FILE else clip_id(video, self.root)


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


def check_whole(video: Path, info: VideoInfo) -> None:
    """Refuse a video that decodes to less than its header promises.

    Raises:
        VideoError: It is short; the message gives both figures.
    """
    end = info.times[-1] + 1 / info.fps
    if info.header_frames and info.num_frames < WHOLE_FRAMES * info.header_frames:
        raise VideoError(f"'{video}' is cut: {info.num_frames} of {info.header_frames} frames are there.")
    if info.duration and end < WHOLE_DURATION * info.duration:
        raise VideoError(f"'{video}' is cut: its frames end at {end:.2f} s of {info.duration:.2f} s.")


def extract_video(job: Job, extractor: Extractor, threads: int = 1) -> None:
    """Extract one video's points and write its point file: whole, or not at all.

    Raises:
        VideoError: The video cannot be read, or it is cut.
    """
    info = probe(job.video)
    check_whole(job.video, info)
    numbers = resample(info.times, job.fps)
    tracks = extractor(read_video(job.video, numbers.tolist(), threads=threads))
    tracks = Tracks(tracks.xy, tracks.visibility, tracks.query_frame, tracks.cluster, tracks.size, numbers)
    metadata = {"source": job.video.name, "fps": f"{job.fps or info.fps:g}", "tracker": extractor.options.tracker,
                "options": json.dumps(asdict(extractor.options))}
    write_tracks(job.points, tracks, metadata, times=torch.from_numpy(info.times[numbers.numpy()]))


def extract_list(jobs: Sequence[Job], options: Options, num_workers: int = 1) -> Iterator[Outcome]:
    """Extract many videos, in ``num_workers`` processes; yield each outcome as it comes.

    A video that cannot be extracted is an outcome with a cause. The cores are shared out among the processes.

    Raises:
        RuntimeError: A process died, for example for lack of memory.
        ValueError, FileNotFoundError: As `Extractor`.
    """
    threads = max(1, num_cores() // num_workers)
    extractor = Extractor(options)  # here too where other processes do the work: its errors belong to the caller
    if num_workers == 1:
        yield from (_attempt(job, extractor, threads) for job in jobs)
        return
    del extractor
    with ProcessPoolExecutor(num_workers, get_context("spawn"), _start_worker, (options, threads)) as pool:
        try:
            for future in as_completed([pool.submit(_work, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError("A process of the extraction died (out of memory?); start again with fewer --workers: "
                               "finished files are kept.") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_worker: dict = {}  # what a worker process builds once


def _start_worker(options: Options, threads: int) -> None:
    # A worker whose parent was killed would wait for work forever.
    threading.Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    _worker.update(extractor=Extractor(options), threads=threads)


def _work(job: Job) -> Outcome:
    return _attempt(job, **_worker)


def _attempt(job: Job, extractor: Extractor, threads: int) -> Outcome:
    try:
        extract_video(job, extractor, threads)
    except (VideoError, OSError) as error:
        return Outcome(job, str(error))
    except Exception as error:  # one video must not end a run of thousands
        logger.exception("Extraction of %s failed.", job.video)
        return Outcome(job, f"{type(error).__name__}: {error}")
    return Outcome(job, None)
