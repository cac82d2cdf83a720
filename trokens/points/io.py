"""Point files: trajectories of one video on disk.

Ours are safetensors: ``xy (T, N, 2)`` float32 in pixels, ``visibility (T, N)``, ``query_frame (N,)``, ``cluster (N,)``,
``frame (T,)`` and ``times (T,)`` (seconds) where known, and as metadata one JSON text ``trokens``: ``schema``,
``height``, ``width``, ``sum`` (a check sum of all else, compared when the file is read), and what the writer adds
(tracker, frame rate, ...). Files of earlier versions have no check sum.

Published ones are pickles: ``pred_tracks (L, M, 2)``, float16 as a rule, ``pred_visibility (L, M)``, ``obj_ids (M,)``,
``point_queries (M,)``; their data card also names ``vid_info``, a dict of ``fps``, ``height`` and the like, which
becomes metadata. The published loader asks for the query frames under another name, ``per_point_queries``, and finds
none; pickles written here have the extractor's name only, so that its numbers stay what they were. What else a file of
ours holds goes into the pickle under its own name; the published loader reads by name and does not look there.
Positions in float16 stay so, in either format (``Tracks.dtype``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from trokens.points import POINT_SUFFIXES
from trokens.points.content import SCHEMA, Damaged, PointFile, content_sum, metadata_text, parse_metadata, point_file
from trokens.points.pickles import dump_pickle, load_pickle
from trokens.runtime.files import write_bytes
from trokens.structures import Tracks

_QUERY_KEYS = ("point_queries", "per_point_queries")
_PICKLE_KEYS = {"xy": "pred_tracks", "visibility": "pred_visibility", "cluster": "obj_ids",
                "query_frame": _QUERY_KEYS[0]}


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
    text["sum"] = content_sum(tensors, text)
    # One sorted text: safetensors writes several keys in an order of its own, and equal content is to be equal bytes.
    text = {"trokens": json.dumps(text, sort_keys=True)}
    if path.suffix == ".pkl":
        data = dump_pickle({_PICKLE_KEYS.get(name, name): x for name, x in tensors.items()} | text)
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
    try:
        return _read_pickle(path, obj_id_key) if path.suffix == ".pkl" else _read_safetensors(path)
    except Damaged as error:
        own = "; one that was changed on purpose has to lose its 'trokens' text" if path.suffix == ".pkl" else ""
        raise ValueError(f"{path} is damaged: its content does not match its check sum; delete it and extract its "
                         f"video again, or fetch it again{own}.") from error


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """Read what the writer of a point file of ours said of it, without the points where the format allows it.

    Returns:
        As ``PointFile.metadata``; {} for a published file.

    Raises:
        ValueError, OSError: The file cannot be read.
    """
    path = _known(path)
    if path.suffix == ".pkl":
        return parse_metadata(metadata_text(load_pickle(path)))
    try:
        with safe_open(path, framework="np") as file:
            return parse_metadata(metadata_text(file.metadata() or {}))
    except SafetensorError as error:
        raise _not_whole(path, error) from error


def _not_whole(path: Path, error: SafetensorError) -> ValueError:
    cause = str(error).rpartition("deserializing header: ")[2].rstrip(".") if os.path.getsize(path) else "it is empty"
    return ValueError(f"{path} cannot be read: it is no whole safetensors file ({cause}); delete it and extract its "
                      "video again, or fetch it again.")


def _known(path: str | os.PathLike) -> Path:
    path = Path(path)
    if path.suffix not in POINT_SUFFIXES:
        raise ValueError(f"{path} is no point file: its suffix is none of {', '.join(POINT_SUFFIXES)}.")
    return path


def _read_safetensors(path: Path) -> PointFile:
    try:
        text, tensors = _load(path)
        return point_file(tensors, text)
    except Damaged:
        raise
    except KeyError as error:
        raise ValueError(f"{path} is no point file of schema {SCHEMA}: it lacks {error}.") from error
    except SafetensorError as error:
        raise _not_whole(path, error) from error
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:  # the last for types of a few bits
        raise ValueError(f"{path} cannot be read: {str(error).rstrip('.')}.") from error


def _load(path: Path, framework: str = "np") -> tuple[str, dict[str, Tensor]]:
    """The metadata and the tensors of a safetensors file; by way of numpy in half the time."""
    try:
        with safe_open(path, framework=framework) as file:
            content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no Mapping
            text = metadata_text(file.metadata() or {})
    except (TypeError, AttributeError):  # numbers that numpy does not know, such as bfloat16
        if framework == "pt":
            raise
        return _load(path, "pt")
    return text, {name: torch.as_tensor(value) for name, value in content.items()}


def _read_pickle(path: Path, obj_id_key: str) -> PointFile:
    content = load_pickle(path)
    for key in ("pred_tracks", "pred_visibility", obj_id_key):
        if key not in content:
            keys = [name[:50] for name in content][:10] + ["..."] * (len(content) > 10)
            raise ValueError(f"{path} has no '{key}', only {', '.join(keys) or 'nothing'}; POINT_INFO.OBJ_ID_KEY names "
                             "the cluster ids.")
    query_key = next((key for key in _QUERY_KEYS if content.get(key) is not None), None)
    try:
        xy = _numbers(content["pred_tracks"])
        num_positions, num_points = xy.shape[-3:-1]
        visibility = _shaped(_numbers(content["pred_visibility"]), (num_positions, num_points))
        query_frame = np.zeros(num_points) if query_key is None else _numbers(content[query_key])
        arrays = {
            "xy": _shaped(xy, (num_positions, num_points, 2)).astype(
                np.float16 if xy.dtype == np.float16 else np.float32),
            "visibility": visibility.copy(),
            "query_frame": _shaped(query_frame, (num_points,)).copy(),
            "cluster": _shaped(_numbers(content[obj_id_key]), (num_points,)).copy(),
        }
        if "trokens" in content:  # else such names are somebody else's
            arrays |= {name: _numbers(content[name]).copy() for name in ("frame", "times") if name in content}
        tensors = {name: torch.from_numpy(x) for name, x in arrays.items()}
        written = torch.from_numpy(_numbers(content[_PICKLE_KEYS["cluster"]]).copy()) if (
            _PICKLE_KEYS["cluster"] in content) else tensors["cluster"]
        file = point_file(tensors, metadata_text(content), cluster=written)
        file.metadata.update(_video_info(content.get("vid_info")))
        return file
    except Damaged:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # the last for deep metadata
        raise ValueError(f"{path} is no point file: {str(error).rstrip('.')}.") from error


def _video_info(info: Any) -> dict[str, str]:
    """What a published file says of its video: a few numbers and words, so that no copy of them can be large."""
    if not isinstance(info, dict):
        return {}
    words = {f"vid_info.{key}": str(x) for key, x in info.items() if isinstance(x, int | float | str)}
    if len(words) > 100 or max(map(len, [*words, *words.values()]), default=0) > 1000:
        raise ValueError("its vid_info is no description of a video")
    return words


def _numbers(value: Any) -> np.ndarray:
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):  # no nested lists
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise ValueError("it holds something else where numbers belong")
    return value.astype(value.dtype.newbyteorder("="), copy=False)


def _shaped(x: np.ndarray, want: tuple[int, ...]) -> np.ndarray:
    """Drop or add dimensions of size 1 (a batch of one, a channel)."""
    if [n for n in x.shape if n != 1] != [n for n in want if n != 1]:
        raise ValueError(f"an array of shape {x.shape} does not fit {want}")
    return x.reshape(want)

