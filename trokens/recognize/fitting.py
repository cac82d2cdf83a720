"""What fitting takes: examples that are described, and enough of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from trokens.recognize.answers import UNKNOWN
from trokens.recognize.calibrate import one_example
from trokens.recognize.describe import Described, describe_all, describe_one
from trokens.recognize.description import Description
from trokens.recognize.examples import Example

logger = logging.getLogger(__name__)


def check_counts(examples: Sequence[Example], reject: float | None) -> None:
    """Tell what keeps ``reject`` from being measured.

    Raises:
        ValueError: An action has one example, or the name of what is none of them.
    """
    if reject is None:
        return
    labels, counts = np.unique([str(example.label) for example in examples], return_counts=True)
    if UNKNOWN in labels:
        raise ValueError(f"An action is called '{UNKNOWN}', which is what reject calls a clip of none; rename it.")
    if counts.min() < 2:
        raise one_example(reject, labels[counts.argmin()])


def describe_examples(
        examples: Sequence[Example], describer, workers: int | None, further: Sequence[str] = (),
) -> tuple[list[Example], list[Description], Iterator[tuple[str, Described]]]:
    """Describe the examples; those that cannot be are left out with a warning, unless an action has no other.

    Args:
        examples: Opened ones.
        describer: As `describe_all` takes it, and ``workers`` too.
        further: Clips that the same processes, which take seconds to start, describe too.

    Returns:
        The examples that are kept, their descriptions, and the further clips as they are done, each with its path.

    Raises:
        ValueError: An action has no example that could be described.
    """
    paths = dict.fromkeys(example.path for example in examples)
    stream = describe_all(list(dict.fromkeys((*paths, *further))), describer, workers)
    found: dict[str, Described] = {}
    early: dict[str, Described | None] = {}  # None for what is in the cache: there may be thousands
    while len(found) < len(paths):
        path, described = next(stream)
        if path in paths:
            found[path] = described
        else:
            early[path] = None if described.description is not None and not described.seconds else described
    kept = [example for example in examples if found[example.path].description is not None]
    labels = {example.label for example in kept}
    for example in examples:
        error = found[example.path].error
        if example.label not in labels:
            raise ValueError(f"Action '{example.label}' has no readable clip: {error}")
        if found[example.path].description is None:
            logger.warning("An example of '%s' is left out: %s", example.label, error)

    def others() -> Iterator[tuple[str, Described]]:
        yield from ((path, found[path]) for path in dict.fromkeys(further) if path in found)
        yield from ((path, described or describe_one(path, describer)) for path, described in early.items())
        yield from stream

    return kept, [found[example.path].description for example in kept], others()
