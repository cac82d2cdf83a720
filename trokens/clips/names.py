"""Names of classes: without what nobody sees, and compared as people read them."""

from __future__ import annotations

import unicodedata

# Characters that take no room, at which a text is stripped too: some editors leave them.
_INVISIBLE = "".join(map(chr, (0x00AD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF)))


def clean(text: str) -> str:
    """Strip white space of every kind, and characters without width, from both ends of a text."""
    before = None
    while text != before:
        before, text = text, text.strip().strip(_INVISIBLE)
    return text


def reading(name: str) -> str:
    """What a class name reads as: equal for names that differ only by case, white space or Unicode form."""
    visible = name.translate(dict.fromkeys(map(ord, _INVISIBLE)))
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold()).split())
