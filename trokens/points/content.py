"""What a point file holds, whatever its format, and the check sum of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trokens.runtime.tensors import check_sum, not_finite
from trokens.structures import Tracks, check_shape

SCHEMA = 1
_LONGEST_SIDE = 2**25  # of a frame, in pixels, were it a single row
_LARGEST = 2**53  # from where on floating point has no fractions


class Damaged(ValueError):
    """A file holds something else than was written into it."""


class PointFile(NamedTuple):
    """What a point file holds.

    Attributes:
        tracks: The trajectories.
        metadata: What its writer said (tracker, frame rate, ...); ``vid_info.height`` and the like of a published file.
        times: Time stamp of every position in seconds, (T,) float64; None where unknown.
    """

    tracks: Tracks
    metadata: dict[str, str]
    times: Tensor | None


def metadata_text(content: Mapping[str, Any]) -> str:
    """The JSON text of a file's metadata; "{}" where it has none.

    Raises:
        Damaged: It stands under another key than ours.
    """
    texts = {id(text): text for text in content.values() if isinstance(text, str)}  # each once, however often it comes
    if "trokens" not in content and any('"schema"' in text for text in texts.values()):
        raise Damaged
    return content.get("trokens", "{}")


def parse_metadata(text: str) -> dict[str, Any]:
    """Read that text.

    Raises:
        ValueError: It is no JSON object.
    """
    try:
        metadata = json.loads(text) if isinstance(text, str) else None
    except RecursionError:  # brackets without end
        metadata = None
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no JSON object")
    return metadata


def content_sum(tensors: Mapping[str, Tensor], text: Mapping[str, str]) -> str:
    """Of all that a point file holds: 16 hex digits."""
    names = sorted(tensors)
    kinds = [(name, str(tensors[name].dtype), tensors[name].shape) for name in names]
    about = json.dumps([text, kinds], sort_keys=True)
    return f"{check_sum(*(tensors[name].numpy() for name in names), about=about):016x}"


def point_file(tensors: dict[str, Tensor], text: str, cluster: Tensor | None = None) -> PointFile:
    """Put together what either format holds under the names of ours.

    Args:
        tensors: By name.
        text: The metadata.
        cluster: The clusters that were written, where others are to be used.

    Raises:
        Damaged: The check sum is another one.
        KeyError, ValueError: A tensor is missing, shapes do not fit, or the schema is newer.
    """
    metadata = parse_metadata(text)
    schema = _number(metadata, "schema")
    if schema > SCHEMA:
        raise ValueError(f"its schema is {schema}, and this version reads up to {SCHEMA}; update Trokens")
    written, all_written = metadata.pop("sum", None), tensors if cluster is None else tensors | {"cluster": cluster}
    try:
        if written is not None and written != content_sum(all_written, metadata):
            raise Damaged
    except TypeError as error:  # a type of numbers that nobody wrote
        raise Damaged from error
    metadata.pop("schema", None)
    size = None
    if {"height", "width"} <= metadata.keys():
        size = _number(metadata, "height"), _number(metadata, "width")
        del metadata["height"], metadata["width"]
        if min(size) < 1 or max(size) > _LONGEST_SIDE:
            raise ValueError(f"its frames are {size[1]} x {size[0]} pixels; extract it again")
    times = tensors.get("times")
    dtype = torch.float16 if tensors["xy"].dtype == torch.float16 else torch.float32
    tracks = Tracks(_real("xy", tensors).float(), _real("visibility", tensors) > 0.5, _whole("query_frame", tensors),
                    _whole("cluster", tensors), size, _whole("frame", tensors) if "frame" in tensors else None, dtype)
    if times is not None:
        check_shape("times", times, "T", {"T": tracks.num_positions})
    return PointFile(tracks, metadata, times)


def _number(metadata: Mapping[str, Any], key: str) -> int:
    """A whole number of the metadata, 0 where it is not there."""
    value = metadata.get(key, 0)
    if not re.fullmatch(r"-?[0-9]{1,18}", str(value)):
        raise ValueError(f"its {key} is '{str(value)[:50]}'; expected a whole number of at most 18 digits; extract it "
                         "again")
    return int(value)


def _real(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """Numbers of which more or less can be said; positions may be NaN, nothing else."""
    x = tensors[name]
    if x.is_complex() or (name == "xy" and x.dtype == torch.bool):
        raise ValueError(f"its {name} has numbers of the type {x.dtype}; extract it again")
    if name != "xy" and not_finite([(name, x)]):
        raise ValueError(f"its {name} has numbers that are not finite; extract it again")
    return x


def _whole(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    x = _real(name, tensors)
    if x.is_floating_point() and not ((x == x.trunc()) & (x.abs() < _LARGEST)).all():
        raise ValueError(f"its {name} has numbers that are not whole; extract it again")
    return x.long()
