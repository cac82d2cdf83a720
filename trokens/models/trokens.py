"""Trokens: a video's patch features and point trajectories in, trajectory tokens out."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trokens.models.blocks import DividedBlock
from trokens.models.motion import CrossMotionModule, HodModule
from trokens.models.tokens import SAMPLE_MODES, mean_token, sample_features, sample_positions
from trokens.points.mutual import mutual_points
from trokens.structures import Clips, check_choice, check_shape

HEAD_ACTIVATIONS = {"tanh": nn.Tanh, "gelu": nn.GELU, "relu": nn.ReLU}
MASKS = ("query", "visibility", "none")
CLASS_TOKENS = ("learned", "patches", "none")


class Trokens(nn.Module):
    """The trajectory transformer with its inputs and its training classifier.

    A token of point n at frame t is the appearance read at the point, plus its HoD (motion within the trajectory),
    plus its cross-motion (relations to the other trajectories). Blocks of divided space-time attention follow.
    Parameters carry the published names.

    Args:
        num_classes: Classes of the training classifier.
        embed_dim: Width of the tokens, D; 0 for the backbone's. Where it differs from the backbone's width, a learned
            projection without bias follows the backbone.
        backbone: Frames to patch features (see :mod:`trokens.models.backbone`), or None when the caller has features.
        train_backbone: Train the backbone too; otherwise it is frozen and stays in eval mode.
        backbone_batch: Clips that pass the backbone at once; 0 for all, or for one where a frozen backbone runs on a
            CPU, whose cache then holds what a layer computes.
        feature_dim: Width of the patch features, needed only where ``backbone`` is None and it is not ``embed_dim``.
        grid: Side of the patch grid, S; taken from position embeddings only.
        num_frames: Frames of a clip, T.
        num_points: Points of a clip, N; only cross-motion depends on it.
        appearance: Whether tokens carry what is seen at the points; needs a motion module if not.
        sample_mode: How features are read at points, "nearest", "bilinear" or "bicubic".
        base_pos_embed: Add a spatial and a temporal embedding to the patch features.
        point_pos_embed: Without ``base_pos_embed``, add a spatial embedding read bilinearly at the points.
        hod: Arguments of :class:`HodModule` other than ``dim``, or None to leave it out.
        cross_motion: Whether to use :class:`CrossMotionModule`.
        patch_points: Take points from mutual nearest patches in place of those of the clips: ``method`` and
            ``hod_clusters`` of :func:`trokens.points.mutual.mutual_points`; None leaves them as they are.
        class_token: What the class token is before the blocks: "learned"; "patches", the projected mean of a clip's
            patch features over space and time; or "none": the classifier then reads the mean of the tokens that take
            part in attention.
        mask: Where points take part in attention: from their "query" frame on, by "visibility", or "none" = everywhere.
        depth, num_heads, mlp_ratio, qkv_bias: Of the blocks.
        drop, attn_drop, drop_path: Dropout in the blocks; ``drop_path`` grows linearly from 0 to this value.
        pos_drop, head_drop: Dropout of the tokens before the blocks, and before the classifier.
        head_act: Activation before the classifier, "tanh", "gelu" or "relu".
        act_checkpoint: In training, compute tokens and blocks again in the backward pass (Chen et al., "Training Deep
            Nets with Sublinear Memory Cost", 2016): the same gradients from less memory.
        compile_blocks: torch.compile the blocks.

    Attributes:
        matcher: A module of :mod:`trokens.fewshot.matchers` that learns with the model; None where none does.

    Raises:
        ValueError: An unknown or impossible option.
    """

    def __init__(self, num_classes: int, *, embed_dim: int = 0, backbone: nn.Module | None = None,
                 train_backbone: bool = False, backbone_batch: int = 0, feature_dim: int = 0, grid: int = 16,
                 num_frames: int = 8, num_points: int = 256, appearance: bool = True, sample_mode: str = "nearest",
                 base_pos_embed: bool = True, point_pos_embed: bool = True, hod: dict | None = None,
                 cross_motion: bool = True, patch_points: dict | None = None, class_token: str = "learned",
                 mask: str = "none", depth: int = 1, num_heads: int = 8, mlp_ratio: float = 4.0, qkv_bias: bool = True,
                 drop: float = 0.0, attn_drop: float = 0.0, drop_path: float = 0.0, pos_drop: float = 0.0,
                 head_drop: float = 0.0, head_act: str = "tanh", act_checkpoint: bool = False,
                 compile_blocks: bool = False):
        super().__init__()
        check_choice("sample_mode", sample_mode, SAMPLE_MODES)
        check_choice("head_act", head_act, HEAD_ACTIVATIONS)
        check_choice("class_token", class_token, CLASS_TOKENS)
        check_choice("mask", mask, MASKS)
        if not appearance and hod is None and not cross_motion:
            raise ValueError("appearance is off, and so are hod and cross_motion: tokens would hold nothing; switch "
                             "one on.")
        if not appearance and patch_points is not None:
            raise ValueError("patch_points are asked for, and appearance is off: there are no patch features; leave "
                             "them out.")
        if not appearance and class_token == "patches":
            raise ValueError("class_token is 'patches', and appearance is off: there are no patch features; use "
                             "'learned' or 'none'.")
        feature_dim = backbone.embed_dim if backbone else feature_dim or embed_dim
        dim = embed_dim or feature_dim
        if not dim:
            raise ValueError("embed_dim is 0, and there is no backbone to take it from; set it.")
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; a model needs at least 1.")
        self.embed_dim, self.feature_dim, self.grid = dim, feature_dim, grid
        self.num_frames, self.num_points = num_frames, num_points
        self.appearance, self.sample_mode, self.mask = appearance, sample_mode, mask
        self.class_token, self.patch_points = class_token, patch_points
        self.backbone_batch, self.train_backbone = backbone_batch, train_backbone
        self.act_checkpoint = act_checkpoint
        self.matcher: nn.Module | None = None

        self.dino = backbone if appearance else None  # its parameters' published name, whatever backbone it is
        if self.backbone is not None and not train_backbone:
            self.backbone.requires_grad_(False)
        self.proj = nn.Linear(feature_dim, dim, bias=False) if appearance and feature_dim != dim else nn.Identity()

        self.cls_token = nn.Parameter(torch.empty(1, 1, dim)) if class_token == "learned" else None
        # published names: space_pos_embed is added to the patch map, spatial_pos_embed is read at the points
        self.space_pos_embed = self.time_pos_embed = self.spatial_pos_embed = None  # only what is used exists
        if base_pos_embed and appearance:
            self.space_pos_embed = nn.Parameter(torch.empty(1, grid * grid, dim))
            self.time_pos_embed = nn.Parameter(torch.empty(1, num_frames, dim))
        elif point_pos_embed and not base_pos_embed:
            self.spatial_pos_embed = nn.Parameter(torch.empty(1, dim, grid, grid))
        self.pos_drop = nn.Dropout(pos_drop)
        self.hod_motion_module = HodModule(dim, **hod) if hod is not None else None
        self.cross_motion_module = CrossMotionModule(num_points, dim) if cross_motion else None

        self.blocks = nn.ModuleList(
            DividedBlock(dim, num_heads, mlp_ratio, qkv_bias, drop, attn_drop, rate)
            for rate in torch.linspace(0, drop_path, depth).tolist())
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pre_logits = nn.Sequential(OrderedDict(fc=nn.Linear(dim, dim), act=HEAD_ACTIVATIONS[head_act]()))
        self.head_drop = nn.Dropout(head_drop)
        self.head = nn.Linear(dim, num_classes)
        self._init_weights()
        if compile_blocks:
            for block in self.blocks:
                block.compile()  # in place: the parameters keep their names

    def _init_weights(self) -> None:
        for layer in [*self.blocks.modules(), self.pre_logits.fc, self.head]:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for embedding in [self.cls_token, self.space_pos_embed, self.time_pos_embed, self.spatial_pos_embed]:
            if embedding is not None:
                nn.init.xavier_uniform_(embedding)

    @property
    def backbone(self) -> nn.Module | None:
        """Frames to patch features; None where the caller has features, or there is no appearance."""
        return self.dino

    def train(self, mode: bool = True) -> Trokens:
        """As usual, but a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.backbone is not None and not self.train_backbone:
            self.backbone.eval()
        return self

    def clips_a_pass(self, num_clips: int, device: torch.device) -> int:
        """How many of ``num_clips`` pass the backbone at once."""
        one_at_a_time = device.type == "cpu" and not self.train_backbone
        return min(self.backbone_batch or (1 if one_at_a_time else num_clips), num_clips)

    def patch_features(self, video: Tensor) -> Tensor:
        """The backbone's features of raw frames, without the projection: what a cache may hold.

        Args:
            video: (B, T, 3, H, W) uint8 RGB.

        Returns:
            (B, T, S, S, width of the backbone).
        """
        if self.backbone is None:
            raise ValueError("This model has no backbone; pass patch_features, or build it with one.")
        mean, std = self.backbone.mean[:, None, None], self.backbone.std[:, None, None]
        with torch.set_grad_enabled(self.train_backbone and torch.is_grad_enabled()):
            parts = [self.backbone(((clips.flatten(0, 1).float() / 255) - mean) / std).unflatten(0, clips.shape[:2])
                     for clips in video.split(self.clips_a_pass(len(video), video.device))]
            return torch.cat(parts)

    def encode(self, patch_features: Tensor | None, tracks: Tensor, visibility: Tensor,
               query_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits and trajectory tokens from patch features and tracks.

        Args:
            patch_features: From :meth:`patch_features`, (B, T, S, S, width); None without appearance.
            tracks: Positions in [-1, 1] inside the frame, (B, T, N, 2).
            visibility: (B, T, N) bool.
            query_mask: True from each point's query frame on, (B, T, N) bool.

        Returns:
            Logits of the training classes (B, C), and tokens (B, T, N, D).

        Raises:
            ValueError: Shapes that do not fit together or to the model.
        """
        sizes = {"T": self.num_frames}
        check_shape("tracks", tracks, "B T N 2", sizes)
        check_shape("visibility", visibility, "B T N", sizes)
        check_shape("query_mask", query_mask, "B T N", sizes)
        if self.appearance:
            if patch_features is None:
                raise ValueError("patch_features are missing; this model uses appearance.")
            sizes |= {"F": self.feature_dim} | ({} if self.space_pos_embed is None else {"S": self.grid})
            check_shape("patch_features", patch_features, "B T S S F", sizes)

        recompute = self.act_checkpoint and self.training and torch.is_grad_enabled()
        run = partial(checkpoint, use_reentrant=False) if recompute else lambda part, *inputs: part(*inputs)
        tokens = self.pos_drop(run(self.embed_points, patch_features, tracks, visibility))  # (B, T, N, D)
        keys = {"query": query_mask, "visibility": visibility, "none": None}[self.mask]
        cls = self.pos_drop(self.first_class_token(patch_features, tokens))
        for block in self.blocks:
            cls, tokens = run(block, cls, tokens, None if keys is None else keys.bool())
        seen = mean_token(self.norm(tokens), keys) if self.class_token == "none" else self.norm(cls)[:, 0]
        logits = self.head(self.head_drop(self.pre_logits(seen)))
        return logits, self.norm(tokens)

    def first_class_token(self, patch_features: Tensor | None, tokens: Tensor) -> Tensor:
        """The class token before the blocks, (B, 1, D); (B, 0, D) where there is none."""
        if self.class_token == "patches":
            return self.proj(patch_features.float().mean((1, 2, 3)))[:, None]
        return tokens.new_empty(len(tokens), 0, self.embed_dim) if self.cls_token is None else (
            self.cls_token.expand(len(tokens), -1, -1))

    def embed_points(self, patch_features: Tensor | None, tracks: Tensor, visibility: Tensor) -> Tensor:
        """Tokens before the blocks, (B, T, N, D): appearance + position + HoD + cross-motion."""
        tokens = tracks.new_zeros(*tracks.shape[:-1], self.embed_dim, dtype=torch.float32)
        if self.appearance:
            # reading is linear and so is the projection: projecting what was read is projecting the map
            tokens = self.proj(sample_features(patch_features, tracks, self.sample_mode))
        if self.space_pos_embed is not None:
            maps = self.space_pos_embed + self.time_pos_embed[0, :, None]  # (T, S*S, D)
            tokens = tokens + sample_positions(maps.unflatten(1, (self.grid, -1)), tracks, self.sample_mode)
        if self.spatial_pos_embed is not None:
            tokens = tokens + sample_positions(self.spatial_pos_embed.permute(0, 2, 3, 1), tracks, "bilinear")
        if self.hod_motion_module is not None:
            tokens = tokens + self.hod_motion_module(tracks)
        if self.cross_motion_module is not None:
            tokens = tokens + self.cross_motion_module(tracks, visibility)
        return tokens

    def forward(self, clips: Clips, patch_features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Class logits (V, C) and tokens (V, T, N, D) of a batch of clips; ``patch_features`` where they are cached."""
        if patch_features is None and self.appearance:
            if clips.video is None:
                raise ValueError("These clips carry no frames; pass their patch_features.")
            patch_features = self.patch_features(clips.video)
        points = clips.tracks, clips.visibility, clips.query_mask
        if self.patch_points is not None:
            points = mutual_points(patch_features, clips.seed, self.num_points, **self.patch_points)
        return self.encode(patch_features, *points)
