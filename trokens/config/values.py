"""One written value -> a value of its option's type: what YAML or a shell delivers is not always what was meant."""

import ast
import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

OPTIONAL_FLOATS = frozenset({"SOLVER.CLIP_GRAD_VAL", "SOLVER.CLIP_GRAD_L2NORM"})
LIST_ITEMS: dict[str, type] = {"SOLVER.STEPS": int, "SOLVER.LRS": float, "TEST.K_SHOTS": int}
MOST_INT = {"RNG_SEED": 2**63 - 1}  # of other whole numbers 2**31 - 1, either sign

CHOICES: dict[str, tuple[str, ...]] = {
    "TASK": ("few_shot",),
    "DIST_BACKEND": ("nccl", "gloo"),
    "TRAIN.VAL_SPLIT": ("val", "test"),
    "TEST.SPLIT": ("train", "val", "test"),
    "TEST.BANK": ("auto", "memory", "disk"),
    "TEST.BANK_DTYPE": ("float", "half"),
    "MODEL.MODEL_NAME": ("Pointformer",),
    "MODEL.LOSS_FUNC": ("cross_entropy", "label_smoothing_cross_entropy"),
    "MODEL.FEAT_EXTRACTOR": ("dino", "timm", "none"),
    "MODEL.DINO_CONFIG": tuple(f"dinov2_vit{size}14{reg}" for reg in ("", "_reg") for size in "sblg"),
    "MODEL.FEAT_EXTRACT_MODE": ("nearest", "bilinear", "bicubic"),
    "MF.HEAD_ACT": ("tanh", "gelu", "relu"),
    "DATA.CHANGED_VIDEO": ("error", "warn", "ignore"),
    "DATA.DECODING_BACKEND": ("pyav", "decord"),
    "DATA.DAMAGED_VIDEO": ("refuse", "warn"),
    "DATA.SHORT_VIDEO": ("refuse", "warn"),
    "DATA.CLIP_CACHE_FORMAT": ("raw", "jpeg"),
    "AUG.ORDER": ("published", "resize_first"),
    "SSV2.SPLIT": ("standard", "ssv2_small", "ssv2_full"),
    "FEW_SHOT.PATCH_TOKENS_AGG": ("spatial", "temporal", "no_agg"),
    "FEW_SHOT.DIST_NORM": ("none", "max_div", "max_sub"),
    "FEW_SHOT.PROTOTYPE": ("published", "per_clip"),
    "POINT_INFO.SAMPLING_TYPE": ("cluster_sample", "random", "stratified", "hod", "hod_obj_id"),
    "POINT_INFO.COORDS": ("published", "centered"),
    "POINT_INFO.TRACK_DTYPE": ("auto", "float16", "float32"),
    "POINT_INFO.HOD.BINNING": ("published", "linear"),
    "SOLVER.LR_POLICY": ("cosine", "steps_with_relative_lrs"),
    "SOLVER.OPTIMIZING_METHOD": ("sgd", "adam", "adamw"),
    "WANDB.ENABLE": ("auto", "always", "never"),
}

_SYNONYMS = {
    "DATA.DECODING_BACKEND": {"torchvision": "pyav"},
    "WANDB.ENABLE": {"true": "always", "false": "never"},
}


def convert(key: str, value: Any, default: Any) -> Any:
    """Return ``value`` as option ``key`` wants it, whose type is that of ``default``.

    Lossless conversions only: an int for a float, "1e-4" (a string to YAML) for a float, 5.0 for an int,
    "true" for a bool, a tuple for a list; text from a command line is read by the option's type.

    Raises:
        ValueError: The value has another type, or is not among the option's choices.
    """
    try:
        if key in _SYNONYMS:
            value = _SYNONYMS[key].get(str(value).lower(), value)
        if key in OPTIONAL_FLOATS:
            converted = None if value is None or str(value).lower() in ("none", "null", "") else _scalar(value, float)
        elif key in LIST_ITEMS:
            converted = [_scalar(item, LIST_ITEMS[key]) for item in _sequence(value)]
        else:
            converted = _scalar(value, type(default))
    except (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError):  # as Python reads lists
        kind = type(value).__name__
        article = "an" if kind[0] in "aeiou" else "a"
        raise ValueError(f"{key} = {shown(value)} is {article} {kind}; expected {_expected(key, default)}.") from None
    most = MOST_INT.get(key, 2**31 - 1)
    for item in converted if isinstance(converted, list) else [converted]:
        if isinstance(item, int) and abs(item) > most:
            raise ValueError(f"{key} = {shown(value)} is beyond its maximum, {most}.")
    if key in CHOICES and converted not in CHOICES[key]:
        raise ValueError(f"{key} = {shown(converted)} is not offered; it is one of {', '.join(CHOICES[key])}."
                         f"{suggestion(converted, CHOICES[key])}")
    return converted


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


def _scalar(value: Any, kind: type) -> Any:
    if kind is bool and isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if kind is str and isinstance(value, str):
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        return value[1:-1] if quoted else value
    if kind in (bool, str) or isinstance(value, bool):
        if type(value) is not kind:
            raise ValueError
        return value
    number = float(value)
    if not math.isfinite(number) or (kind is int and not number.is_integer()):
        raise ValueError
    if kind is int and (isinstance(value, int) or re.fullmatch(r"[+-]?\d+", str(value))):
        return int(value)  # a float knows but 16 digits
    return kind(number)


def _sequence(value: Any) -> list:
    value = ast.literal_eval(value) if isinstance(value, str) else value
    if not isinstance(value, list | tuple):
        raise ValueError
    return list(value)


def _expected(key: str, default: Any) -> str:
    if key in OPTIONAL_FLOATS:
        return "float like 1.0, or None"
    if key in LIST_ITEMS:
        return f"a list of {LIST_ITEMS[key].__name__} like {[LIST_ITEMS[key](x) for x in (0, 20)]}"
    return f"{type(default).__name__} like {default!r}"
