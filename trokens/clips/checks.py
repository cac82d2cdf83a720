"""What is wrong with the clips of a split, found without opening their files: files that are missing, classes that are
too few or too small, labels that the classifier does not have."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trokens.clips.split import Clip
from trokens.clips.walk import file_names
from trokens.fewshot.episodes import small_classes

ERROR, WARNING = "error", "warning"  # the run would stop or read something wrong; the run copes
NO_VIDEO, NO_POINTS, NO_CLIPS = "video missing", "points missing", "no clips"
TOO_FEW, TOO_SMALL, TOO_HIGH = "too few classes", "class too small", "class id too high"


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
class Needs:
    """What a run asks of the clips of a split.

    Attributes:
        n_way: Classes of an episode.
        clips_per_class: Clips of each class in an episode, k_shot + n_query.
        num_classes: Outputs of the classifier, for the training split; None where labels do not matter.
        with_video: Whether frames are read.
        allow_missing: Part of the clips that may lack a file: they are left out.
        fewer_ways: Whether the run makes do with fewer classes, as validation does.
        may_be_empty: Whether the run makes do without any clip, as validation does.
    """

    n_way: int
    clips_per_class: int
    num_classes: int | None = None
    with_video: bool = True
    allow_missing: float = 0.0
    fewer_ways: bool = False
    may_be_empty: bool = False


def check_split(split: str, clips: Sequence[Clip], needs: Needs) -> tuple[list[Clip], list[Finding]]:
    """Check a split against what a run needs of it.

    Returns:
        The clips that the run goes on with (all of them where too many lack a file, for what else may be wrong), and
        what was found.
    """
    if not clips:
        return [], [] if needs.may_be_empty else [Finding(ERROR, split, NO_CLIPS, "", "the list has none")]
    missing = missing_files(split, clips, with_video=needs.with_video)
    lacking = {finding.clip for finding in missing}
    if len(lacking) <= needs.allow_missing * len(clips) and len(lacking) < len(clips):
        missing = as_warnings(missing)
        clips = [clip for clip in clips if clip.id not in lacking]
    return list(clips), missing + check_classes(split, clips, needs)


def missing_files(split: str, clips: Sequence[Clip], *, with_video: bool) -> list[Finding]:
    """The files of a split that are not there. Each folder is listed once, instead of a look at every file."""
    paths = [(NO_VIDEO, clip.id, os.path.split(clip.video)) for clip in clips if reads_video(clip, with_video)]
    paths += [(NO_POINTS, clip.id, os.path.split(clip.tracks)) for clip in clips if clip.tracks is not None]
    there = {folder: file_names(folder) for folder in {folder for _, _, (folder, _) in paths}}
    return [Finding(ERROR, split, kind, id, "there is no such file", os.path.join(folder, name))
            for kind, id, (folder, name) in paths if name not in there[folder]]


def reads_video(clip: Clip, with_video: bool) -> bool:
    """Whether a run that reads frames, or none, needs a clip's video: pickles do not tell the size of its frames."""
    return with_video or (clip.tracks is not None and clip.tracks.suffix == ".pkl")


def check_classes(split: str, clips: Sequence[Clip], needs: Needs) -> list[Finding]:
    """Check whether episodes can be drawn from clips, and whether the classifier has an output for each class."""
    names = {clip.class_id: clip.class_name for clip in clips}
    found = [Finding(ERROR, split, TOO_SMALL, names[class_id],
                     f"{count} clips, an episode takes {needs.clips_per_class} (k_shot + n_query)")
             for class_id, count in small_classes(Counter(clip.class_id for clip in clips), needs.clips_per_class)]
    found += [Finding(ERROR, split, TOO_HIGH, names[class_id],
                      f"label {class_id}, and the classifier {needs.num_classes} outputs")
              for class_id in sorted(names, reverse=True)
              if needs.num_classes is not None and class_id >= needs.num_classes]
    if len(names) < needs.n_way:
        found.append(Finding(WARNING if needs.fewer_ways else ERROR, split, TOO_FEW, "",
                             f"{len(names)} classes, an episode takes {needs.n_way} (n_way)"))
    return found


def as_warnings(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, as of what a run copes with."""
    return [finding._replace(severity=WARNING) for finding in findings]
