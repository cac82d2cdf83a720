"""Tokens of a trained model as descriptions: points are extracted on the fly, as the checkpoint's config says."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trokens.clips.dataset import DATASETS, FPS
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.extraction.extractor import Extractor, Options, extract_video
from trokens.extraction.jobs import Job
from trokens.fewshot.matchers import clip_features, pairwise_logits
from trokens.fewshot.prototypes import feature_length
from trokens.fewshot.task import matching_options
from trokens.models.checkpoint import load_checkpoint
from trokens.models.pretrained import build_pretrained
from trokens.models.trokens import Trokens
from trokens.recognize.cache import Content, content_of
from trokens.recognize.calibrate import Calibration
from trokens.recognize.describe import VERSION, Describer
from trokens.recognize.description import Description
from trokens.recognize.looks import choose_backbone

logger = logging.getLogger(__name__)

_POINTS = re.compile(r"(?P<tracker>\w+?)_((?P<clustering>bip|kmeans)_fr_(?P<frames>\d+)|grid_(?P<grid>\d+))")
_TRACKERS = {"cotracker3": "cotracker3_offline"}  # names of published folders


class Trained(NamedTuple):
    """A trained model, and how clips are read for it.

    Attributes:
        model: On the CPU, in eval mode.
        reader: Reads a clip; has none yet.
        aggregation: What of its tokens is compared, see `clip_features`.
        matcher: The name of what compares them; the model has a matcher with parameters itself.
        points: How points are extracted.
        fps: At which rate.
        temperature: Of its logits, for mean distances of tokens.
    """

    model: Trokens
    reader: ClipReader
    aggregation: str
    matcher: str
    points: Options
    fps: float
    temperature: float


@dataclass(frozen=True)
class TrainedDescriber(Describer):
    """Describes clips by a trained model's tokens, and by how they move, for what is drawn.

    Attributes:
        checkpoint: The file.

    Raises:
        FileNotFoundError: There is no such checkpoint.
    """

    checkpoint: Path = Path()
    _checkpoint_key: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"No checkpoint at {self.checkpoint}.")
        object.__setattr__(self, "_checkpoint_key", content_of(self.checkpoint).key)

    @property
    def model(self) -> Trained:
        """The model, loaded once in each process; see `trained`."""
        return trained(self.checkpoint, self._checkpoint_key)

    def check(self) -> None:
        """Load the model, so that what is wrong with it is said before any clip is looked at."""
        self.model  # noqa: B018

    @property
    def calibration(self) -> Calibration:
        """The temperature is that of the model's logits."""
        return Calibration(temperature=self.model.temperature)

    @torch.no_grad()
    def matcher(self, query: Tensor, examples: Tensor) -> Tensor:
        """Distances (Q, E) of clips (Q, L, D) to examples (E, L, D), each a class of its own."""
        model, name = self.model.model, self.model.matcher
        if model.matcher is not None:
            return -pairwise_logits(query, examples[:, None], matcher=model.matcher)
        return -pairwise_logits(query, examples, matcher=name)

    def describe(self, path: str | os.PathLike) -> Description:
        """Describe a whole clip."""
        tokens = _tokens(Path(path), self.model, _extractor(self.checkpoint, self._checkpoint_key))
        return replace(Describer(None, self.cache)(path), tokens=tokens)

    def _key(self, content: Content, span: tuple[float, float] | None) -> str:  # noqa: ARG002 -- whole clips alone
        return f"{VERSION} {content.key} tokens {self._checkpoint_key}"


@lru_cache(maxsize=2)
def trained(checkpoint: Path, _key: str) -> Trained:
    """Load a checkpoint's model, as the config it keeps describes it; another content of the file is another key.

    Raises:
        ValueError: It keeps no config, or lacks parameters of the model.
    """
    return _from_config(*build_pretrained(checkpoint, load_checkpoint(checkpoint)))


def _from_config(cfg, model: Trokens) -> Trained:
    matching, dataset = matching_options(cfg), cfg.TEST.DATASET
    length = feature_length(matching["aggregation"], cfg.DATA.NUM_FRAMES, cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE)
    kind = cfg.MODEL.FEAT_EXTRACTOR.lower()
    own = {"dino": cfg.MODEL.DINO_CONFIG, "timm": f"timm:{cfg.MODEL.TIMM_NAME}:{cfg.MODEL.TIMM_STAGE}"}.get(kind)
    fps = DATASETS.get(dataset).fps if dataset in DATASETS else FPS
    points = _point_options(cfg.POINT_INFO.NAME, own, cfg.MODEL.BACKBONE_WEIGHTS)
    return Trained(model, ClipReader.from_config(cfg, (), augment=False), matching["aggregation"],
                   matching["matcher"], points, fps, cfg.SOLVER.TEMPRATURE / length)


def _point_options(name: str, backbone: str | None, weights: str) -> Options:
    """How the point files of a folder of this name are made; semantic points take the model's own backbone."""
    found = _POINTS.fullmatch(name)
    if found is None:
        logger.info("POINT_INFO.NAME '%s' does not say how its points are made: optical flow follows them.", name)
    tracker = _TRACKERS.get(found["tracker"], found["tracker"]) if found else "flow"
    if found and found["grid"]:
        return Options(tracker=tracker, use_grid=True, grid_size=int(found["grid"]))
    if backbone is None:
        at_hand = choose_backbone("auto")
        if at_hand is None:
            return Options(tracker=tracker, use_grid=True)
        backbone, weights = at_hand.name, at_hand.weights
    kmeans = found is not None and found["clustering"] == "kmeans"
    return Options(tracker=tracker, backbone=backbone, backbone_weights=weights,
                   clustering="kmeans" if kmeans else "bipartite", num_frames=int(found["frames"]) if found else 32)


@lru_cache(maxsize=1)
def _extractor(checkpoint: Path, key: str) -> Extractor:
    points = trained(checkpoint, key).points
    try:
        return Extractor(points)
    except FileNotFoundError as error:
        if points.tracker == "flow":
            raise
        logger.warning("Points are followed by optical flow: %s", error)
        return Extractor(replace(points, tracker="flow"))


@torch.no_grad()
def _tokens(path: Path, of: Trained, extractor: Extractor) -> np.ndarray:
    """What of a clip's tokens is compared, (L, D) float32."""
    with tempfile.TemporaryDirectory() as folder:
        points = Path(folder) / "points" / "clip.safetensors"
        if of.model.patch_points is not None:
            points = None
        else:
            extract_video(Job(path, points, of.fps), extractor)
        clip = Clip(content_of(path).key, path, points, 0, "")
        clips = replace(of.reader, clips=[clip], cache=None).read(0, with_video=of.model.appearance)
    return clip_features(of.model(clips)[1].float(), of.aggregation)[0].numpy()
