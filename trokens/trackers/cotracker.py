"""CoTracker3 as a tracker: whole clips in overlapping windows (offline), or as a stream (online)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trokens.trackers import TRACKERS, ReducingTracker, TrackResult, check_points, check_queries
from trokens.trackers.chunks import ChunkedEncoder, Chunks
from trokens.trackers.cotracker_hub import load_predictor
from trokens.trackers.held import Backward

ITERATIONS = 6  # of the model's refinement, as in its own predictors
RULES = {"hub": ("visibility > 0.9", lambda seen: seen[..., 2] > 0.9),
         "paper": ("visibility * confidence > 0.6", lambda seen: seen[..., 2] * seen[..., 3] > 0.6)}


@dataclass(kw_only=True, eq=False)
class CoTracker(ReducingTracker):
    """CoTracker3 (Karaev et al., 2024) at its own resolution: forward, and backward over the flipped clip.

    Its code and weights come through torch.hub or from local files; their license is CC-BY-NC 4.0, not for commercial
    use. It tracks points jointly; a uniform support grid is added to each chunk of them, and dropped.

    Args:
        device: None is the GPU where there is one.
        visibility_rule: "hub", as its predictor for clips has it: visibility > 0.9; or "paper": visibility times
            confidence > 0.6.
        query_chunk: Points tracked jointly. A chunk that does not fit into memory is halved and tried again; each
            clip starts with this number, so its tracks do not depend on the clips before it.
        frame_chunk: Frames encoded at once; halved likewise. Results do not depend on it.
        source: Folder of a checkout of facebookresearch/co-tracker; "" takes torch.hub's.
        weights: A file; "" takes torch.hub's.
        model: A predictor of CoTracker3, in place of ``source`` and ``weights``.

    Raises:
        ValueError: An option is out of range, or the weights are another model's.
        FileNotFoundError: Code or weights are not there, and cannot be downloaded.
    """

    device: torch.device | str | None = None
    visibility_rule: str = "hub"
    query_chunk: int = 512
    frame_chunk: int = 16
    source: str = ""
    weights: str = ""
    model: nn.Module | None = None
    flipped_support: ClassVar[int]  # which frame of the clip played backward gives the support grid

    def __post_init__(self):
        if self.visibility_rule not in RULES:
            raise ValueError(f"Unknown visibility_rule '{self.visibility_rule}'. Known: {', '.join(RULES)}.")
        for option in ("query_chunk", "frame_chunk"):
            if getattr(self, option) < 1:
                raise ValueError(f"{option} is {getattr(self, option)}; it must be at least 1.")
        rule, self.is_visible = RULES[self.visibility_rule]
        self.metadata = {"tracker": self.name, "visibility_rule": rule}
        if self.model is None:
            self.model, self.metadata["weights"] = load_predictor(self.name, self.source, self.weights)
        self.device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = self.model.to(self.device).float().eval()
        height, width = self.model.interp_shape
        self.size = torch.tensor([width, height])
        self.frame_chunks = Chunks(self.frame_chunk, "frames")

    def track(self, frames: Tensor, query_points: Tensor, cluster: Tensor | None = None) -> TrackResult:
        """Follow the points; see the package's docstring. Clusters make no difference."""
        check_queries(frames, query_points, cluster)
        size = tuple(frames.shape[1:3])  # these frames are held anyway: each window scales its own
        return self.track_reduced(frames.cpu().numpy(), size, query_points, cluster)

    @torch.no_grad()
    def reduce(self, frame: np.ndarray) -> np.ndarray:
        """Bring a frame to the model's resolution, (3, h, w) float32; one that takes less room stays as it is."""
        height, width = self.model.interp_shape
        if frame.nbytes <= 4 * 3 * height * width:
            return frame
        return self._scaled(torch.from_numpy(frame)[None])[0].cpu().numpy()

    @torch.no_grad()
    def track_reduced(self, frames: Sequence[np.ndarray], size: tuple[int, int], query_points: Tensor,
                      cluster: Tensor | None = None) -> TrackResult:
        """Follow points through frames, reduced or as they are; see `ReducingTracker`."""
        check_points(len(frames), query_points, cluster)
        query = query_points.cpu().float()  # CoTracker takes whole numbers without complaint, and follows (0, 0)
        first, points = query[:, 0].long(), torch.arange(len(query))
        scale = (self.size - 1) / (torch.tensor(size[::-1]) - 1).clamp(min=1)
        asked = torch.cat([query[:, :1], query[:, 1:] * scale], dim=1)
        inner = self.model.model  # it encodes a clip once, for all chunks of points and both directions
        encoder, inner.fnet = inner.fnet, ChunkedEncoder(inner.fnet, self.frame_chunks)
        try:
            with torch.autocast(torch.device(self.device).type, enabled=False):
                seen = self._follow(frames, asked, 0) if len(asked) else torch.zeros(len(frames), 0, 4)
                if first.any():
                    asked[:, 0] = len(frames) - 1 - asked[:, 0]
                    before = self._follow(Backward(frames), asked, self.flipped_support).flip(0)
                    seen = torch.where(torch.arange(len(frames))[:, None, None] < first[:, None], before, seen)
        finally:
            inner.fnet = encoder
        tracks, visibility, confidence = seen[..., :2] / scale, self.is_visible(seen), seen[..., 3].clone()
        tracks[first, points], visibility[first, points], confidence[first, points] = query[:, 1:], True, 1.0
        return TrackResult(tracks, visibility, confidence)

    @abstractmethod
    def _follow(self, frames: Sequence[np.ndarray], queries: Tensor, support_frame: int) -> Tensor:
        """Follow points from their query frames to the end of a clip.

        Args:
            frames: T frames, see :meth:`reduce`.
            queries: (N, 3) float32 as (t, x, y) in the model's pixels.
            support_frame: Frame of the support grid, of each window.

        Returns:
            (T, N, 4) float32 as (x, y, visibility, confidence) in the model's pixels. Up to its query frame, the rows
            of a point mean nothing.
        """

    def _video(self, frames: Sequence[np.ndarray], start: int, stop: int) -> Tensor:
        """Bring some frames to the model's resolution: (1, n, 3, h, w) float32 in [0, 255] on the device."""
        some = torch.from_numpy(np.stack([frames[t] for t in range(start, min(stop, len(frames)))]))
        scaled = torch.cat(self.frame_chunks.run(self._scaled, some)) if some.dtype == torch.uint8 else some
        return scaled[None].to(self.device)

    def _scaled(self, frames: Tensor) -> Tensor:
        """Scale frames (n, H, W, 3) uint8 to (n, 3, h, w) float32 on the device."""
        frames = frames.to(self.device).permute(0, 3, 1, 2).float()
        return F.interpolate(frames, tuple(self.model.interp_shape), mode="bilinear", align_corners=True)

    def _with_support(self, queries: Tensor, support_frame: int) -> Tensor:
        """Add the support grid to a chunk of queries (n, 3): (1, n + S, 3) on the device.

        The grid's outermost points lie a 64th of the width inside the border, as in CoTracker's own predictors.
        """
        margin = self.size[0].item() / 64
        x, y = (torch.linspace(margin, side - margin, self.model.support_grid_size) for side in self.size.tolist())
        support = torch.cartesian_prod(torch.tensor([float(support_frame)]), y, x)[:, [0, 2, 1]]
        return torch.cat([queries, support])[None].to(self.device)


def _of_queries(result: tuple, num_queries: int) -> Tensor:
    """What the model says of a chunk's own points, without the support grid's: (T, n, 4), see `CoTracker._follow`."""
    xy, visibility, confidence, *_ = result
    return torch.cat([xy, visibility[..., None], confidence[..., None]], dim=-1)[0, :, :num_queries].cpu()


@TRACKERS.register("cotracker3_offline")
@dataclass(kw_only=True, eq=False)
class CoTrackerOffline(CoTracker):
    """CoTracker3 that sees the frames of a clip at once; clips longer than ``window`` in overlapping windows.

    The last window ends with the clip. A point is asked for in the last window that its query frame lies in. It is
    carried into the next one from the frame of the overlap where it was most visible and confident: there the next
    window asks for it, and from there on that window's tracks count. A point more likely hidden than visible
    throughout an overlap stays hidden from then on, since what is seen at its place is another surface.

    Args:
        window: Most frames at once; the model was trained with 60.
        overlap: Frames that neighboring windows share, at least.
    """

    name = "cotracker3_offline"
    flipped_support = -1  # as in its own predictor: the support grid stays in the clip's first frame
    window: int = 60
    overlap: int = 20

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.overlap < self.window:
            raise ValueError(f"overlap is {self.overlap}; it must be at least 1 and less than window, {self.window}.")

    def _follow(self, frames: Sequence[np.ndarray], queries: Tensor, support_frame: int) -> Tensor:
        total, size = len(frames), min(self.window, len(frames))
        starts = [*range(0, total - size, self.window - self.overlap), total - size]
        asked, lost = queries.clone(), torch.zeros(len(queries), dtype=torch.bool)
        result = torch.zeros(total, len(queries), 4)
        for start, following in pairwise([*starts, total]):
            now = (asked[:, 0] < following).nonzero().squeeze(1)  # earlier windows have carried their points on
            if not len(now):
                continue
            video = self._video(frames, start, start + size)
            seen = self._follow_in(video, asked[now] - torch.tensor([start, 0, 0]), support_frame % size)
            seen[:, lost[now], 2] = 0
            after = torch.arange(start, start + size)[:, None, None] > asked[now, :1]
            result[start:start + size, now] = torch.where(after, seen, result[start:start + size, now])
            if following < total:
                shared = seen[following - start:]
                best = (shared[..., 2] * shared[..., 3]).argmax(0)
                asked[now] = torch.cat([following + best[:, None], shared[best, torch.arange(len(now)), :2]], dim=1)
                lost[now] = shared[..., 2].amax(0) < 0.5
        return result

    def _follow_in(self, video: Tensor, queries: Tensor, support_frame: int) -> Tensor:
        """Follow points through the T frames of a window: (T, n, 4), see `_follow`."""
        def follow(chunk: Tensor) -> Tensor:
            queries = self._with_support(chunk, support_frame)
            return _of_queries(self.model.model(video=video, queries=queries, iters=ITERATIONS), len(chunk))

        return torch.cat(Chunks(self.query_chunk, "query points").run(follow, queries), dim=1)


@TRACKERS.register("cotracker3_online")
@dataclass(kw_only=True, eq=False)
class CoTrackerOnline(CoTracker):
    """CoTracker3 that sees a clip as a stream: windows of 16 frames, of which half are new, for clips of any length.

    All chunks of points see a window before the next one comes, so that its frames are encoded once.
    """

    name = "cotracker3_online"
    flipped_support = 0  # what a stream has not seen yet gives no support

    def _follow(self, frames: Sequence[np.ndarray], queries: Tensor, support_frame: int) -> Tensor:
        def follow(chunks: tuple[Tensor, ...]) -> Tensor:
            # The model keeps a stream's state in attributes; copies of it share all else, weights and encoder too.
            models = [copy(self.model.model) for _ in chunks]
            for model in models:
                model.init_video_online_processing()
            asked = [self._with_support(chunk, support_frame) for chunk in chunks]
            step = self.model.step
            for start in range(0, max(len(frames) - step, 1), step):
                video = self._video(frames, start, start + 2 * step)
                results = [model(video=video, queries=queries, iters=ITERATIONS, is_online=True)
                           for model, queries in zip(models, asked, strict=True)]
            return torch.cat([_of_queries(result, len(chunk))  # the last ones are of all frames
                              for result, chunk in zip(results, chunks, strict=True)], dim=1)

        return Chunks(self.query_chunk, "query points").run_together(follow, queries)
