"""Where options become arguments, and errors about an argument get the key that a user of configs wrote."""

from collections.abc import Iterator
from contextlib import contextmanager

from yacs.config import CfgNode as CN


@contextmanager
def keys_of(**keys: str) -> Iterator[None]:
    """Name the config's key beside the argument with which a ValueError of the block begins.

    "bins is 1; at least 2 are needed." becomes "bins (POINT_INFO.HOD.NUM_BINS) is 1; at least 2 are needed.".

    Args:
        keys: Argument = key.
    """
    try:
        yield
    except ValueError as error:
        argument, _, rest = str(error).partition(" ")
        if argument not in keys:
            raise
        raise type(error)(f"{argument} ({keys[argument]}) {rest}") from error


def dataset_of(cfg: CN, split: str) -> str:
    """Name of the dataset that a split is of, as the config writes it."""
    return cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
