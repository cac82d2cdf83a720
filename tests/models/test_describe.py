"""The table of a model's parts."""

import torch
from test_models import Pixels, build

from trokens.models.describe import describe_model


def test_a_model_is_described_part_by_part_and_left_as_it_is():
    for options in ({}, {"backbone": Pixels()}, {"appearance": False}):
        model = build(**options).train()
        torch.manual_seed(0)
        table = describe_model(model, image_size=12)
        assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(0)))
        assert model.training and (model.backbone is None or not model.backbone.training)
        assert "#parameters" in table and "#flops" in table
        for part in ("blocks.0", "cross_motion_module", "head"):
            row, = (line for line in table.splitlines() if line.lstrip("| ").startswith(f"model.{part} "))
            assert row.split("|")[2].strip() and row.split("|")[3].strip() not in ("", "0", "N/A"), row
