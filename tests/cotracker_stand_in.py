"""A small module with CoTracker3's interface and shapes, for tests; it reads each frame's shift off its color.

A frame of color (r, g, b) has moved by (r, g) pixels of the model, and its points are visible by b / 255.
"""

import torch
from torch import nn


def clip(shifts, visibility=1.0, size=(48, 64)) -> torch.Tensor:
    """Frames (T, H, W, 3) uint8 that have moved by ``shifts`` (T, 2); ``visibility`` is a number, or (T,)."""
    shifts = torch.as_tensor(shifts)
    blue = torch.as_tensor(visibility).expand(len(shifts)) * 255
    color = torch.cat([shifts, blue[:, None]], dim=1).round().to(torch.uint8)
    return color[:, None, None].expand(-1, *size, -1).contiguous()


class Encoder(nn.Module):
    """Frames (n, 3, H, W) in [-1, 1] to features (n, 3), their colors; it has room for ``room`` frames at once."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(127.5))
        self.room, self.sizes = 1000, []

    def forward(self, frames):
        self.sizes.append(len(frames))
        if len(frames) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        return frames.mean((2, 3)) * self.scale + 127.5


class Model(nn.Module):
    """What predictors hold: queries are answered from their own frame on; before it all is NaN."""

    def __init__(self, window_len, confidence, size):
        super().__init__()
        self.fnet, self.size = Encoder(), size
        self.window_len, self.confidence, self.calls = window_len, confidence, []
        self.room = self.room_later = 10000  # queries that fit into memory, in the first window and in those after it

    def init_video_online_processing(self):
        self.online_ind, self.colors = 0, torch.zeros(0, 3)

    def forward(self, video, queries, iters=4, is_online=False):
        assert not torch.is_grad_enabled() and not self.training and iters == 6
        assert video.shape[0] == 1 and video.shape[2:] == (3, *self.size) and video.dtype == torch.float32
        assert queries.shape[0] == 1 and queries.shape[2] == 3
        if not queries.is_floating_point():
            queries = torch.zeros_like(queries)  # as the real one does in effect
        self.calls.append((video.shape[1], queries[0].clone()))
        if queries.shape[1] > (self.room_later if is_online and self.online_ind else self.room):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        assert video.shape[1] <= self.window_len
        colors = self.fnet(2 * (video[0] / 255) - 1)                                          # (T, 3)
        if is_online:
            assert len(self.colors) in (0, self.online_ind + self.window_len // 2)
            self.colors = colors = torch.cat([self.colors[:self.online_ind], colors])
            self.online_ind += self.window_len // 2
        t, xy = queries[0, :, 0].long(), queries[0, :, 1:]
        seen = t < len(colors)                                                                # (n,)
        moved = colors[:, None, :2] - colors[t.clamp(max=len(colors) - 1), :2]                # (T, n, 2)
        known = (torch.arange(len(colors))[:, None] >= t) & seen
        xy = (xy + moved).masked_fill(~known[..., None], float("nan"))
        visibility = (colors[:, None, 2] / 255).expand(-1, len(t)).masked_fill(~known, float("nan"))
        return xy[None], visibility[None], torch.full_like(visibility, self.confidence)[None], None


class Predictor(nn.Module):
    """CoTrackerPredictor and CoTrackerOnlinePredictor, as far as they are public."""

    def __init__(self, window_len=60, confidence=0.9, size=(384, 512)):
        super().__init__()
        self.model = Model(window_len, confidence, size)
        self.interp_shape, self.support_grid_size, self.step = size, 6, window_len // 2
