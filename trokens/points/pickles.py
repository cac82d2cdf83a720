"""Published point files are pickles from the internet, and so are TAP-Vid's: read their arrays, execute nothing.

Unpickling here builds dicts, lists, strings, numbers and arrays only, at a cost that follows from the file's size
(``trokens.runtime.unpickle``). Every global that a pickle names is replaced by a function of this file that checks its
arguments, or refused. Tensors come out as numpy arrays.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trokens.runtime.unpickle import BoundedUnpickler, Budget, are_sizes, cause_of, last_element

MAX_BYTES = 2**30  # of a point file, and of all arrays in it together; those of a long video take about 100 MB
_STORAGES = {"DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8",
             "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?"}
_LONGEST_STATE = 9  # that of a dtype


class _Unpickler(BoundedUnpickler):
    """Calls what is in ``allowed``, and fills the stand-ins of numpy's dtypes and arrays."""

    def __init__(self, file: io.BytesIO, budget: Budget, allowed: Mapping[tuple[str, str], Any]):
        super().__init__(file, budget)
        self.allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        return self.allowed[module, name] if (module, name) in self.allowed else super().find_class(module, name)

    def call(self, function: Any, arguments: tuple) -> Any:
        return function(*arguments) if callable(function) else super().call(function, arguments)

    def build(self, made: Any, state: Any) -> None:
        if not isinstance(made, _Dtype | _Array):
            super().build(made, state)
        if not isinstance(state, tuple) or len(state) > _LONGEST_STATE:
            raise pickle.UnpicklingError("it holds an array of an unknown format")
        made.fill(*state)


@dataclass(frozen=True, eq=False)
class _Storage:
    """The numbers that tensors are views of."""

    numbers: np.ndarray

    def __reduce__(self) -> tuple:
        # torch's legacy format as torch writes it, but for the storage's key: there it is an address in memory, and
        # the same content is to give the same bytes.
        file, version = io.BytesIO(), torch.serialization.PROTOCOL_VERSION
        system = {"protocol_version": version, "little_endian": sys.byteorder == "little",
                  "type_sizes": {"short": 2, "int": 4, "long": 4}}
        for head in (torch.serialization.MAGIC_NUMBER, version, system):
            pickle.dump(head, file, protocol=2)
        _StoragePickler(file, protocol=2).dump(self)
        pickle.dump(["0"], file, protocol=2)
        file.write(len(self.numbers).to_bytes(8, sys.byteorder) + self.numbers.tobytes())
        return torch.storage._load_from_bytes, (file.getvalue(),)


class _StoragePickler(pickle.Pickler):
    def persistent_id(self, storage: Any) -> tuple | None:
        if not isinstance(storage, _Storage):
            return None
        kind = next(name for name, dtype in _STORAGES.items() if storage.numbers.dtype == dtype)
        return ("storage", getattr(torch, kind), "0", "cpu", len(storage.numbers), None)


@dataclass(frozen=True, eq=False)
class _Tensor:
    """Pickles as a tensor does, but that equal tensors give equal bytes."""

    array: np.ndarray

    def __reduce__(self) -> tuple:
        strides = tuple(step // self.array.itemsize for step in self.array.strides)
        return torch._utils._rebuild_tensor_v2, (_Storage(self.array.reshape(-1)), 0, self.array.shape, strides, False,
                                                 OrderedDict())


class _Dtype:
    """Stands for ``numpy.dtype``: a plain number type."""

    def __init__(self, name: str, *_align_copy: bool):
        if type(name) is not str or len(name) > 20:
            raise pickle.UnpicklingError("it holds an array of what is no type")
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biuf" or self.dtype.itemsize > 8:
            raise pickle.UnpicklingError(f"it holds an array of {self.dtype}")

    def fill(self, _version: int, byte_order: str, *_fields: Any) -> None:
        if byte_order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("it holds numbers of an unknown byte order")
        self.dtype = self.dtype.newbyteorder(byte_order)


class _Array:
    """Stands for ``numpy.ndarray``, which is made empty and filled afterward."""

    array: np.ndarray | None = None

    def fill(self, _version: int, shape: tuple, dtype: _Dtype, fortran: bool, data: bytes) -> None:
        if not are_sizes(shape) or type(dtype) is not _Dtype or type(data) is not bytes:
            raise pickle.UnpicklingError("it holds an array of an unknown format")
        self.array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran is True else "C")


class _Reader:
    """The functions that a pickle may call.

    Args:
        num_bytes: Size of the file. Texts made into bytes have no more together, and tensors, which may be views that
            repeat their numbers, not many times more.
        max_bytes: Most that the tensors may have.
        budget: What reading the file may cost.
    """

    def __init__(self, num_bytes: int, max_bytes: int, budget: Budget) -> None:
        self.max_bytes = self.left = min(max_bytes, 16 * num_bytes + 2**20)
        self.text_left, self.budget = num_bytes, budget
        self.allowed = {
            ("collections", "OrderedDict"): lambda: {},  # noqa: PIE807 -- dict would take arguments
            ("_codecs", "encode"): self.encode,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch.storage", "_load_from_bytes"): self.storage,
            ("numpy", "ndarray"): "ndarray",  # only ever an argument
            ("numpy", "dtype"): _Dtype,
        }
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            self.allowed[module, "_reconstruct"] = lambda *_class_shape_type: _Array()
            self.allowed[module, "scalar"] = self.scalar

    def scalar(self, dtype: _Dtype, data: bytes) -> float | int | bool:
        if type(dtype) is not _Dtype or type(data) is not bytes:
            raise pickle.UnpicklingError("it holds a number of an unknown format")
        return np.frombuffer(data, dtype.dtype, 1)[0].item()

    def encode(self, text: str, encoding: str) -> bytes:
        if type(text) is not str or encoding != "latin1":
            raise pickle.UnpicklingError("it encodes text otherwise than as latin1")
        self.text_left -= len(text)
        if self.text_left < 0:
            raise pickle.UnpicklingError("it encodes the same text again and again")
        return text.encode("latin1")

    def storage(self, data: bytes) -> _Storage:
        """Read what torch's legacy format makes of a storage: four pickles, the storage's key, its numbers."""
        if type(data) is not bytes:
            raise pickle.UnpicklingError("it holds a storage of an unknown format")
        file = io.BytesIO(data)
        for _magic_version_system in range(3):
            _Unpickler(file, self.budget, {}).load()
        unpickler = _Unpickler(file, self.budget, {("torch", name): dtype for name, dtype in _STORAGES.items()})
        unpickler.persistent_load = lambda pid: pid  # type: ignore[method-assign]
        pid = unpickler.load()
        match pid:
            case ("storage", dtype, _key, _device, int(count), None) if dtype in _STORAGES.values():
                _Unpickler(file, self.budget, {}).load()  # the key once more
            case _:
                raise pickle.UnpicklingError("it holds a storage of an unknown format")
        start = file.tell() + 8
        if start + count * np.dtype(dtype).itemsize != len(data):
            raise pickle.UnpicklingError(f"it holds a storage of {count} numbers in {len(data) - start} bytes")
        return _Storage(np.frombuffer(data, dtype, count, start))

    def tensor(self, storage: _Storage, offset: int, size: tuple, stride: tuple, *_flags: Any) -> np.ndarray:
        """View ``storage`` as its arguments say, which count elements."""
        if type(storage) is not _Storage:
            raise pickle.UnpicklingError("it holds a tensor without numbers")
        numbers = storage.numbers
        if not (are_sizes(size) and are_sizes(stride) and are_sizes((offset,)) and len(size) == len(stride)):
            raise pickle.UnpicklingError("it holds a tensor whose size, stride or offset is no natural number")
        self.left -= math.prod(size) * numbers.itemsize
        if self.left < 0:
            raise pickle.UnpicklingError(f"its tensors need more than {self.max_bytes / 2**20:.0f} MiB")
        if 0 in size:
            return np.empty(size, numbers.dtype)
        last = last_element(offset, size, stride)
        if last >= len(numbers):
            raise pickle.UnpicklingError(f"it holds a tensor that reaches element {last} of {len(numbers)}")
        strides = [step * numbers.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(numbers[offset:], size, strides, writeable=False)


def load_pickle(path: str | os.PathLike) -> dict[str, Any]:
    """Read a point file: a pickled dict of torch tensors, numpy arrays, numbers, strings, lists.

    Returns:
        The dict, its tensors as read-only numpy arrays.

    Raises:
        ValueError: The file is no such pickle, asks for anything else, or needs more than MAX_BYTES.
    """
    content = load_nested(path, "point file", MAX_BYTES)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no point file: it holds a {type(content).__name__}, not a dict.")
    return content


def load_nested(path: str | os.PathLike, kind: str, max_bytes: int) -> Any:
    """Read pickled lists and dicts of the same, to any depth, in about twice the file's size of memory.

    Args:
        path: The file.
        kind: What it shall be, for messages.
        max_bytes: Most that the file, and the arrays in it together, may have.

    Raises:
        ValueError: The file is no such pickle, asks for anything else, or needs more than ``max_bytes``.
    """
    size = os.path.getsize(path)
    if size > max_bytes:
        raise ValueError(f"{path} is no {kind}: it has more than {max_bytes >> 20} MiB.")
    with open(path, "rb") as file:
        data = io.BytesIO(file.read())
    try:
        budget = Budget(size)
        root = [_Unpickler(data, budget, _Reader(size, max_bytes, budget).allowed).load()]
    except Exception as error:  # a broken or hostile file may fail anywhere
        raise ValueError(f"{path} is no {kind} that is safe to read: {cause_of(error)}.") from error
    # Put arrays into the places of their stand-ins, in every container once: a hostile one may hold itself.
    waiting: list[Any] = [root]
    met: set[int] = set()
    while waiting:
        container = waiting.pop()
        for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(value, _Array):
                container[key] = value.array
            elif isinstance(value, dict | list) and id(value) not in met:
                met.add(id(value))
                waiting.append(value)
    return root[0]


def dump_pickle(content: Mapping[str, Tensor | str]) -> bytes:
    """Pickle a dict of contiguous tensors and texts as ``pickle.dump`` does; equal content gives equal bytes."""
    plain = {key: _Tensor(value.numpy()) if isinstance(value, Tensor) else value for key, value in content.items()}
    return pickle.dumps(plain, protocol=4)
