"""Names of classes, compared as people read them; whether the splits of a dataset share no class."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence

from trokens.clips.dataset import SPLITS, Row

logger = logging.getLogger(__name__)

# Characters that take no room, at which a text is stripped too: some editors leave them.
_INVISIBLE = "".join(map(chr, (0x00AD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF)))
_ALIKE = "are the same but for case, white space or Unicode form"


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


def check_numbered(rows: Sequence[Row], *, strict: bool = True) -> None:
    """Check that splits share no class, by names where those tell classes apart, else by labels.

    Args:
        rows: All clips of a dataset.
        strict: Whether one list numbers all classes; else a label of two splits is only warned about.

    Raises:
        ValueError: A class is in two splits.
    """
    classes = sorted({(SPLITS.index(row.split), row.class_id, row.class_name) for row in rows})
    labels, names = ({row[column] for row in classes} for column in (1, 2))
    one_each = len({(label, name) for _, label, name in classes}) == len(labels)
    if strict and one_each and 2 * len(names) > len(labels):  # else the folders hold several classes each
        check_named(rows)
        return
    split_of: dict[int, int] = {}
    shared = [(label, split) for split, label, _ in classes if split_of.setdefault(label, split) != split]
    if shared:
        label, split = shared[0]
        text = (f"Label {label} is in the {SPLITS[split_of[label]]} split and in the {SPLITS[split]} split "
                f"({len(shared)} such labels)")
        if strict:
            raise ValueError(f"{text}; few-shot splits share no class, see tools/make_splits.py (trokens splits).")
        logger.warning("%s; few-shot splits share no class: check the lists, unless each has numbers of its own.", text)


def check_named(rows: Sequence[Row]) -> None:
    """Check that splits share no class, by the names; those of one split that read alike are warned about.

    Args:
        rows: All clips of a dataset.

    Raises:
        ValueError: Two splits have a class of one name, or of two that read alike; the message names both.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for split, name in sorted({(SPLITS.index(row.split), row.class_name) for row in rows}):
        alike.setdefault(reading(name), []).append((SPLITS[split], name))
    shared = [names for names in alike.values() if len({split for split, _ in names}) > 1]
    differing = [names for names in shared if len({name for _, name in names}) > 1]
    if differing:
        (one, first), *others = differing[0]
        two, second = next((split, name) for split, name in others if split != one)
        raise ValueError(f"Class {_shown(first, second)} of the {one} split and class {_shown(second, first)} of the "
                         f"{two} split {_ALIKE} ({len(shared)} such classes); few-shot splits share no class: write "
                         "them alike and put them in one split, or rename one.")
    if shared:
        last, name = shared[0][-1]
        raise ValueError(f"Class '{name}' is in the {last} split and in an earlier one ({len(shared)} such "
                         "classes); few-shot splits share no class, see tools/make_splits.py (trokens splits).")
    for names in alike.values():
        if len(names) > 1:
            (own, first), (_, second), *_ = names
            logger.warning("Classes %s and %s of the %s split %s; they count as two classes: write them alike where "
                           "they are one.", _shown(first, second), _shown(second, first), own, _ALIKE)


def _shown(name: str, other: str) -> str:
    """A name in quotes, in ASCII where it looks like the other one."""
    same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return ascii(name) if same or not name.isprintable() else f"'{name}'"
