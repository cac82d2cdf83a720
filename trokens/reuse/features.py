"""A frozen backbone's features of clips, computed once: kept in memory, or in files that runs and processes share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trokens.clips.loader import loading_from_config
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.config import ConfigError
from trokens.models.trokens import Trokens
from trokens.reuse.embed import check_rows, embed_clips, embed_into
from trokens.reuse.row_file import BankFile, bank_key
from trokens.runtime.progress import progress
from trokens.structures import Clips

logger = logging.getLogger(__name__)


def feature_bytes(model: Trokens, num_frames: int, size: int) -> int:
    """Memory for the backbone features of one clip; 0 where there are none to keep (no backbone, or it learns)."""
    if model.dino is None or model.train_backbone:
        return 0
    return 4 * num_frames * model.dino.grid(size) ** 2 * model.dino.embed_dim


def cached_views(cfg) -> int:
    """Views of a training clip whose features may be kept; 0 where every look at it is augmented anew."""
    return cfg.AUG.CACHED_VIEWS if cfg.DATA.USE_RAND_AUGMENT else 1


@dataclass(frozen=True)
class ViewReader:
    """Reads each clip as several: row ``clip * views + v`` is view v, whose augmentation follows from v and the clip.

    Attributes:
        reader: Reads and augments the clips.
        views: Views of a clip.
    """

    reader: ClipReader
    views: int

    @property
    def clips(self) -> list[Clip]:
        """The clip of each row."""
        return [clip for clip in self.reader.clips for _ in range(self.views)]

    def batch_bytes(self, num_clips: int, *, with_video: bool) -> int:
        """Size of a batch of so many views."""
        return self.reader.batch_bytes(num_clips, with_video=with_video)

    def read(self, row: int, *, with_video: bool) -> Clips:
        """Read a view as a batch of one, whose ``index`` is the row."""
        index, view = divmod(row, self.views)
        clips = self.reader.read(index, with_video=with_video, key=f"view {view} of {self.reader.clips[index].id}")
        return Clips(clips.video, clips.tracks, clips.visibility, clips.query_mask, clips.class_id, torch.tensor([row]))


class Features:
    """Features of some clips, looked up by their rows in the split's list.

    Args:
        values: (C, T, S, S, D) on the CPU, in memory or mapped.
        indices: The row of each; None where all rows are there, in order.
        views: Rows of ``values`` for each clip; one of them is drawn at each look, from torch's global generator.
    """

    def __init__(self, values: Tensor, indices: Sequence[int] | None = None, views: int = 1):
        self.values, self.views = values, views
        self.place = None if indices is None else {index: place for place, index in enumerate(indices)}

    def __getitem__(self, indices: Tensor) -> Tensor:
        """(V,) long -> (V, T, S, S, D)."""
        if self.place is not None:
            indices = torch.tensor([self.place[index] for index in indices.tolist()])
        if self.views > 1:
            indices = indices * self.views + torch.randint(self.views, indices.shape)
        return self.values[indices]


class FeatureStore:
    """Where features of frozen backbones are kept.

    Args:
        folder: Files on disk, MODEL.FEATURE_CACHE; None keeps them in memory.
        room: Bytes of memory for all that is kept there.
        options: Text of what features depend on besides the backbone's weights and the clips' files.
        batch_size: Clips a pass of the backbone.
        loading: Further arguments of :func:`trokens.reuse.embed.embedded_batches`.
    """

    def __init__(self, folder: Path | None, room: float, *, options: str = "", batch_size: int = 8, **loading):
        self.folder, self.room, self.options = folder, room, options
        self.batch_size, self.loading = batch_size, loading

    @classmethod
    def from_config(cls, cfg) -> FeatureStore:
        data, model = cfg.DATA, cfg.MODEL
        frames = (data.NUM_FRAMES, data.TRAIN_CROP_SIZE, data.DECODING_BACKEND,
                  data.CLIP_CACHE_FORMAT if data.CLIP_CACHE else "raw")
        # Backbones with the same weights may yet differ, in padding or activation.
        backbone = (model.FEAT_EXTRACTOR, model.DINO_CONFIG, model.TIMM_NAME, model.TIMM_STAGE)
        return cls(Path(model.FEATURE_CACHE) if model.FEATURE_CACHE else None, model.CACHE_GB * 2**30,
                   options=repr((*frames, *backbone)), batch_size=model.BACKBONE_BATCH or 8,
                   **loading_from_config(cfg))

    def takes(self, num_bytes: int) -> bool:
        """Whether features of this size, not 0, have a place; in memory it is theirs from now on."""
        if self.folder is not None or not 0 < num_bytes <= self.room:
            return self.folder is not None and num_bytes > 0
        self.room -= num_bytes
        return True

    def compute(self, model: Trokens, reader: ClipReader | ViewReader, indices: Sequence[int], *, name: str,
                device: torch.device, options: str = "", progress: Callable | None = None) -> Features:
        """Compute the features of clips, or of views, or find them.

        Args:
            model: Has a frozen backbone.
            reader: Reads the split's clips, or its views.
            indices: Which of its rows, each once.
            name: Of the file on disk: what the rows are.
            device: Where the backbone is.
            options: What they depend on besides ``self.options``, such as the augmentation.
            progress: Wraps the batches, given their number.
        """
        loading = {"batch_size": self.batch_size, "progress": progress, **self.loading}

        rows = reader.clips

        def embed(clips: Clips) -> Tensor:
            own = [rows[index] for index in clips.index.tolist()]
            return check_rows(model.patch_features(clips.to(device).video), own, "The backbone's features are",
                              "look at its weights (MODEL.BACKBONE_WEIGHTS) and at these videos")

        if self.folder is None:
            return Features(embed_clips(embed, reader, indices, **loading), indices)
        normalization = (model.dino.mean, model.dino.std)
        shape = (model.num_frames, model.grid, model.grid, model.dino.embed_dim)
        options = f"{self.options} {options} {[x.tolist() for x in normalization]}"
        key = bank_key(model.dino, options, rows, shape, torch.float32)
        file = BankFile(self.folder, f"features-{name}", key, rows, shape, torch.float32, only=False,
                        remedy="set MODEL.FEATURE_CACHE to another folder")
        new = embed_into(file, embed, reader, indices, **loading)
        logger.info("Feature cache %s: %d computed, %d were there.", file.data, new, len(indices) - new)
        return Features(file.values())


def train_features(cfg, clips: Sequence[Clip], model: Trokens, store: FeatureStore,
                   device: torch.device) -> Features | None:
    """The frozen backbone's features of all training clips, or of AUG.CACHED_VIEWS augmented views of each.

    None where the store has no place for them, or where every look at a clip is augmented anew.

    Raises:
        ConfigError: Cached views are asked for, and there is no place for them.
    """
    views = cached_views(cfg)
    size = len(clips) * views * feature_bytes(model, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
    if not store.takes(size):
        if size and cfg.DATA.USE_RAND_AUGMENT:
            raise ConfigError(f"AUG.CACHED_VIEWS = {views} needs {size / 2**30:.1f} GB of memory, and "
                              f"MODEL.CACHE_GB leaves {store.room / 2**30:.1f}; set MODEL.FEATURE_CACHE to a "
                              "folder for them.")
        return None
    reader, name, options = ClipReader.from_config(cfg, clips, augment=True), "train", ""
    if cfg.DATA.USE_RAND_AUGMENT:
        reader, name = ViewReader(reader, views), f"train-{views}-views"
        options = f"{cfg.AUG.AA_TYPE} {cfg.AUG.ORDER}"
    features = store.compute(model, reader, range(len(reader.clips)), name=name, device=device, options=options,
                             progress=lambda it, total: progress(it, total, "Backbone features of train"))
    return Features(features.values, views=views)
