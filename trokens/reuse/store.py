"""Where features of a frozen backbone are kept: in memory, or in files that runs and processes share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from trokens.reuse.embed import ClipEmbedder
from trokens.reuse.features import Features, feature_bytes
from trokens.reuse.row_file import RowFile, row_key
from trokens.structures import Clips

logger = logging.getLogger(__name__)


@dataclass
class FeatureStore:
    """Keeps features of frozen backbones.

    Attributes:
        folder: Of files on disk; None keeps features in memory.
        room: Bytes of memory that are left.
        options: What features depend on besides the backbone's weights and the clips' files.
        batch_size: Clips a pass of the backbone.
        if_full: What to do where the disk is full.
        if_not_finite: What to do where features are not finite.
    """

    folder: Path | None
    room: float
    options: str = ""
    batch_size: int = 8
    if_full: str = "choose another folder"
    if_not_finite: str = "look at its weights and at these videos"

    @classmethod
    def from_config(cls, cfg) -> FeatureStore:
        data, model = cfg.DATA, cfg.MODEL
        frames = (data.NUM_FRAMES, data.TRAIN_CROP_SIZE, data.DECODING_BACKEND,
                  data.CLIP_CACHE_FORMAT if data.CLIP_CACHE else "raw")
        # Backbones with the same weights may yet differ, in padding or activation.
        backbone = (model.FEAT_EXTRACTOR, model.DINO_CONFIG, model.TIMM_NAME, model.TIMM_STAGE)
        return cls(Path(model.FEATURE_CACHE) if model.FEATURE_CACHE else None, model.CACHE_GB * 2**30,
                   repr((*frames, *backbone)), model.BACKBONE_BATCH or 8,
                   if_full="set MODEL.FEATURE_CACHE to another folder",
                   if_not_finite="look at its weights (MODEL.BACKBONE_WEIGHTS) and at these videos")

    def keep(self, embedder: ClipEmbedder, rows: Sequence[int], *, options: str = "") -> Features | None:
        """The features of clips: computed, or found on the disk.

        Args:
            embedder: Has the backbone, the clips and their name, which a file on disk gets.
            rows: Which of the clips, each once.
            options: What they depend on besides ``self.options``, such as the augmentation.

        Returns:
            None where there is no room, or nothing to keep, see :func:`trokens.reuse.features.feature_bytes`.

        Raises:
            FloatingPointError: They are not finite.
        """
        model = embedder.model
        size = len(rows) * feature_bytes(model)
        if not size or (self.folder is None and size > self.room):
            return None
        embedder = replace(embedder, batch_size=self.batch_size)

        def embed(batch: Clips) -> Tensor:
            features = model.patch_features(batch.to(embedder.device).video)
            return embedder.checked(features, batch, "The backbone's features are", self.if_not_finite)

        if self.folder is None:
            self.room -= size
            return Features(embedder.collect(embed, rows, title="Backbone features"), rows)
        clips, backbone = embedder.reader.clips, model.backbone
        shape = model.num_frames, model.grid, model.grid, backbone.embed_dim
        options = f"{self.options} {options} {[x.tolist() for x in (backbone.mean, backbone.std)]}"
        key = row_key(backbone, options, clips, shape, torch.float32)
        file = RowFile(self.folder, f"features-{embedder.name}", key, clips, shape, torch.float32, if_full=self.if_full)
        new = embedder.fill(file, embed, rows, title="Backbone features")
        logger.info("Feature cache %s: %d computed, %d were there.", file.data, new, len(rows) - new)
        return Features(file.values())
