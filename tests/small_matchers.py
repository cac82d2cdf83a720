"""The matchers beside Bi-MHM, made small."""

import torch

from trokens.fewshot.matchers import MATCHERS

FUNCTIONS = ["otam", "prototype_cosine", "prototype_squared", "tsn"]
MODULES = {"hyrsm": {"num_heads": 2}, "team": {"patterns": 3, "num_heads": 2}, "trx": {"width": 12}}
L = 5


def made(name: str, dim: int = 8, length: int = L):
    """A matcher as `match` takes it."""
    torch.manual_seed(0)
    sizes = {"length": length} if name == "trx" else {}
    return MATCHERS.get(name)(dim, **sizes, **MODULES[name]) if name in MODULES else name
