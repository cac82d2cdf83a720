"""What a message shows of values and names."""

import difflib
from collections.abc import Iterable
from typing import Any


def shown(value: Any, most: int = 100) -> str:
    """What a message shows of a value: its ``repr``, cut where that is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no number of more than 4300 digits
        return f"a very long {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most // 2]}...{text[-most // 4:]} ({len(text)} characters)"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'X'?" for the entry of ``known`` nearest to ``word``, or "" if none is near.

    A dotted entry is also compared by its last part, for words that lack the section.
    """
    def likeness(entry: str) -> float:
        whole = difflib.SequenceMatcher(None, word.lower(), entry.lower()).ratio()
        leaf = difflib.SequenceMatcher(None, word.lower().rpartition(".")[2], entry.lower().rpartition(".")[2]).ratio()
        return max(whole, 0.9 * leaf)

    if len(word) > 100:
        return ""
    best = max(sorted(known), key=likeness)
    return f" Did you mean '{best}'?" if likeness(best) >= 0.6 else ""
