"""What a model has learned from: kept with its weights, so that it is not tested on it unawares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trokens.clips.classes import reading
from trokens.clips.split import Clip


@dataclass(frozen=True, eq=False)
class TrainingList:
    """The list of a training, as its checkpoints keep it; no paths, so that it is the same on every machine.

    One that is not ``is_known`` stands for the trainings of a checkpoint that does not say what it was trained on.

    Attributes:
        name: The dataset, with its list where it has several: "folder", "ssv2/ssv2_small".
        classes: Their names in the list, or their labels where it has no names.
        clips: Fingerprints of the clips' ids, (C,) int64 ascending.
        digest: 12 hex digits of all ids with their classes.
    """

    name: str
    classes: tuple[str, ...]
    clips: Tensor
    digest: str

    @classmethod
    def of(cls, name: str, clips: Sequence[Clip]) -> TrainingList:
        """The list of a split's clips."""
        lines = sorted(f"{clip.id}\t{clip.class_id}\t{clip.class_name}" for clip in clips)
        return cls(name, tuple(sorted({clip.class_name for clip in clips})), fingerprints(clip.id for clip in clips),
                   hashlib.sha256("\n".join([name, *lines]).encode("utf-8", "surrogateescape")).hexdigest()[:12])

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TrainingList:
        """Read back what :meth:`state` gave."""
        return cls(state["name"], tuple(state["classes"]), state["clips"], state["digest"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"name": self.name, "classes": list(self.classes), "clips": self.clips, "digest": self.digest}

    @property
    def is_known(self) -> bool:
        return bool(self.digest)

    def __str__(self) -> str:
        return f"'{self.name}' with {len(self.classes)} classes and {len(self.clips)} clips ({self.digest})"


UNKNOWN = TrainingList("", (), torch.zeros(0, dtype=torch.int64), "")


class Learned(NamedTuple):
    """What a model knows of some clips already.

    Attributes:
        classes: Those of the clips' classes that it was trained on, sorted.
        clips: Number of the clips that lay in its training lists.
    """

    classes: list[str]
    clips: int


def learned(history: Iterable[TrainingList], name: str, clips: Sequence[Clip]) -> Learned:
    """Which of some clips, and of their classes, a model was trained on.

    A class is known by its name, whatever its number, as people read it; by its number only within one published list.
    Where labels tell nothing, the clips do: of a class with any clip that was
    trained on, the model has learned.

    Args:
        history: All lists that the model was trained on.
        name: Of the list of ``clips``, as in :class:`TrainingList`.
        clips: What the model is about to be evaluated on.
    """
    lists = list(history)
    dataset = name.partition("/")[0]
    there = torch.cat([fingerprints(()), *(one.clips for one in lists if one.name.partition("/")[0] == dataset)])
    trained = torch.isin(_fingerprints(clip.id for clip in clips), there)
    names = {key for one in lists for label in one.classes if (key := _class_key(one.name, label))}
    classes = {clip.class_name for clip, is_trained in zip(clips, trained.tolist(), strict=True)
               if is_trained or _class_key(name, clip.class_name) in names}
    return Learned(sorted(classes), int(trained.sum()))


def fingerprints(ids: Iterable[str]) -> Tensor:
    """8 bytes of the SHA-256 of each id, ascending: (C,) int64."""
    return _fingerprints(ids).sort().values


def _fingerprints(ids: Iterable[str]) -> Tensor:
    hashes = (hashlib.sha256(id.encode("utf-8", "surrogateescape")).digest()[:8] for id in ids)
    return torch.tensor([int.from_bytes(one, "big", signed=True) for one in hashes], dtype=torch.int64)


def _class_key(name: str, label: str) -> str | None:
    """What two labels of one class have in common; None where a label tells nothing outside of its own clips."""
    plain = reading(label.replace("_", " "))
    if not plain.isdecimal():
        return plain
    return None if name == "folder" else f"{name}: {plain}"
