"""The data of a run: its splits, their clips, and the one check of them, which ``trokens check`` shares."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trokens.clips.checks import (
    ERROR,
    NO_CLIPS,
    NO_POINTS,
    NO_VIDEO,
    TOO_FEW,
    TOO_HIGH,
    TOO_SMALL,
    Finding,
    Needs,
    as_warnings,
    check_split,
    missing_files,
)
from trokens.clips.split import Clip, build_splits

logger = logging.getLogger(__name__)

_MISSING = {
    NO_VIDEO: "{count} of {listed} videos of the {split} split are not in {folder} (first: {first}). Check "
              "DATA.PATH_TO_DATA_DIR.",
    NO_POINTS: "No tracks for {count} of {listed} videos of the {split} split in {folder} (first: {first}). Run "
               "point_tracking/extract_points.py (trokens extract), or check POINT_INFO.NAME.",
}
_WRONG = {
    NO_CLIPS: "The {split} split has no clips; check the lists, the layout of DATA.PATH_TO_DATA_DIR, and the splits "
              "that TRAIN.VAL_SPLIT and TEST.SPLIT name.",
    TOO_SMALL: "The {split} split: class '{clip}' has {detail} ({count} classes too small).",
    TOO_HIGH: "The {split} split: class '{clip}' has {detail}; set MODEL.NUM_CLASSES above the label, or to 0 for the"
              " number of classes.",
    TOO_FEW: "The {split} split has {detail}; lower FEW_SHOT.N_WAY.",
}


def used_splits(cfg) -> tuple[list[str], list[str]]:
    """The splits that the run trains on, and those it evaluates on."""
    if cfg.TRAIN.VAL_ONLY:
        return [], [cfg.TRAIN.VAL_SPLIT]
    trained = ["train"] if cfg.TRAIN.ENABLE else []
    return trained, [cfg.TRAIN.VAL_SPLIT] * cfg.TRAIN.ENABLE + [cfg.TEST.SPLIT] * cfg.TEST.ENABLE


def final_split(cfg) -> str:
    """The split whose figures are the run's result, if it evaluates."""
    return cfg.TRAIN.VAL_SPLIT if cfg.TRAIN.VAL_ONLY else cfg.TEST.SPLIT


def tested_shots(cfg) -> list[int]:
    """The numbers of shots of the final evaluation."""
    return list(dict.fromkeys(cfg.TEST.K_SHOTS)) or [cfg.FEW_SHOT.K_SHOT]


def evaluated_shots(cfg, split: str) -> list[int]:
    """The numbers of shots that a split is evaluated with: first that of validation, then those of the test."""
    validated = bool(used_splits(cfg)[0]) and split == cfg.TRAIN.VAL_SPLIT
    return [cfg.FEW_SHOT.K_SHOT] * validated + tested_shots(cfg) * (split == final_split(cfg))


@dataclass(frozen=True)
class Data:
    """The clips of a run, and what is wrong with them.

    Attributes:
        cfg: The config with MODEL.NUM_CLASSES resolved.
        lists: The clips of each split, as they are listed.
        splits: The clips of each split that the run uses, without permitted missing ones.
        findings: What is wrong.
    """

    cfg: Any
    lists: dict[str, list[Clip]]
    splits: dict[str, list[Clip]]
    findings: list[Finding]

    def errors(self) -> list[Exception]:
        """One error for the missing files of a split, and one for each other kind of finding in it."""
        found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for finding in self.findings:
            if finding.severity == ERROR:
                found[finding.split, "" if finding.kind in _MISSING else finding.kind].append(finding)
        errors: list[Exception] = []
        for (split, kind), some in found.items():
            if kind:
                errors.append(ValueError(_WRONG[kind].format(count=len(some), **some[0]._asdict())))
                continue
            share = len({finding.clip for finding in some}) / len(self.lists[split])
            published = " (the published code leaves out up to 5 % of hmdb, ucf and finegym without a word)"
            errors.append(FileNotFoundError(
                f"{self._files(split, some)} {100 * share:.3g} % of the clips lack a file; DATA.ALLOW_MISSING permits "
                f"{100 * self.cfg.DATA.ALLOW_MISSING:g} %{published * (share < 0.05)}."))
        return errors

    def tell_missing(self) -> None:
        """Log the missing files of clips that the run goes on without."""
        for split, clips in self.splits.items():
            if left_out := len(self.lists[split]) - len(clips):
                some = [one for one in self.findings if one.split == split]
                logger.warning("%s Going on without these %d clips, as DATA.ALLOW_MISSING %g permits.",
                               self._files(split, some), left_out, self.cfg.DATA.ALLOW_MISSING)

    def _files(self, split: str, findings: list[Finding]) -> str:
        sentences = []
        for kind, sentence in _MISSING.items():
            if some := [finding for finding in findings if finding.kind == kind]:
                folder = os.path.commonpath([os.path.dirname(finding.file) for finding in some])
                first = ", ".join([finding.clip for finding in some[:3]] + ["..."] * (len(some) > 3))
                sentences.append(sentence.format(count=len(some), listed=len(self.lists[split]), split=split,
                                                 folder=folder, first=first))
        return " ".join(sentences)


def read_data(cfg, more_splits: Iterable[str] = ()) -> Data:
    """Read the lists of the run's splits and check them, without opening the clips' files; what is missing of
    ``more_splits``, which the run need not use, are warnings.

    Raises:
        ValueError, FileNotFoundError: A list is missing or broken.
    """
    used = [*used_splits(cfg)[0], *used_splits(cfg)[1]]
    lists = build_splits(cfg, dict.fromkeys(["train", *used, *more_splits]))
    if cfg.MODEL.NUM_CLASSES == 0:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.NUM_CLASSES = max(1, len({clip.class_id for clip in lists["train"]}))
        cfg.freeze()
    splits, findings = {}, []
    for split in dict.fromkeys(used):
        splits[split], found = check_split(split, lists[split], build_needs(cfg, split))
        findings += found
    for split in dict.fromkeys(more_splits):
        if split not in splits:
            findings += as_warnings(missing_files(split, lists[split],
                                                  with_video=not cfg.MODEL.APPEARANCE_MODULE_DISABLE))
    return Data(cfg, lists, splits, findings)


def build_needs(cfg, split: str) -> Needs:
    """What the run needs of a split that it uses."""
    few_shot, is_trained = cfg.FEW_SHOT, split in used_splits(cfg)[0]
    clips = [few_shot.K_SHOT + few_shot.TRAIN_QUERY_PER_CLASS] * is_trained
    clips += [k_shot + few_shot.TEST_QUERY_PER_CLASS for k_shot in evaluated_shots(cfg, split)]
    return Needs(few_shot.N_WAY, max(clips), num_classes=cfg.MODEL.NUM_CLASSES if is_trained else None,
                 with_video=not cfg.MODEL.APPEARANCE_MODULE_DISABLE, allow_missing=cfg.DATA.ALLOW_MISSING,
                 fewer_ways=not is_trained and split != cfg.TEST.SPLIT,
                 may_be_empty=split == "val" and split != final_split(cfg))


def raise_all(errors: Sequence[Exception]) -> None:
    """Raise errors as one, of the first one's type."""
    if errors:
        raise type(errors[0])("\n".join(map(str, errors)))
