"""Figures and names as people read them."""

from __future__ import annotations

import os
import re

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """With a replacement character for what no page may hold: control characters, and bytes that are no UTF-8."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shortened(text: str, letters: int) -> str:
    """At most so many letters of it."""
    text = clean(text)
    return text if len(text) <= letters else text[:max(letters - 1, 1)].rstrip() + "…"


def percent(share: float) -> str:
    """A share in [0, 1]; of the four digits that the lists beside the page have."""
    return f"{100 * round(share, 4):.1f} %"


def clock(seconds: float, tenths: bool = False) -> str:
    """A time of a video, such as 1:05, or 1:05.5 in tenths."""
    number = round(seconds * 10) if tenths else 10 * round(seconds)
    minutes, rest = divmod(number, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{rest // 10:02}" if hours else f"{minutes}:{rest // 10:02}"
    return (f"{hours}:{text}" if hours else text) + (f".{rest % 10}" if tenths else "")


def lasting(seconds: float) -> str:
    """How long something is."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{clock(seconds)} min" if seconds < 3600 else f"{clock(seconds)} h"


def name_of(path: str) -> str:
    """The last part of a path."""
    return os.path.basename(path.rstrip("/")) or path


def folder_of(path: str) -> str:
    """All before it."""
    return path[:len(path) - len(name_of(path))] if path.endswith(name_of(path)) else ""


def count(number: int, one: str, many: str | None = None) -> str:
    """Such as "1 clip" and "2 clips"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
