"""From a split's clip list to batches: read frames and tracks, choose points, collate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trokens.clips.split import Clip
from trokens.fewshot.episodes import EpisodePlan, EpisodeSampler
from trokens.points.geometry import (
    check_positions,
    check_tracks,
    decoded_frames,
    frame_positions,
    normalize_tracks,
    query_mask,
)
from trokens.points.io import read_point_file
from trokens.points.sampling import choose_points, clip_seed
from trokens.points.source import SourceCheck, other_video
from trokens.runtime.distributed import num_cores
from trokens.runtime.shared_memory import PREFETCH, check_shared_memory, share
from trokens.runtime.workers import SteadyLoader
from trokens.structures import Clips, Episode, Tracks
from trokens.video import VideoInfo, check_whole, probe, read_video
from trokens.video.frame_cache import ClipCache, ClipFrames
from trokens.video.transforms import PhotometricAugment, resize, resize_frames


@dataclass(frozen=True)
class ClipReader:
    """Reads one clip: its sampled frames, and the chosen points' positions in them.

    Attributes:
        clips: The split.
        num_frames: Frames sampled from each clip (T).
        size: Side of the square the frames are resized to, in pixels.
        num_points: Points chosen of each clip (N).
        sampling: How points are chosen, see :func:`trokens.points.sampling.choose_points`.
        hod_clusters: Motion groups of the ``hod`` samplings.
        coords: How pixels become [-1, 1], see :func:`trokens.points.geometry.normalize_tracks`.
        track_dtype: Precision in which they become so: float16, float32, or auto, that of the point file.
        obj_id_key: Key of the cluster ids in a published point file.
        backend: Decoder of :func:`trokens.video.read_video`.
        damaged: Whether to "refuse" a video in which damage is met, or to "warn", see there.
        short: Whether to "refuse" a video that has less than it promises, or to "warn".
        augment: Applied to the frames of training clips; None leaves them as they are.
        resize_first: Augment the resized frames, not those of full size.
        cache: Keeps the frames between decoding and augmentation: resized ones without ``augment`` or with
            ``resize_first``, else those of full size. None keeps nothing.
        source_check: Says what becomes of a video that is not the one its points were extracted from.
    """

    clips: Sequence[Clip]
    num_frames: int
    size: int
    num_points: int
    sampling: str
    hod_clusters: int = 16
    coords: str = "published"
    track_dtype: str = "auto"
    obj_id_key: str = "obj_ids"
    backend: str = "pyav"
    damaged: str = "refuse"
    short: str = "refuse"
    augment: PhotometricAugment | None = None
    resize_first: bool = False
    cache: ClipCache | None = None
    source_check: SourceCheck = field(default_factory=SourceCheck)

    @classmethod
    def from_config(cls, cfg, clips: Sequence[Clip], *, augment: bool) -> ClipReader:
        """Read the options; ``augment`` applies RandAugment where the config asks for it."""
        augment = augment and cfg.DATA.USE_RAND_AUGMENT
        return cls(clips, num_frames=cfg.DATA.NUM_FRAMES, size=cfg.DATA.TRAIN_CROP_SIZE,
                   num_points=cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE, sampling=cfg.POINT_INFO.SAMPLING_TYPE,
                   hod_clusters=cfg.POINT_INFO.HOD.NUM_CLUSTERS, coords=cfg.POINT_INFO.COORDS,
                   track_dtype=cfg.POINT_INFO.TRACK_DTYPE, obj_id_key=cfg.POINT_INFO.OBJ_ID_KEY,
                   backend="decord" if cfg.DATA.DECODING_BACKEND == "decord" else "pyav",
                   damaged=cfg.DATA.DAMAGED_VIDEO, short=cfg.DATA.SHORT_VIDEO,
                   augment=PhotometricAugment(cfg.AUG.AA_TYPE) if augment else None,
                   resize_first=cfg.AUG.ORDER == "resize_first", cache=ClipCache.from_config(cfg),
                   source_check=SourceCheck(cfg.DATA.CHANGED_VIDEO))

    def read(self, index: int, *, with_video: bool, key: str | None = None) -> Clips:
        """Read clip ``index`` as a batch of one.

        Args:
            index: Row of ``clips``.
            with_video: False leaves the frames out.
            key: Seeds the draw of points and of the augmentation in training; None (evaluation) makes both
                depend on the clip's id alone.

        Raises:
            VideoError, ValueError, OSError: A file cannot be read; the message names it.
        """
        clip = self.clips[index]
        seed = clip_seed(clip.id if key is None else key)
        generator = torch.Generator().manual_seed(seed % 2**63)
        file = read_point_file(clip.tracks, self.obj_id_key)
        tracks = file.tracks
        check_tracks(tracks, f"{clip.tracks} of clip '{clip.id}'")
        positions = frame_positions(tracks.num_positions, self.num_frames)  # (T,)
        size, video = tracks.size, None
        if with_video or size is None:
            self.source_check(clip.id, clip.tracks, file.metadata, clip.video)
        if with_video:
            frames, own_size = self._frames(clip, tracks, positions)
            if size is None:
                size = own_size
            else:
                self.source_check.compare_shapes(clip.id, clip.tracks, size, clip.video, own_size)
            if self.augment is not None:
                frames = self.augment(frames, generator)
            video = resize(frames, self.size)[None]  # (1, T, 3, size, size)
        size = size or probe(clip.video, self.backend).size
        chosen = choose_points(tracks, self.num_points, method=self.sampling, generator=generator,
                               hod_clusters=self.hod_clusters)
        shown = positions[:, None], chosen  # of (L, M): (T, N)
        xy = tracks.xy[shown]
        check_positions(xy, f"{clip.tracks} of clip '{clip.id}'")
        dtype = tracks.dtype if self.track_dtype == "auto" else getattr(torch, self.track_dtype)
        return Clips(
            video=video,
            tracks=normalize_tracks(xy, size, self.coords, dtype)[None],
            visibility=tracks.visibility[shown][None],
            query_mask=query_mask(tracks.query_frame[chosen], positions)[None],
            class_id=torch.tensor([clip.class_id]),
            index=torch.tensor([index]),
        )

    def batch_bytes(self, num_clips: int, *, with_video: bool) -> int:
        """Size of a batch of so many clips: frames of one byte a channel, positions of four, two masks."""
        pixels = 3 * self.size ** 2 if with_video else 0
        return num_clips * self.num_frames * (pixels + 10 * self.num_points)

    def _frames(self, clip: Clip, tracks: Tracks, positions: Tensor) -> ClipFrames:
        """The clip's frames before augmentation, from the cache where there is one."""
        resized = self.augment is None or self.resize_first

        def decode() -> ClipFrames:
            info = probe(clip.video, self.backend)
            check_whole(clip.video, info, self.short)
            numbers = _frame_numbers(info, tracks, positions)
            try:
                frames = read_video(clip.video, numbers, backend=self.backend, damaged=self.damaged)
            except IndexError as error:
                raise other_video(clip.id, clip.tracks, clip.video, str(error).rstrip(".")) from error
            return ClipFrames(resize_frames(frames, self.size) if resized else frames, tuple(frames.shape[1:3]))

        if self.cache is None:
            return decode()
        numbers = (tracks.num_positions, len(positions)) if tracks.frame is None else tracks.frame[positions].tolist()
        key = (clip.id, clip.video.name, self.backend, self.size if resized else "full", numbers,
               *(name for name in ("damaged", "short") if getattr(self, name) != "refuse"))
        return self.cache.read(clip.video, repr(key), decode)


def _frame_numbers(info: VideoInfo, tracks: Tracks, positions: Tensor) -> list[int]:
    if tracks.frame is not None:
        return tracks.frame[positions].tolist()
    return decoded_frames(info.num_frames, tracks.num_positions, positions).tolist()


def collate(clips: Sequence[Clips]) -> Clips:
    """Join batches along the clips."""

    def join(name: str) -> Tensor | None:
        parts = [getattr(c, name) for c in clips]
        return None if parts[0] is None else torch.cat(parts)

    return Clips(**{name: join(name) for name in Clips.__dataclass_fields__})


@dataclass(frozen=True)
class EpisodeDataset(Dataset):
    """Episodes, asked for by their plans.

    Attributes:
        reader: Reads the split's clips.
        with_video: False where patch features come from elsewhere.
    """

    reader: ClipReader
    with_video: bool = True

    def __getitem__(self, plan: EpisodePlan) -> Episode:
        clips = [self.reader.read(index, with_video=self.with_video, key=f"{plan.key}/{position}")
                 for position, index in enumerate(plan.indices)]
        return Episode(collate(clips), torch.tensor(plan.way), plan.n_way, plan.num_support)


@dataclass(frozen=True)
class ClipDataset(Dataset):
    """Single clips, asked for by lists of indices; their random draws depend on the clip alone."""

    reader: ClipReader
    with_video: bool = True

    def __getitem__(self, indices: Sequence[int]) -> Clips:
        return collate([self.reader.read(index, with_video=self.with_video) for index in indices])


def _loader(dataset: Dataset, order, batch_bytes: int, *, num_workers: int = 0, pin_memory: bool = False,
            patience: float = 0, keep_workers: bool = False) -> DataLoader:
    """A loader whose items come ready from the dataset: ``order`` yields what ``dataset[...]`` takes."""
    num_workers = min(num_workers, num_cores())
    check_shared_memory(batch_bytes, num_workers)
    return SteadyLoader(dataset, sampler=order, batch_size=None, collate_fn=share, num_workers=num_workers,
                        pin_memory=pin_memory and torch.cuda.is_available(), patience=patience,
                        prefetch_factor=PREFETCH if num_workers else None,
                        persistent_workers=keep_workers and num_workers > 0)


def loading_from_config(cfg) -> dict[str, Any]:
    """How a loader works: the further arguments of :func:`episode_loader` and :func:`clip_loader`."""
    options = cfg.DATA_LOADER
    return {"num_workers": min(options.NUM_WORKERS, num_cores()), "pin_memory": options.PIN_MEMORY,
            "patience": options.TIMEOUT}


def episode_loader(reader: ClipReader, sampler: EpisodeSampler, *, with_video: bool = True, **loading) -> DataLoader:
    """Training episodes in the sampler's order; workers read ahead.

    Args:
        reader: Reads the clips.
        sampler: Gives the plans.
        with_video: False where patch features come from elsewhere.
        loading: num_workers, pin_memory, and patience, see :class:`trokens.runtime.workers.SteadyLoader`.

    Raises:
        ValueError: Shared memory does not hold what the workers read ahead.
    """
    size = reader.batch_bytes(len(sampler[0].indices), with_video=with_video)
    return _loader(EpisodeDataset(reader, with_video), sampler, size, keep_workers=True, **loading)


def clip_batches(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """Cut ``indices`` into batches; which clips share a batch does not depend on the number of processes."""
    return [list(indices[i:i + batch_size]) for i in range(0, len(indices), batch_size)]


def clip_loader(reader: ClipReader, batches: Sequence[Sequence[int]], *, with_video: bool = True,
                **loading) -> Iterator[Clips]:
    """Evaluation clips, batch by batch; further arguments and errors are those of :func:`episode_loader`."""
    size = reader.batch_bytes(max(map(len, batches), default=0), with_video=with_video)
    return iter(_loader(ClipDataset(reader, with_video), batches, size, **loading))
