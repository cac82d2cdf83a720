"""How far a loop is: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

from tqdm import tqdm

from trokens.runtime.distributed import is_main

logger = logging.getLogger(__name__)


def progress(items: Iterable, total: int, title: str, *, lines: bool = True) -> Iterator:
    """Iterate with a bar on a terminal, and elsewhere, where ``lines`` are wanted, one at every fifth of the way."""
    if sys.stderr.isatty() and is_main():
        bar = tqdm(total=total, desc=title, leave=False)
        try:
            for item in items:
                yield item
                with suppress(OSError):  # the terminal may be closed
                    bar.update()
        finally:
            with suppress(OSError):
                bar.close()
        return
    for done, item in enumerate(items, 1):
        yield item
        if lines and total >= 20 and done * 5 // total > (done - 1) * 5 // total:
            logger.info("%s: %d of %d", title, done, total)
