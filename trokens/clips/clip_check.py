"""What is wrong with the data of a run, before the run: clips' files are opened, classes of splits are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from trokens.clips.dataset import DATASETS
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.points.geometry import same_aspect
from trokens.points.io import PointFile, read_point_file
from trokens.points.source import SourceCheck, video_change
from trokens.runtime.parallel import DIED
from trokens.structures import Tracks
from trokens.video import VideoInfo, find_damage, probe

ERROR, WARNING = "error", "warning"  # the run would stop or read something wrong; the run copes
NO_VIDEO, NO_POINTS = "video missing", "points missing"

MARGIN = 0.1  # of the frame's side; a point beyond it is far outside
FAR_OUTSIDE = 0.01  # part of the visible positions that may be far outside
CORNER = 0.6  # of the frame's sides; points that all stay below it were probably tracked in a smaller frame
END_STEPS = 2  # positions a point file may end before its video
RATES = (0.45, 1.6)  # times the nominal rate; the published extractor takes every k-th frame for a whole number k


class Finding(NamedTuple):
    """Something wrong with a clip, or, without one, with a split.

    Attributes:
        severity: ``ERROR`` or ``WARNING``.
        split: Split of the clip.
        kind: What is wrong, in the same few words for all clips.
        clip: Id of the clip, or name of the class.
        detail: The figures, or the cause.
        file: The file concerned, or "".
    """

    severity: str
    split: str
    kind: str
    clip: str
    detail: str
    file: str = ""


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
        dataset = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
        return cls(split, ClipReader.from_config(cfg, (), augment=False), DATASETS.get(dataset).fps,
                   with_video=not cfg.MODEL.APPEARANCE_MODULE_DISABLE, quick=quick)

    def __call__(self, clip: Clip) -> list[Finding]:
        """Check a clip; nothing in its files ends the check."""
        found: list[Finding] = []

        def add(kind: str, detail: str, file: Path, severity: str = ERROR) -> None:
            found.append(Finding(severity, self.split, kind, clip.id, detail, str(file)))

        points = info = None
        if not clip.tracks.is_file():
            add(NO_POINTS, "there is no such file", clip.tracks)
        else:
            try:
                points = read_point_file(clip.tracks, self.reader.obj_id_key)
            except Exception as error:  # a broken file may fail anywhere
                add("points unreadable", str(error), clip.tracks)
        if self.with_video or clip.tracks.suffix == ".pkl":  # pickles do not tell the size of the frames
            if not clip.video.is_file():
                add(NO_VIDEO, "there is no such file", clip.video)
            else:
                info = self._probe(clip.video, add)
        if points is not None:
            self._check_points(points, info, clip, add)
            self._check_source(points, clip, add)
        if not self.quick and all(finding.severity == WARNING for finding in found):
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
    """Check the clip of a (check, clip) pair."""
    check, clip = job
    return check(clip)


def died(job: tuple[ClipCheck, Clip]) -> list[Finding]:
    """What to say of a clip whose process died."""
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


def as_warnings(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of a split that the run does not use."""
    return [finding._replace(severity=WARNING) for finding in findings]


def permit_missing(findings: Sequence[Finding], num_clips: int, allowed: float) -> list[Finding]:
    """Make missing files of a split warnings where the run may leave their clips out.

    Args:
        findings: Those of one split.
        num_clips: Clips of the split.
        allowed: Part of the clips that may lack a file, DATA.ALLOW_MISSING.
    """
    lacking = len(lacking_clips(findings))
    if not 0 < lacking <= allowed * num_clips or lacking == num_clips:
        return list(findings)
    return [f._replace(severity=WARNING) if f.kind in (NO_VIDEO, NO_POINTS) else f for f in findings]


def lacking_clips(findings: Sequence[Finding]) -> set[str]:
    """Ids of the clips that lack a file."""
    return {f.clip for f in findings if f.kind in (NO_VIDEO, NO_POINTS)}


def check_split(split: str, clips: Sequence[Clip], *, n_way: int, clips_per_class: int, num_classes: int | None = None,
                fewer_ways: bool = False) -> list[Finding]:
    """Check whether episodes can be drawn from a split.

    Args:
        split: Its name.
        clips: Its clips, without those that lack a file.
        n_way: Classes of an episode.
        clips_per_class: Clips of each class in an episode, k_shot + n_query.
        num_classes: Outputs of the classifier, for the training split; None checks no labels.
        fewer_ways: Whether the run makes do with fewer classes, as validation does.
    """
    if not clips:
        return [Finding(ERROR, split, "no clips", "", "the split has no clips with all their files")]
    found, counts = [], Counter(clip.class_id for clip in clips)
    names = {clip.class_id: clip.class_name for clip in clips}
    for class_id, count in sorted(counts.items()):
        if count < clips_per_class:
            found.append(Finding(ERROR, split, "class too small", names[class_id],
                                 f"{count} clips, an episode takes {clips_per_class} (k_shot + n_query)"))
        if num_classes is not None and class_id >= num_classes:
            found.append(Finding(ERROR, split, "class id too high", names[class_id],
                                 f"{class_id} is not below MODEL.NUM_CLASSES {num_classes}"))
    if len(counts) < n_way:
        found.append(Finding(WARNING if fewer_ways else ERROR, split, "too few classes", "",
                             f"{len(counts)} classes, FEW_SHOT.N_WAY is {n_way}"))
    return found
