"""Point files: trajectories of one video on disk.

Ours are safetensors: ``xy (T, N, 2)`` float32 in pixels, ``visibility (T, N)``, ``query_frame (N,)``, ``cluster (N,)``,
``frame (T,)`` and ``times (T,)`` (seconds) where known, and as metadata one JSON text ``trokens``: ``schema``,
``height``, ``width``, ``sum`` (a check sum of all else, compared when the file is read), and what the writer adds
(tracker, frame rate, ...). Files of earlier versions have no check sum. Published ones are pickles, see
`trokens.points.published`. Positions in float16 stay so, in either format (``Tracks.dtype``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from trokens.points import POINT_SUFFIXES
from trokens.points.pickles import dump_pickle, load_pickle
from trokens.points.published import KEYS, published_tensors, video_info
from trokens.runtime.files import write_bytes
from trokens.runtime.tensors import check_sum
from trokens.structures import Tracks, check_shape

SCHEMA = 1
_LONGEST_SIDE = 2**25  # of a frame, in pixels, were it a single row
_LARGEST = 2**53  # from where on floating point has no fractions


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


class _Damaged(ValueError):
    """A file holds something else than was written into it."""


def write_tracks(path: str | os.PathLike, tracks: Tracks, metadata: dict[str, str] | None = None, *,
                 times: Tensor | None = None) -> None:
    """Write a point file of the format that its suffix names: whole, or not at all; equal content is equal bytes.

    Args:
        path: File to write, ``.safetensors`` or ``.pkl``; its folder is made.
        tracks: The trajectories.
        metadata: Further text to keep with them.
        times: Time stamp of every position in seconds, (T,).

    Raises:
        ValueError: Another suffix.
    """
    path = _known(path)
    tensors = {"xy": tracks.xy.to(tracks.dtype), "visibility": tracks.visibility.bool(),
               "query_frame": tracks.query_frame.long(), "cluster": tracks.cluster.long()}
    if tracks.frame is not None:
        tensors["frame"] = tracks.frame.long()
    if times is not None:
        tensors["times"] = times.double()
    tensors = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    text = {key: value for key, value in (metadata or {}).items() if key != "sum"} | {"schema": str(SCHEMA)}
    if tracks.size is not None:
        text["height"], text["width"] = map(str, tracks.size)
    text["sum"] = _content_sum(tensors, text)
    # One sorted text: safetensors writes several keys in an order of its own, and equal content is to be equal bytes.
    text = {"trokens": json.dumps(text, sort_keys=True)}
    if path.suffix == ".pkl":
        data = dump_pickle({KEYS.get(name, name): x for name, x in tensors.items()} | text)
    else:
        data = save(tensors, text)
    write_bytes(path, data)


def read_tracks(path: str | os.PathLike, obj_id_key: str = "obj_ids") -> Tracks:
    """Read the trajectories of a point file, see `read_point_file`."""
    return read_point_file(path, obj_id_key).tracks


def read_point_file(path: str | os.PathLike, obj_id_key: str = "obj_ids") -> PointFile:
    """Read a point file of either format.

    Args:
        path: A ``.safetensors`` or ``.pkl`` file. A pickle is read without executing anything in it.
        obj_id_key: Key of the cluster ids in a pickle.

    Returns:
        Its content. In a pickle without query frames every point counts from position 0.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is broken, damaged, unsafe, of a newer schema, or lacks a key; the message names it.
    """
    path = _known(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file." if os.path.lexists(path) else f"No point file {path}.")
    is_pickle = path.suffix == ".pkl"
    pickled = load_pickle(path) if is_pickle else {}
    try:
        if not is_pickle:
            return _point_file(*_load(path))
        tensors, own_cluster = published_tensors(pickled, obj_id_key)
        file = _point_file(tensors, pickled, own_cluster)
        file.metadata.update(video_info(pickled))
        return file
    except _Damaged as error:
        own = "; one that was changed on purpose has to lose its 'trokens' text" if is_pickle else ""
        raise ValueError(f"{path} is damaged: its content does not match its check sum; delete it and extract its "
                         f"video again, or fetch it again{own}.") from error
    except KeyError as error:
        if not is_pickle:
            raise ValueError(f"{path} is no point file of schema {SCHEMA}: it lacks {error}.") from error
        keys = ", ".join([name[:50] for name in pickled][:10] + ["..."] * (len(pickled) > 10)) or "nothing"
        if error.args[0] != obj_id_key:
            raise ValueError(f"{path} has no {error}, only {keys}; give a published point file.") from error
        raise ValueError(f"obj_id_key is {error}, and {path} has no such key, only {keys}; name that of its cluster "
                         "ids.") from error
    except SafetensorError as error:
        raise _not_whole(path, error) from error
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:  # the last: types of few bits, deep text
        problem = "is no point file" if is_pickle else "cannot be read"
        raise ValueError(f"{path} {problem}: {str(error).rstrip('.')}.") from error


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """Read what the writer of a point file of ours said of it, without the points where the format allows it.

    Returns:
        As ``PointFile.metadata``; {} for a published file.

    Raises:
        ValueError, OSError: The file cannot be read.
    """
    path = _known(path)
    if path.suffix == ".pkl":
        return _metadata(load_pickle(path))
    try:
        with safe_open(path, framework="np") as file:
            return _metadata(file.metadata() or {})
    except SafetensorError as error:
        raise _not_whole(path, error) from error


def _known(path: str | os.PathLike) -> Path:
    path = Path(path)
    if path.suffix not in POINT_SUFFIXES:
        raise ValueError(f"{path} is no point file: its suffix is none of {', '.join(POINT_SUFFIXES)}.")
    return path


def _not_whole(path: Path, error: SafetensorError) -> ValueError:
    cause = str(error).rpartition("deserializing header: ")[2].rstrip(".") if os.path.getsize(path) else "it is empty"
    return ValueError(f"{path} cannot be read: it is no whole safetensors file ({cause}); delete it and extract its "
                      "video again, or fetch it again.")


def _load(path: Path, framework: str = "np") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the texts of a safetensors file; by way of numpy in half the time."""
    try:
        with safe_open(path, framework=framework) as file:
            arrays, texts = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except (TypeError, AttributeError):  # numbers that numpy does not know, such as bfloat16
        if framework == "pt":
            raise
        return _load(path, "pt")
    return {name: torch.as_tensor(x) for name, x in arrays.items()}, texts or {}


def _point_file(tensors: dict[str, Tensor], texts: Mapping[str, Any], own_cluster: Tensor | None = None) -> PointFile:
    """Put together what either format holds.

    Args:
        tensors: By our names.
        texts: The metadata, among whatever else.
        own_cluster: The clusters that were written, where others may be used.

    Raises:
        _Damaged: The check sum is another one.
        KeyError, ValueError: A tensor is missing, shapes do not fit, or the schema is newer.
    """
    metadata = _metadata(texts)
    if (schema := _number(metadata, "schema")) > SCHEMA:
        raise ValueError(f"its schema is {schema}, and this version reads up to {SCHEMA}; update Trokens")
    if (written := metadata.pop("sum", None)) is not None:
        try:
            now = _content_sum(tensors if own_cluster is None else tensors | {"cluster": own_cluster}, metadata)
        except TypeError as error:  # a type of numbers that nobody wrote
            raise _Damaged from error
        if written != now:
            raise _Damaged
    metadata.pop("schema", None)
    size = None
    if {"height", "width"} <= metadata.keys():
        size = _number(metadata, "height"), _number(metadata, "width")
        del metadata["height"], metadata["width"]
        if min(size) < 1 or max(size) > _LONGEST_SIDE:
            raise ValueError(f"its frames are {size[1]} x {size[0]} pixels; extract it again")
    names = ("xy", "visibility", "query_frame", "cluster", "frame")
    own = {name: _sound(name, tensors[name]) for name in names if name in tensors}
    dtype = torch.float16 if own["xy"].dtype == torch.float16 else torch.float32
    frame = own["frame"].long() if "frame" in own else None
    tracks = Tracks(own["xy"].float(), own["visibility"] > 0.5, own["query_frame"].long(), own["cluster"].long(),
                    size, frame, dtype)
    times = tensors.get("times")
    if times is not None:
        check_shape("times", times, "T", {"T": tracks.num_positions})
    return PointFile(tracks, metadata, times)


def _metadata(texts: Mapping[str, Any]) -> dict[str, Any]:
    """What a file's writer said, of all the texts in it; {} where that is nothing.

    Raises:
        _Damaged: It stands under another key than ours.
        ValueError: It is no JSON object.
    """
    if "trokens" not in texts:
        others = {id(text): text for text in texts.values() if isinstance(text, str)}  # each once, however often
        if any('"schema"' in text for text in others.values()):
            raise _Damaged
        return {}
    text = texts["trokens"]
    try:
        metadata = json.loads(text) if isinstance(text, str) else None
    except RecursionError:  # brackets without end
        metadata = None
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no JSON object")
    return metadata


def _number(metadata: Mapping[str, Any], key: str) -> int:
    value = str(metadata.get(key, 0))
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise ValueError(f"its {key} is '{value[:50]}'; expected a whole number of at most 18 digits; extract it again")
    return int(value)


def _content_sum(tensors: Mapping[str, Tensor], text: Mapping[str, str]) -> str:
    """Of all that a point file holds: 16 hex digits."""
    names = sorted(tensors)
    kinds = [(name, str(tensors[name].dtype), tensors[name].shape) for name in names]
    about = json.dumps([text, kinds], sort_keys=True)
    return f"{check_sum(*(tensors[name].numpy() for name in names), about=about):016x}"


def _sound(name: str, x: Tensor) -> Tensor:
    """Check a tensor's numbers: positions may be NaN, nothing else; visibility may be a share, all others are whole."""
    if x.is_complex() or (name == "xy" and x.dtype == torch.bool):
        raise ValueError(f"its {name} has numbers of the type {x.dtype}; extract it again")
    if name == "xy" or not x.is_floating_point():
        return x
    if not x.isfinite().all():
        raise ValueError(f"its {name} has numbers that are not finite; extract it again")
    if name != "visibility" and not ((x == x.trunc()) & (x.abs() < _LARGEST)).all():
        raise ValueError(f"its {name} has numbers that are not whole; extract it again")
    return x
