"""Where options become arguments: an error that names an argument gets the key that a user of configs wrote."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

_ARGUMENT = re.compile(r"[a-z_][a-z0-9_]*\b")


@contextmanager
def keys_of(**keys: str) -> Iterator[None]:
    """Name the config's key beside the argument in a ValueError of the block.

    A library error begins with its argument: "bins is 1; at least 2 are needed.". A user of configs never typed it, and
    reads "bins (POINT_INFO.HOD.NUM_BINS) is 1; at least 2 are needed.".

    Args:
        keys: Argument = key.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        argument = _ARGUMENT.match(text)
        if argument is None or argument[0] not in keys:
            raise
        raise type(error)(f"{argument[0]} ({keys[argument[0]]}){text[argument.end():]}") from error
