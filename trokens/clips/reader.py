"""From the files of a clip to what the model sees of it: locate frames, read them, augment, resize, choose points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trokens.clips.split import Clip
from trokens.config.border import keys_of
from trokens.points.geometry import check_positions, check_tracks, frame_positions, normalize_tracks
from trokens.points.io import read_point_file
from trokens.points.sampling import choose_points, text_seed
from trokens.points.source import SourceCheck, other_video, shape_change, video_change
from trokens.structures import Clips, Tracks
from trokens.video import check_whole, probe, read_video
from trokens.video.frame_cache import ClipCache, ClipFrames
from trokens.video.transforms import PhotometricAugment, channels_first, resize


def _seeded(text: str) -> torch.Generator:
    return torch.Generator().manual_seed(text_seed(text) % 2**63)


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
        resample: Draw points anew at each look of training; False keeps to those that evaluation shows of the clip.
        coords: How pixels become [-1, 1], see :func:`trokens.points.geometry.normalize_tracks`.
        track_dtype: Precision of that arithmetic: float16, float32, or auto, that of the point file.
        obj_id_key: Key of the cluster ids in a published point file.
        backend: Decoder of :func:`trokens.video.read_video`.
        damaged: Whether to "refuse" a video in which damage is met, or to "warn", see ``backend``.
        short: Whether to "refuse" a video with fewer frames than its header says, or to "warn".
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
    resample: bool = True
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
        with keys_of(aa_type="AUG.AA_TYPE"):
            operations = PhotometricAugment(cfg.AUG.AA_TYPE) if augment and cfg.DATA.USE_RAND_AUGMENT else None
        return cls(clips, num_frames=cfg.DATA.NUM_FRAMES, size=cfg.DATA.TRAIN_CROP_SIZE,
                   num_points=cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE, sampling=cfg.POINT_INFO.SAMPLING_TYPE,
                   hod_clusters=cfg.POINT_INFO.HOD.NUM_CLUSTERS, resample=cfg.POINT_INFO.RESAMPLE,
                   coords=cfg.POINT_INFO.COORDS, track_dtype=cfg.POINT_INFO.TRACK_DTYPE,
                   obj_id_key=cfg.POINT_INFO.OBJ_ID_KEY,
                   backend="decord" if cfg.DATA.DECODING_BACKEND == "decord" else "pyav",
                   damaged=cfg.DATA.DAMAGED_VIDEO, short=cfg.DATA.SHORT_VIDEO,
                   augment=operations, resize_first=cfg.AUG.ORDER == "resize_first",
                   cache=ClipCache.from_config(cfg),
                   source_check=SourceCheck(cfg.DATA.CHANGED_VIDEO, "DATA.CHANGED_VIDEO"))

    def read(self, index: int, *, with_video: bool, key: str | None = None) -> Clips:
        """Read clip ``index`` as a batch of one.

        Args:
            index: Row of ``clips``.
            with_video: False leaves the frames out.
            key: Seeds the draw of points (see ``resample``) and of the augmentation in training; None (evaluation)
                makes both depend on the clip's id alone.

        Raises:
            VideoError, ValueError, OSError: A file cannot be read; the message names it.
        """
        clip = self.clips[index]
        generator = _seeded(clip.id if key is None else key)
        row, class_id = torch.tensor([index]), torch.tensor([clip.class_id])
        if clip.tracks is None:  # the model takes points from patch features
            video = self._shown(self._frames(clip)[0], generator) if with_video else None
            seed = _seeded(clip.id if key is None or not self.resample else key).initial_seed()
            return Clips(video, None, None, None, class_id, row, torch.tensor([seed]))
        with keys_of(obj_id_key="POINT_INFO.OBJ_ID_KEY"):
            file = read_point_file(clip.tracks, self.obj_id_key)
        tracks, size, video = file.tracks, file.tracks.size, None
        check_tracks(tracks, f"{clip.tracks} of clip '{clip.id}'")
        positions = frame_positions(tracks.num_positions, self.num_frames)  # (T,) rows of the point file
        if self.source_check.asks and (with_video or size is None):
            self.source_check(clip.id, clip.tracks, clip.video, video_change(file.metadata, clip.video))

        if with_video:
            frames, own_size = self._frames(clip, tracks, positions)  # (T, H, W, 3)
            if size is not None and size != own_size:
                self.source_check(clip.id, clip.tracks, clip.video, shape_change(size, own_size))
            size = size or own_size
            video = self._shown(frames, generator)
        size = size or probe(clip.video, self.backend).size

        if not self.resample:
            generator = _seeded(clip.id)
        chosen = self._choose(tracks, generator)  # (N,)
        shown = positions[:, None], chosen  # of (L, M): (T, N)
        xy = tracks.xy[shown]
        check_positions(xy, f"{clip.tracks} of clip '{clip.id}'")
        dtype = tracks.dtype if self.track_dtype == "auto" else getattr(torch, self.track_dtype)
        return Clips(
            video=video,
            tracks=normalize_tracks(xy, size, self.coords, dtype)[None],
            visibility=tracks.visibility[shown][None],
            query_mask=(positions[:, None] >= tracks.query_frame[chosen])[None],
            class_id=class_id,
            index=row,
        )

    def chosen_points(self, index: int) -> tuple[Tracks, Tensor]:
        """All points of a clip, and which of them evaluation shows, (N,); no video is opened.

        Raises:
            ValueError, OSError: Its point file cannot be read, or it has none; the message names it.
        """
        clip = self.clips[index]
        if clip.tracks is None:
            raise ValueError(f"clip '{clip.id}' has no point file; the model takes points from patch features.")
        tracks = read_point_file(clip.tracks, self.obj_id_key).tracks
        return tracks, self._choose(tracks, _seeded(clip.id))

    def _choose(self, tracks: Tracks, generator: torch.Generator) -> Tensor:
        return choose_points(tracks, self.num_points, method=self.sampling, generator=generator,
                             hod_clusters=self.hod_clusters)

    def _shown(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Frames (T, H, W, 3) as the model sees them, augmented and resized: (1, T, 3, size, size)."""
        if self.augment is not None:
            frames = self.augment(frames, generator)
        return channels_first(resize(frames, self.size))[None]

    def _frames(self, clip: Clip, tracks: Tracks | None = None, positions: Tensor | None = None) -> ClipFrames:
        """The clip's frames before augmentation, at positions of its tracks, or spread over the video where it has
        none: taken from the cache, or decoded and kept there."""
        resized = self.augment is None or self.resize_first
        if self.cache is None:
            return self._decode(clip, tracks, positions, resized)
        numbers = self.num_frames if tracks is None else (
            tracks.num_positions, len(positions)) if tracks.frame is None else tracks.frame[positions].tolist()
        key = (clip.id, clip.video.name, self.backend, self.size if resized else "full", numbers,
               *(name for name in ("damaged", "short") if getattr(self, name) != "refuse"))
        entry = self.cache.entry(clip.video, repr(key))
        kept = self.cache.load(entry)
        return kept if kept is not None else self.cache.keep(entry, self._decode(clip, tracks, positions, resized))

    def _decode(self, clip: Clip, tracks: Tracks | None, positions: Tensor | None, resized: bool) -> ClipFrames:
        info = probe(clip.video, self.backend)
        check_whole(clip.video, info, self.short)
        if tracks is None:
            numbers = frame_positions(info.num_frames, self.num_frames)
        else:
            every = tracks.frame if tracks.frame is not None else frame_positions(info.num_frames, tracks.num_positions)
            numbers = every[positions]
        try:
            frames = read_video(clip.video, numbers.tolist(), backend=self.backend, damaged=self.damaged)
        except IndexError as error:
            raise other_video(clip.id, clip.tracks, clip.video, str(error).rstrip(".")) from error
        return ClipFrames(resize(frames, self.size) if resized else frames, tuple(frames.shape[1:3]))

    def batch_bytes(self, num_clips: int, *, with_video: bool) -> int:
        """Size of a batch of so many clips: frames of one byte a channel, positions of four, two masks."""
        pixels = 3 * self.size ** 2 if with_video else 0
        return num_clips * self.num_frames * (pixels + 10 * self.num_points)
