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
        rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()]
        for part in ("blocks", "cross_motion_module", "head"):
            assert any(part in name and size and flops not in ("", "0", "N/A")
                       for name, size, flops in rows), (part, table)
