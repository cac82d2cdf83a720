"""Where options become arguments: an error that names an argument gets the key that a user of configs wrote."""

from collections.abc import Iterator
from contextlib import contextmanager


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
