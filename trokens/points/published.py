"""How a published point file, a pickle, names and shapes what one of ours holds.

``pred_tracks (L, M, 2)``, float16 as a rule, ``pred_visibility (L, M)``, ``obj_ids (M,)``, ``point_queries (M,)``; the
data card also names ``vid_info``, a dict of ``fps``, ``height`` and the like, which becomes metadata. The published
loader asks for the query frames under another name, ``per_point_queries``, and finds none; pickles written here have
the extractor's name only, so that its numbers stay what they were. What else a file of ours holds goes into the pickle
under its own name; the published loader reads by name and does not look there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

KEYS = {"xy": "pred_tracks", "visibility": "pred_visibility", "cluster": "obj_ids", "query_frame": "point_queries"}
_QUERY_KEYS = ("point_queries", "per_point_queries")


def published_tensors(content: dict[str, Any], obj_id_key: str) -> tuple[dict[str, Tensor], Tensor]:
    """What a pickle holds, under our names and in our shapes, and the clusters that its writer saw.

    Args:
        content: Of the pickle.
        obj_id_key: Where its cluster ids are; the writer's own are at ``obj_ids``, if anywhere.

    Raises:
        KeyError: It lacks a key.
        ValueError, TypeError: What it holds are no numbers, or their shapes do not fit.
    """
    xy, visibility, cluster = (_numbers(content[key]) for key in (KEYS["xy"], KEYS["visibility"], obj_id_key))
    query_key = next((key for key in _QUERY_KEYS if content.get(key) is not None), None)
    num_positions, num_points = xy.shape[-3:-1]
    query_frame = np.zeros(num_points) if query_key is None else _numbers(content[query_key])
    arrays = {
        "xy": _shaped(xy, (num_positions, num_points, 2)).astype(np.float16 if xy.dtype == np.float16 else np.float32),
        "visibility": _shaped(visibility, (num_positions, num_points)).copy(),
        "query_frame": _shaped(query_frame, (num_points,)).copy(),
        "cluster": _shaped(cluster, (num_points,)).copy(),
    }
    if "trokens" in content:  # else such names are somebody else's
        arrays |= {name: _numbers(content[name]).copy() for name in ("frame", "times") if name in content}
    tensors = {name: torch.from_numpy(x) for name, x in arrays.items()}
    if KEYS["cluster"] not in content:
        return tensors, tensors["cluster"]
    return tensors, torch.from_numpy(_numbers(content[KEYS["cluster"]]).copy())


def video_info(content: dict[str, Any]) -> dict[str, str]:
    """What a pickle says of its video: a few numbers and words, so that no copy of them can be large."""
    info = content.get("vid_info")
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
