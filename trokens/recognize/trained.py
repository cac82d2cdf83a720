"""Tokens of a trained model as descriptions: points are extracted on the fly, as the checkpoint's config says."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trokens.clips.dataset import DATASETS, FPS
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.config import load_cfg
from trokens.extraction.extractor import Extractor, Options, extract_video
from trokens.extraction.jobs import Job
from trokens.fewshot.matchers import clip_features
from trokens.fewshot.task import matching_options
from trokens.models.checkpoint import load_checkpoint
from trokens.models.trokens import Trokens, build_model
from trokens.models.weights import load_weights
from trokens.recognize.cache import Cache, content_key
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
        points: How points are extracted.
        fps: At which rate.
        temperature: Of its logits, for mean distances of tokens.
    """

    model: Trokens
    reader: ClipReader
    aggregation: str
    points: Options
    fps: float
    temperature: float


@dataclass(frozen=True)
class TrainedDescriber:
    """Describes clips by a trained model's tokens; by how they move too, for what is drawn.

    Attributes:
        checkpoint: The file.
        cache: Where descriptions are kept, or None.

    Raises:
        FileNotFoundError, ValueError: There is no such checkpoint, it is none, or its model cannot be built here.
    """

    checkpoint: Path
    cache: Cache | None = None
    _key: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"No checkpoint at {self.checkpoint}.")
        object.__setattr__(self, "_key", content_key(self.checkpoint))

    def check(self) -> None:
        """Load the model, so that what is wrong with it is said before any clip is looked at."""
        trained(self.checkpoint, self._key)

    @property
    def temperature(self) -> float:
        """Of the confidence, before any example is left out."""
        return trained(self.checkpoint, self._key).temperature

    def kept(self, path: str | os.PathLike) -> Description | None:
        """What the cache has of a clip, or None.

        Raises:
            OSError: There is no such file.
        """
        arrays = self.cache and self.cache.load(self._name(content_key(path)))
        return Description(**arrays) if arrays else None

    def __call__(self, path: str | os.PathLike) -> Description:
        """Describe a clip, unless the cache has it.

        Raises:
            VideoError, OSError: It cannot be read; the message names it.
        """
        description = self.kept(path)
        if description is None:
            tokens = _tokens(Path(path), trained(self.checkpoint, self._key))
            description = replace(Describer(None, self.cache)(path), tokens=tokens)
            if self.cache is not None:
                self.cache.save(self._name(content_key(path)), description.arrays())
        return description

    def windows(self, path: str | os.PathLike, _window: float, _stride: float) -> None:
        """Refuse: a trained model sees whole clips."""
        raise ValueError("Windows of a long video are answered by the descriptor alone; leave the checkpoint out, or "
                         f"cut '{os.fspath(path)}' into clips.")

    def _name(self, content: str) -> str:
        return f"{VERSION} {content} tokens {self._key}"


@lru_cache(maxsize=2)
def trained(checkpoint: Path, _key: str) -> Trained:
    """Load a checkpoint's model, as the config it keeps describes it.

    Raises:
        ValueError: It keeps no config, or lacks parameters of the model.
    """
    state = load_checkpoint(checkpoint)
    if not state.get("cfg"):
        raise ValueError(f"{checkpoint} keeps no config, so its model cannot be built; give a checkpoint that training "
                         "wrote.")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "checkpoint.yaml"
        text.write_text(state["cfg"], encoding="utf-8")
        cfg = load_cfg(text, ["NUM_GPUS", 0])
    if cfg.MODEL.NUM_CLASSES == 0:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.MODEL.NUM_CLASSES = len(state["model_state"]["head.bias"])
        cfg.freeze()
    return _from_config(cfg, lambda model: _load(model, state, checkpoint))


def _load(model: Trokens, state: dict, checkpoint: Path) -> None:
    report = load_weights(model, state)
    if report.missing:
        raise ValueError(f"{checkpoint} lacks {len(report.missing)} parameters of its model (first: "
                         f"{report.missing[0]}); give a checkpoint that training wrote.")


def _from_config(cfg, load: Callable[[Trokens], None]) -> Trained:
    model = build_model(cfg)
    load(model)
    matching, dataset = matching_options(cfg), cfg.TEST.DATASET
    length = {"spatial": cfg.DATA.NUM_FRAMES, "temporal": cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE}.get(
        matching["aggregation"], cfg.DATA.NUM_FRAMES * cfg.POINT_INFO.NUM_POINTS_TO_SAMPLE)
    kind = cfg.MODEL.FEAT_EXTRACTOR.lower()
    own = {"dino": cfg.MODEL.DINO_CONFIG, "timm": f"timm:{cfg.MODEL.TIMM_NAME}:{cfg.MODEL.TIMM_STAGE}"}.get(kind)
    fps = DATASETS.get(dataset).fps if dataset in DATASETS else FPS
    points = _point_options(cfg.POINT_INFO.NAME, own, cfg.MODEL.BACKBONE_WEIGHTS)
    return Trained(model.eval(), ClipReader.from_config(cfg, (), augment=False), matching["aggregation"], points,
                   fps, cfg.SOLVER.TEMPRATURE / length)


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
def _extractor(tracker: str, options: tuple) -> Extractor:
    points = Options(**{"tracker": tracker, **dict(options)})
    try:
        return Extractor(points)
    except FileNotFoundError as error:
        if points.tracker == "flow":
            raise
        logger.warning("Points are followed by optical flow: %s", error)
        return Extractor(replace(points, tracker="flow"))


@torch.no_grad()
def _tokens(path: Path, of: Trained) -> np.ndarray:
    """What of a clip's tokens is compared, (L, D) float32."""
    extractor = _extractor(of.points.tracker, tuple(sorted(
        (key, value) for key, value in vars(of.points).items() if key not in ("tracker", "tracker_options"))))
    with tempfile.TemporaryDirectory() as folder:
        points = Path(folder) / "points" / "clip.safetensors"
        extract_video(Job(path, points, of.fps), extractor)
        clip = Clip(content_key(path), path, points, 0, "")
        clips = replace(of.reader, clips=[clip], cache=None).read(0, with_video=of.model.appearance)
    return clip_features(of.model(clips)[1].float(), of.aggregation)[0].numpy()
