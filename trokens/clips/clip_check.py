"""What is wrong with the files of a clip: its video and its points are opened, compared, and read as the run does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trokens.clips.checks import ERROR, WARNING, Finding, reads_video
from trokens.clips.dataset import DATASETS
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.config.border import dataset_of, keys_of
from trokens.points.geometry import same_aspect
from trokens.points.io import PointFile, read_point_file
from trokens.points.source import SourceCheck, video_change
from trokens.runtime.parallel import DIED
from trokens.structures import Tracks
from trokens.video import VideoInfo, find_damage, probe

MARGIN = 0.1  # of the frame's side; a point beyond it is far outside
FAR_OUTSIDE = 0.01  # part of the visible positions that may be far outside
CORNER = 0.6  # of the frame's sides; points that all stay below it were probably tracked in a smaller frame
END_STEPS = 2  # positions a point file may end before its video
RATES = (0.45, 1.6)  # times the nominal rate; the published extractor takes every k-th frame for a whole number k


@dataclass(frozen=True)
class ClipCheck:
    """Opens the files of one clip.

    Attributes:
        split: Name of the clips' split.
        reader: Reads a clip as the run does; its own clips are not looked at.
        fps: Rate at which the dataset's points are extracted, in frames a second.
        with_video: Whether the run reads frames.
        quick: Leave out to read the clip as the run does: frames behind the first are not decoded.
    """

    split: str
    reader: ClipReader
    fps: float
    with_video: bool
    quick: bool = False

    @classmethod
    def from_config(cls, cfg, split: str, *, quick: bool = False) -> ClipCheck:
        return cls(split, ClipReader.from_config(cfg, (), augment=False), DATASETS.get(dataset_of(cfg, split)).fps,
                   with_video=not cfg.MODEL.APPEARANCE_MODULE_DISABLE, quick=quick)

    def __call__(self, clip: Clip) -> list[Finding]:
        """Check the files of a clip that are there; nothing in them ends the check."""
        found: list[Finding] = []

        def add(kind: str, detail: str, file: Path, severity: str = ERROR) -> None:
            found.append(Finding(severity, self.split, kind, clip.id, detail, str(file)))

        points = info = None
        needs_points, has_video = clip.tracks is not None, clip.video.is_file()
        has_points = needs_points and clip.tracks.is_file()
        needs_video = reads_video(clip, self.with_video)
        if has_points:
            try:
                with keys_of(obj_id_key="POINT_INFO.OBJ_ID_KEY"):
                    points = read_point_file(clip.tracks, self.reader.obj_id_key)
            except Exception as error:  # a broken file may fail anywhere
                add("points unreadable", str(error), clip.tracks)
        if has_video and needs_video:
            info = self._probe(clip.video, add)
        if points is not None:
            self._check_points(points, info, clip, add)
            self._check_source(points, clip, add)
        is_there = has_points >= needs_points and has_video >= needs_video
        is_readable = is_there and all(one.severity == WARNING for one in found)
        if is_readable and not self.quick:
            try:
                replace(self.reader, clips=[clip], source_check=SourceCheck("ignore")).read(
                    0, with_video=self.with_video)
            except Exception as error:
                add("clip unreadable", str(error), clip.video)
        return found

    def _check_source(self, points: PointFile, clip: Clip, add) -> None:
        mode = self.reader.source_check.mode
        if mode == "ignore" or not clip.video.is_file():
            return
        try:
            change = video_change(points.metadata, clip.video)
        except OSError:
            return  # `_probe` tells
        if change:
            used = self.with_video or points.tracks.size is None
            add("video changed", f"not the one its points were extracted from: {change}", clip.video,
                ERROR if used and mode == "error" else WARNING)

    def _probe(self, video: Path, add) -> VideoInfo | None:
        """Look at a video as extraction does, which decodes all of it (but for ``quick``)."""
        try:
            info = probe(video, self.reader.backend)
            damage = info.damage if self.quick else find_damage(video)
        except Exception as error:  # a broken file may fail anywhere
            add("no video stream" if "no video stream" in str(error) else "video unreadable", str(error), video)
            return None
        for kind, detail, policy in (("video short", info.short, self.reader.short),
                                     ("video damaged", damage, self.reader.damaged)):
            if detail:
                add(kind, detail, video, ERROR if self.with_video and policy == "refuse" else WARNING)
        return info

    def _check_points(self, points: PointFile, info: VideoInfo | None, clip: Clip, add) -> None:
        tracks = points.tracks
        if not tracks.num_points or not tracks.num_positions:
            add("no points", f"{tracks.num_points} points at {tracks.num_positions} positions", clip.tracks)
            return
        self._check_values(tracks, clip, add)
        size = tracks.size or _noted_size(points.metadata)
        if info is not None:
            self._check_frames(points, info, clip, add)
            if size is not None and size != info.size:
                # With its own size in the file a track fits a video that was scaled as a whole.
                scaled = tracks.size is not None and same_aspect(size, info.size)
                add("frame size differs", f"points of {_wxh(size)} frames, video of {_wxh(info.size)}", clip.tracks,
                    WARNING if scaled else ERROR)
        frame = size or (info.size if info is not None else None)
        seen = tracks.xy[tracks.visibility & tracks.xy.isfinite().all(-1)]                      # (K, 2) pixels
        if frame is None or not len(seen):
            return
        share = seen / torch.tensor([frame[1], frame[0]])                                       # (K, 2), 1 = the side
        far = ((share < -MARGIN) | (share > 1 + MARGIN)).any(1).float().mean().item()
        low, high = seen.aminmax(dim=0)
        reach = f"x {low[0]:.0f} to {high[0]:.0f}, y {low[1]:.0f} to {high[1]:.0f} in frames of {_wxh(frame)}"
        if far > FAR_OUTSIDE:
            add("positions outside", f"{far:.0%} of the visible positions are far outside: {reach}", clip.tracks)
        elif size is None and (share.amax(0) < CORNER).all():
            add("positions in a corner", f"{reach}; perhaps tracked in smaller frames", clip.tracks, WARNING)

    @staticmethod
    def _check_values(tracks: Tracks, clip: Clip, add) -> None:
        """Check what a sound writer cannot have written, whatever the video."""
        hidden_infinite = ~tracks.visibility & tracks.xy.isinf().any(-1)  # it spoils what is computed all the same
        if count := hidden_infinite.sum().item():
            add("positions infinite", f"{count} hidden positions", clip.tracks)
        if broken := (tracks.visibility & ~tracks.xy.isfinite().all(-1)).sum().item():
            add("positions not finite", f"{broken} of {tracks.visibility.sum()} visible positions", clip.tracks)
        elif tracks.xy.isnan().any(-1).all():
            add("no positions", f"all {tracks.num_points} points are NaN throughout", clip.tracks)
        elif not tracks.visibility.any():
            add("nothing visible", f"{tracks.num_points} points are hidden throughout", clip.tracks, WARNING)
        low, high = (x.item() for x in tracks.query_frame.aminmax())
        if low < 0 or high >= tracks.num_positions:
            add("query frame outside", f"points chosen at {low} to {high} of {tracks.num_positions} positions",
                clip.tracks)
        # Frames may repeat, where points are at a higher rate than the video.
        frame = tracks.frame
        if frame is not None and len(frame) > 1 and ((frame.diff() < 0).any() or frame[0] == frame[-1]):
            add("frames not ascending", f"points at frames {frame[0]} to {frame[-1]}, not in their order", clip.tracks)

    def _check_frames(self, points: PointFile, info: VideoInfo, clip: Clip, add) -> None:
        tracks, count = points.tracks, info.num_frames
        if tracks.frame is not None:
            first, last = tracks.frame.min().item(), tracks.frame.max().item()
            step = (last - first) / max(1, tracks.num_positions - 1)
            if first < 0 or last >= count or count - 1 - last > max(1, step) * END_STEPS:
                add("frame count differs", f"points at frames {first} to {last} of a video of {count}", clip.tracks,
                    ERROR if first < 0 or last >= count else WARNING)
            return
        rate = tracks.num_positions * info.fps / count
        if tracks.num_positions > count:
            add("frame count differs", f"points at {tracks.num_positions} positions of a video of {count} frames",
                clip.tracks)
        elif tracks.num_positions < count and not RATES[0] * self.fps <= rate <= RATES[1] * self.fps:
            add("frame count implausible", f"points at {tracks.num_positions} positions of a video of {count} frames: "
                f"{rate:.1f} a second, where {self.fps:g} are usual", clip.tracks, WARNING)


def check_job(job: tuple[ClipCheck, Clip]) -> list[Finding]:
    """Check the clip of a (check, clip) pair, as the processes get them."""
    check, clip = job
    return check(clip)


def crashed(job: tuple[ClipCheck, Clip]) -> list[Finding]:
    """What is found of a clip whose check ended its process."""
    check, clip = job
    return [Finding(ERROR, check.split, "clip crashes", clip.id, DIED, str(clip.video))]


def _noted_size(metadata: dict[str, str]) -> tuple[int, int] | None:
    """Frame (height, width) that a published file notes without using it."""
    try:
        return round(float(metadata["vid_info.height"])), round(float(metadata["vid_info.width"]))
    except (KeyError, ValueError):
        return None


def _wxh(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
