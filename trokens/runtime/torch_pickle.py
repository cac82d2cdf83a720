"""Try out what ``torch.load`` would make of a file, with stand-ins in place of tensors.

``torch.load(weights_only=True)`` executes nothing, but a tiny file can keep it busy for ever or make it take all
memory: tuples of tuples as keys, a storage of a terabyte, a tensor beyond its storage, which torch then enlarges. The
pickle of a real checkpoint is small (all numbers lie outside of it), so reading it twice costs some milliseconds.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO, ClassVar

import torch

from trokens.runtime.unpickle import MAX_OBJECTS, BoundedUnpickler, Budget, are_sizes, last_element

_STORAGES = {"UntypedStorage": 1, "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "ShortStorage": 2,
             "HalfStorage": 2, "BFloat16Storage": 2, "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8,
             "DoubleStorage": 8, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16}  # bytes a number
_MAX_DEPTH = 50
_IS_FOLDER = 0x10  # among a record's attributes; torch then gives memory that nobody wrote to
_END = object()


@dataclass(frozen=True)
class _Type:
    """A storage's or a dtype's name."""

    name: str
    itemsize: int


@dataclass(frozen=True)
class _Storage:
    type: _Type
    count: int


@dataclass(frozen=True)
class _Made:
    """Something that torch makes and nobody looks into."""

    name: str


def check_torch_file(path: str | Path) -> None:
    """Refuse a file that ``torch.load`` would not read soon, and in memory that follows from its size.

    Raises:
        UnpicklingError, ValueError, EOFError: It would not, it is broken, or it asks for more than tensors and plain
            values.
    """
    with open(path, "rb") as file:
        start = file.read(4)
        is_zip = start == b"PK\3\4"  # as torch decides
        if not is_zip and not start.startswith(b"\x80"):  # as a pickle does
            raise UnpicklingError("it was not written by torch.save" if start else "it is empty")
        file.seek(0)
        content = _try_zip(file) if is_zip else _try_old(file)
    _check_extent(content)


def _try_zip(file: BinaryIO) -> Any:
    size = Path(file.name).stat().st_size
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise UnpicklingError("it is cut, or broken otherwise") from error
    records = {record.filename: record for record in archive.infolist()}
    if any(record.compress_type != zipfile.ZIP_STORED for record in records.values()):
        raise UnpicklingError("it is compressed, which torch.save never does")
    if len(records) < len(archive.infolist()) or sum(record.file_size for record in records.values()) > size:
        raise UnpicklingError("its records overlap")
    if any(record.external_attr & _IS_FOLDER for record in records.values()):
        raise UnpicklingError("it has a record that passes for a folder")
    pickles = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise UnpicklingError("it was not written by torch.save")
    folder = pickles[0].removesuffix("data.pkl")
    sizes = {name.removeprefix(f"{folder}data/"): record.file_size for name, record in records.items()}
    file.seek(0)
    content = torch._C.PyTorchFileReader(file).get_record("data.pkl")  # what torch sees, whatever its check sum
    if records[pickles[0]].CRC not in (0, zlib.crc32(content)):
        raise ValueError("its record data.pkl does not match its check sum")
    return _Trial(io.BytesIO(content), Budget(size), size, sizes).load()


def _try_old(file: BinaryIO) -> Any:
    """Torch's format before 1.6: three small pickles, the content's, that of the storages' keys, their numbers."""
    size = Path(file.name).stat().st_size
    budget = Budget(size)
    if _Trial(file, budget, size).load() != torch.serialization.MAGIC_NUMBER:
        raise UnpicklingError("it was not written by torch.save")
    for _version_system in range(2):
        _Trial(file, budget, size).load()
    content = _Trial(file, budget, size).load()
    _Trial(file, budget, size).load()
    return content


class _Trial(BoundedUnpickler):
    """Makes plain values as they are, and stand-ins of storages and tensors.

    Args:
        file: The pickle.
        budget: What reading it may cost.
        num_bytes: Size of the file.
        sizes: Key -> bytes of every storage, where the file says so.
    """

    KEYS: ClassVar[tuple[type, ...]] = (str, int, float, bool, type(None))

    def __init__(self, file: BinaryIO, budget: Budget, num_bytes: int, sizes: Mapping[str, int] | None = None):
        super().__init__(file, budget, encoding="utf-8")
        self.sizes, self.left, self.text_left = sizes, num_bytes, num_bytes
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"  # as Python 2 called it, and protocol 2 does
        if full in _CALLS:
            return _Made(full)
        if module in ("torch", "torch.storage") and name.isidentifier():
            dtype = getattr(torch, name, None)
            if name in _STORAGES or isinstance(dtype, torch.dtype):
                return _Type(name, _STORAGES.get(name) or dtype.itemsize)
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        is_known = isinstance(pid, tuple) and len(pid) == (6 if self.sizes is None else 5) and pid[0] == "storage" and (
            type(pid[1]) is _Type and type(pid[2]) is str and type(pid[3]) is str and are_sizes((pid[4],)))
        if not is_known or (self.sizes is None and pid[5] is not None and not (
                type(pid[5]) is tuple and len(pid[5]) == 3 and type(pid[5][0]) is str and are_sizes(pid[5][1:]))):
            raise UnpicklingError("it holds a storage of an unknown format")
        key, storage = pid[2], _Storage(pid[1], pid[4])
        num_bytes = storage.count * storage.type.itemsize
        if key not in self.storages:
            self.left -= num_bytes
        if self.storages.setdefault(key, storage) != storage or self.left < 0 or (
                self.sizes is not None and self.sizes.get(key) != num_bytes):
            raise UnpicklingError(f"it holds a storage of {storage.count} numbers that are not in the file")
        return storage

    def call(self, function: Any, arguments: tuple) -> Any:
        if type(function) is not _Made or function.name not in _CALLS:
            return super().call(function, arguments)
        if not _CALLS[function.name](self, *arguments):
            raise UnpicklingError(f"it calls {function.name} with what does not belong there")
        if function.name == "collections.OrderedDict":
            return {}
        if function.name in ("collections.Counter", "torch.Size") and arguments:
            return arguments[0]
        return _Made("tensor" if function.name.startswith("torch._utils.") else "value")

    def build(self, made: Any, state: Any) -> None:
        if type(made) is not dict or type(state) is not dict:
            super().build(made, state)

    # Whether a call has the arguments that torch.save gives it

    def tensor(self, storage: _Storage, offset: int, size: tuple, stride: tuple, *_flags: Any,
               itemsize: int = 0) -> bool:
        if type(storage) is not _Storage or not (are_sizes((offset,)) and are_sizes(size) and are_sizes(stride)):
            return False
        count = storage.count if not itemsize else storage.count * storage.type.itemsize // itemsize
        if len(size) == len(stride) and (last := last_element(offset, size, stride)) >= count:
            raise UnpicklingError(f"it holds a tensor that reaches element {last} of {count}")
        return len(size) == len(stride)

    def tensor_of_type(self, storage: _Storage, offset: int, size: tuple, stride: tuple, _grad: Any, _hooks: Any,
                       dtype: _Type, *_metadata: Any) -> bool:
        return type(dtype) is _Type and self.tensor(storage, offset, size, stride, itemsize=dtype.itemsize)

    def text(self, text: str, encoding: str) -> bool:
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            return False
        self.text_left -= len(text)
        return self.text_left >= 0

    def buffer(self, content: Any = b"", encoding: str = "") -> bool:
        return (type(content) is bytes and not encoding) or self.text(content, encoding)


def _plain(_trial: _Trial, *values: Any) -> bool:
    return all(type(value) in _Trial.KEYS for value in values)


_CALLS = {
    "collections.OrderedDict": lambda _trial, *items: not items,
    "collections.Counter": lambda _trial, *items: not items or (len(items) == 1 and type(items[0]) is dict),
    "torch.Size": lambda _trial, *sizes: len(sizes) == 1 and are_sizes(sizes[0]),
    "torch.device": _plain,
    "builtins.complex": _plain,
    "builtins.set": lambda trial, *items: len(items) == 1 and type(items[0]) is list and _plain(trial, *items[0]),
    "builtins.bytearray": _Trial.buffer,
    "_codecs.encode": _Trial.text,
    "torch.serialization._get_layout": _plain,
    "torch._utils._rebuild_tensor": _Trial.tensor,
    "torch._utils._rebuild_tensor_v2": _Trial.tensor,
    "torch._utils._rebuild_tensor_v3": _Trial.tensor_of_type,
    "torch._utils._rebuild_parameter": lambda _trial, tensor, *_flags: tensor == _Made("tensor"),
}


def _check_extent(content: Any) -> None:
    """Refuse containers that hold themselves, or so deep or so often the same that no walk through them ends."""
    totals, path, active, known = [0], [iter((content,))], [None], {}
    while path:
        item = next(path[-1], _END)
        if item is _END:
            path.pop()
            total = known[active.pop()] = totals.pop()
            if totals:
                totals[-1] += total
        elif not isinstance(item, dict | list | tuple):
            totals[-1] += 1
        elif id(item) in known:
            totals[-1] += known[id(item)]
        elif id(item) in active or len(path) > _MAX_DEPTH:
            raise UnpicklingError("it holds itself, or nests too deep")
        else:
            totals.append(1)
            path.append(_items(item))
            active.append(id(item))
        if totals and totals[-1] > MAX_OBJECTS:
            raise UnpicklingError(f"it stands for more than {MAX_OBJECTS} values")


def _items(container: dict | list | tuple) -> Iterator:
    return iter(container.values() if isinstance(container, dict) else container)
