"""Pickles that are small on disk and without end in memory or time, written instruction by instruction."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch

_PROTO = b"\x80\x02"


def text(words: str) -> bytes:
    return b"X" + struct.pack("<I", len(words.encode())) + words.encode()


def whole(number: int) -> bytes:
    digits = pickle.encode_long(number)
    return b"\x8b" + struct.pack("<i", len(digits)) + digits if len(digits) > 255 else \
        b"\x8a" + bytes([len(digits)]) + digits


def name(module: str, of: str) -> bytes:
    return b"c" + f"{module}\n{of}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def numbers(*of: int) -> bytes:
    return b"(" + b"".join(map(whole, of)) + b"t"


def again_and_again(wrap: bytes, start: bytes, depth: int = 40) -> bytes:
    """``depth`` containers, each of which holds the one before twice; @ in ``wrap`` stands for that one."""
    return start + b"".join(b"q" + bytes([i]) + b"0" + wrap.replace(b"@", b"h" + bytes([i])) for i in range(depth))


TUPLES = again_and_again(b"@@\x86", b")")
LISTS = again_and_again(b"](@@e", b"](K\x01e")
DICTS = again_and_again(b"}(" + text("a") + b"@" + text("b") + b"@u", b"}")


def content(value: bytes, key: bytes = text("x")) -> bytes:
    """A pickled dict of one item."""
    return _PROTO + b"}" + key + value + b"s."


BOMBS = {
    "nested tuples as a key": (content(b"N", key=TUPLES), "a tuple that stands for more than 10000 values"),
    "a tuple as a key": (content(b"N", key=b"K\x01K\x02\x86"), "a dict with a key of type tuple"),
    "a list as a key": (content(b"N", key=b"]"), "a dict with a key of type list"),
    "a set": (_PROTO + b"\x8f(K\x01\x90.", "an instance or a set"),
    "a frozen set": (_PROTO + b"(K\x01\x91.", "an instance or a set"),
    "keys of one hash": (_PROTO + b"}(" + b"".join(whole(i * (2**61 - 1) + 7) + b"N" for i in range(1, 60_000)) + b"u.",
                         "a dict with a key of type int"),
    "keys of one hash in an old dict": (b"(" + b"".join(f"L{i * (2**61 - 1)}L\nN".encode() for i in range(1, 60_000))
                                        + b"d.", "a dict with a key of type int"),
    "memo of one hash": (b"N" + b"".join(f"p{i * (2**61 - 1)}\n".encode() for i in range(1, 60_000)) + b".",
                         "numbers what it remembers beyond all bounds"),
    "brackets": (_PROTO + b"]" * 600_000 + b".", "more than 500000 objects"),
    "marks": (_PROTO + b"(" * 600_000 + b".", "more than 500000 objects"),
    "copies of one": (_PROTO + b"]" + b"2" * 600_000 + b".", "more than 500000 objects"),
    "a huge number": (content(b"\x8b" + struct.pack("<i", 2_000_000) + b"\x7f" * 2_000_000), "more than 128 bits"),
    "a huge number of text": (content(b"L0x" + b"f" * 2_000_000 + b"L\n"), "more than 128 bits"),
    "a long call": (_PROTO + name("collections", "OrderedDict") + b"(" + b"K\x01" * 100_000 + b"tq\x000"
                    + (name("collections", "OrderedDict") + b"h\x00R0") * 20_000 + b"N.", "up to 16 arguments"),
    "a long number that is none": (_PROTO + b"F" * 10_000 + b"\n.", "could not convert string to float"),
    "nothing to call": (content(b"K\x01)R"), "calls a int"),
    "a tuple of nothing": (_PROTO + b"\x87.", "a tuple of what is not there"),
    "a cut text": (_PROTO + b"X\xff\xff\xff\x7fab", ""),
    "a cut frame": (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"ab", ""),
}


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage", place: str = "cpu") -> bytes:
    return b"(" + text("storage") + name("torch", kind) + text(key) + text(place) + whole(count) + b"tQ"


def tensor(of: bytes, offset: int = 0, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,)) -> bytes:
    return call(name("torch._utils", "_rebuild_tensor_v2"), of, whole(offset), numbers(*size), numbers(*stride),
                b"\x89", call(name("collections", "OrderedDict")))


# What torch's reader would make, and what one should not let it make.
TORCH_BOMBS = {
    "a list of lists": (content(LISTS), "stands for more than 500000 values"),
    "a dict of dicts": (content(DICTS), "stands for more than 500000 values"),
    "a dict in itself": (_PROTO + b"}q\x00" + text("x") + b"h\x00s.", "holds itself"),
    "a list so deep": (content(b"]" * 100_000 + b"a" * 99_999), "nests too deep"),
    "a set of tuples": (content(call(name("builtins", "set"), b"](K\x01K\x02\x86e")), "builtins.set with what does"),
    "a counter of tuples": (content(call(name("collections", "Counter"), b"K\x01K\x02\x86")), "Counter with what does"),
    "pairs": (content(call(name("collections", "OrderedDict"), b"]")), "OrderedDict with what does not belong there"),
    "a large array of bytes": (content(call(name("builtins", "bytearray"), whole(10**11))), "bytearray with what"),
    "a large tensor": (content(call(name("torch", "FloatTensor"), whole(10**11))), "asks for torch.FloatTensor"),
    "a tensor without numbers": (content(call(name("torch._utils", "_rebuild_meta_tensor_no_storage"))), "asks for"),
    "a large storage": (content(tensor(storage(count=10**11))), "storage of 100000000000 numbers that are not in"),
    "another storage": (content(tensor(storage("7"))), "a storage of 4 numbers that are not in the file"),
    "a storage of two types": (content(b"](" + storage() + storage(kind="LongStorage", count=2) + b"e"), "2 numbers"),
    "tuples as a storage's key": (content(b"(" + text("storage") + name("torch", "FloatStorage") + b")" + text("cpu")
                                          + whole(4) + b"tQ"), "a storage of an unknown format"),
    "a tensor beyond": (content(tensor(storage(), size=(5,))), "a tensor that reaches element 4 of 4"),
    "an offset beyond": (content(tensor(storage(), offset=2**40)), "a tensor that reaches element"),
    "a stride beyond": (content(tensor(storage(), size=(2,), stride=(4,))), "a tensor that reaches element 4 of 4"),
    "half a size": (content(tensor(storage(), size=(2, 2))), "with what does not belong there"),
    "encoded again and again": (content(text("a" * 100_000) + b"q\x000" + b"".join(
        call(name("_codecs", "encode"), b"h\x00", text("latin1")) + b"0" for _ in range(1000)) + b"N"), "encode with"),
    "an instance": (content(name("torch.nn.parameter", "Parameter") + b")\x81"), "asks for torch.nn.parameter"),
    "code": (content(call(name("os", "system"), text("true"))), "asks for os.system, which is not allowed"),
}


def zipped(path: Path, pickled: bytes, storages: Iterable[tuple[str, bytes]] = (("0", b"\0" * 16),),
           compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a pickle as ``torch.save`` does."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        for key, of in storages:
            file.writestr(f"archive/data/{key}", of)
    return path


def old(path: Path, pickled: bytes) -> Path:
    """Write a pickle in torch's format before 1.6, without any storages."""
    file = io.BytesIO()
    for head in (torch.serialization.MAGIC_NUMBER, 1001, {"little_endian": True}):
        pickle.dump(head, file, protocol=2)
    path.write_bytes(file.getvalue() + pickled)
    return path
