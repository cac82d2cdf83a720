"""Tracks to write and read."""

import pytest
import torch

from trokens.structures import Tracks


@pytest.fixture
def tracks() -> Tracks:
    draw = torch.Generator().manual_seed(0)
    return Tracks(xy=torch.rand(5, 7, 2, generator=draw) * 60 - 5, visibility=torch.rand(5, 7, generator=draw) > 0.5,
                  query_frame=torch.arange(7) % 5, cluster=torch.tensor([0, 0, 1, 1, 1, 4, 4]), size=(48, 64),
                  frame=torch.arange(5) * 3)
