"""Arrays of numbers in an ``.npz`` file that anybody may have written: a small file asks for no more than it may."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Collection
from typing import IO

import numpy as np

MAX_BYTES = 2**28  # of a file's arrays together: 10,000 points through 2,000 frames in float64

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(path: str | os.PathLike, names: Collection[str],
                optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read arrays of numbers by their names; what else the file holds is left alone.

    Args:
        path: What ``numpy.savez`` or ``savez_compressed`` wrote.
        names: Arrays that it has to hold.
        optional: Arrays that it may hold.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no such file, lacks an array, or its arrays take more than MAX_BYTES; the message names it.
    """
    try:
        with zipfile.ZipFile(path) as file:
            there = {name.removesuffix(".npy"): file.getinfo(name) for name in file.namelist() if name.endswith(".npy")}
            if lacking := [name for name in names if name not in there]:
                raise ValueError(f"it has no '{lacking[0]}', only {', '.join(list(there)[:10]) or 'nothing'}")
            wanted = [name for name in (*names, *optional) if name in there]
            if (size := sum(there[name].file_size for name in wanted)) > MAX_BYTES:
                raise ValueError(f"its arrays take {size >> 20} MiB, more than {MAX_BYTES >> 20}")
            arrays = {}
            for name in wanted:
                with file.open(there[name]) as entry:
                    arrays[name] = _read(entry, name, there[name].file_size)
            return arrays
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, KeyError) as error:
        cause = str(error).partition("\n")[0].rstrip(".") if os.path.getsize(path) else "it is empty"
        raise ValueError(f"{path} cannot be read: {cause}; write it anew with numpy.savez.") from error


def _read(entry: IO[bytes], name: str, size: int) -> np.ndarray:
    version = np.lib.format.read_magic(entry)
    if version not in _HEADERS:
        raise ValueError(f"'{name}' has numpy's format {version[0]}.{version[1]}, which numbers do not need")
    shape, fortran, dtype = _HEADERS[version](entry)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"'{name}' holds {dtype}, not numbers")
    data = entry.read(size)
    if len(data) != (needed := math.prod(shape) * dtype.itemsize):
        raise ValueError(f"'{name}' of shape {shape} takes {needed} bytes, and {len(data)} are there")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))
