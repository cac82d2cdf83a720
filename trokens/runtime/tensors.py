"""Files of tensors that can be trusted: check sums that hold, numbers that are finite."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
import xxhash
from numpy import ndarray
from torch import Tensor

from trokens.runtime.torch_pickle import check_torch_file

logger = logging.getLogger(__name__)


def read_torch_file(path: str | Path, *, mapped: bool = False) -> Any:
    """Read what ``torch.save`` wrote, without executing anything in it; onto the CPU.

    torch compares no check sums, so they are compared here: half a second for a GB. Its format before 1.6 has none,
    which one line says, unless the file's name ends in the first digits of its SHA-256 (net-57934424.pth of torch.hub).

    Args:
        path: The file.
        mapped: Leave the tensors on the disk until they are used, where the format allows it.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is damaged, or holds more than tensors and plain values; the message is the cause alone.
    """
    open(path, "rb").close()  # a file that may not be read is not a damaged one
    try:
        check_torch_file(path)
        if is_zip := zipfile.is_zipfile(path):
            _compare_check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=(mapped and is_zip) or None)
    except Exception as error:  # reading damaged bytes may end in any error
        # torch says before and after the cause how to run what is in the file.
        cause = str(error).partition("\n\nCheck the documentation")[0].strip().rpartition("\n")[2].strip().rstrip(".")
        kind = "" if type(error) in (ValueError, UnpicklingError) else type(error).__name__
        raise ValueError(": ".join(filter(None, (kind, cause[:300])))) from error
    if not (is_zip or _is_named_by_content(path)):
        logger.info("%s has PyTorch's old format, which keeps no check sums: damage to it may go unnoticed.", path)
    return content


def _is_named_by_content(path: str | Path) -> bool:
    """Whether the digits at the end of a file's name are the first ones of its SHA-256; a date is not."""
    named = re.search(r"-([0-9a-f]{8,64})\.pth?$", str(path))
    return named is not None and hashlib.sha256(Path(path).read_bytes()).hexdigest().startswith(named[1])


def _compare_check_sums(path: str | Path) -> None:
    """Compare the check sum of every record of a zip file; where none was kept they are all 0."""
    with zipfile.ZipFile(path) as file:
        if any(record.CRC for record in file.infolist()) and (name := file.testzip()):
            raise ValueError(f"its record {name.rpartition('/')[2]} does not match its check sum")


def check_sum(*parts: ndarray, about: str = "") -> int:
    """63 bits that follow from the bytes of arrays, their order, and a text: at 20 GB/s, a CRC takes 3."""
    digest = xxhash.xxh3_64(about.encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8))
    return digest.intdigest() >> 1  # fits into a signed number, as tensors hold them


def tensors_in(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dicts and lists, each with its keys joined by dots."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping | list | tuple):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from tensors_in(item, f"{name}.{key}" if name else str(key))


def not_finite(tensors: Iterable[tuple[str, Tensor]], most: float = math.inf) -> list[str]:
    """Names of the tensors that hold a NaN, an infinity, or a number of magnitude ``most`` or more.

    They are looked at as fast as the memory is read, and those of one device are waited for once.
    """
    by_device: dict[torch.device, list[tuple[str, Tensor]]] = defaultdict(list)
    for name, x in tensors:
        if x.is_floating_point() and x.numel():
            by_device[x.device].append((name, x.half() if x.itemsize == 1 else x))  # 8 bits have no aminmax
    found = []
    for some in by_device.values():
        extremes = torch.stack([torch.stack(x.detach().aminmax()).double() for _, x in some])  # NaN where there is one
        sound = (extremes.abs() < most).all(1).tolist()
        found += [name for (name, _), is_sound in zip(some, sound, strict=True) if not is_sound]
    return found
