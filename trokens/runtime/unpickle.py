"""Unpickle what strangers wrote: nothing in it is executed, and it costs no more than a file of its size may.

Built on Python's own unpickler in Python (a dict is its memo, and its table of instructions can be cut), which makes
whatever it is told to. Here containers are dicts with plain keys, lists and tuples; a tuple that stands for far more
than is written, since parts of it come again and again, is refused when it is made, as are whole numbers beyond 128
bits; instructions are counted, and so is the time.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, ClassVar

MAX_OBJECTS = 500_000  # instructions of a file, each of which makes one object at most
_SECONDS = 5  # of computing, and what follows from the size
_BYTES_A_SECOND = 2**26
_MAX_BITS = 128  # of a whole number; torch begins a file with one of 77
_MAX_ARGUMENTS = 16
_MAX_DIMENSIONS = 32
_MAX_IN_TUPLE = 10_000  # counted as often as it is there
_MAX_MEMO = 2**32
_AT_ONCE = 1024  # instructions between two looks at what is left

_INSTRUCTIONS = (
    "PROTO FRAME MARK STOP POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT",
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE SHORT_BINUNICODE BINUNICODE",
    "BINUNICODE8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM",
    "SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD PERSID BINPERSID")
_ALLOWED = {getattr(pickle, name)[0] for line in _INSTRUCTIONS for name in line.split()}


class Budget:
    """What reading a file may cost in all, nested pickles included.

    Args:
        num_bytes: Size of the file.
    """

    def __init__(self, num_bytes: int):
        self.left = MAX_OBJECTS
        self.until = time.thread_time() + _SECONDS + num_bytes / _BYTES_A_SECOND  # whatever else the machine does

    def spend(self, count: int) -> None:
        """Pay for so many instructions."""
        self.left -= count
        if self.left < 0:
            raise UnpicklingError(f"it makes more than {MAX_OBJECTS} objects")
        if time.thread_time() > self.until:
            raise UnpicklingError("it takes longer than a file of its size may")


class _Table(dict):
    """Instructions by number."""

    def __missing__(self, number: int) -> Callable:
        if number in pickle._Unpickler.dispatch:
            raise UnpicklingError("it makes an instance or a set, or reserves memory")
        raise UnpicklingError("it is no pickle")


class _Nested(tuple):
    """A tuple with others in it, which counts what all of them hold."""


class BoundedUnpickler(pickle._Unpickler):
    """Makes numbers, text, bytes, tuples, lists, and dicts with keys of the types ``KEYS``.

    Subclasses say what the names in a pickle stand for (``find_class``), and what calls of them (``call``), states
    (``build``) and persistent ids (``persistent_load``) give; by default all are refused.

    Args:
        file: The pickle.
        budget: What reading it may cost.
    """

    KEYS: ClassVar[tuple[type, ...]] = (str,)
    dispatch: ClassVar[dict[int, Callable]] = _Table(
        (number, load) for number, load in pickle._Unpickler.dispatch.items() if number in _ALLOWED)

    def __init__(self, file: io.BufferedIOBase, budget: Budget, *, encoding: str = "ASCII"):
        super().__init__(file, encoding=encoding)
        self.budget = budget

    def load(self) -> Any:
        """Read the next pickle of the file.

        Raises:
            UnpicklingError: It asks for what is not allowed, or costs too much.
            Exception: It is broken, in any way.
        """
        self._unframer = pickle._Unframer(self._file_read, self._file_readline)
        self.read, self.readline = self._unframer.read, self._unframer.readline
        self.metastack, self.stack, self.proto = [], [], 0
        self.append = self.stack.append
        read, dispatch, count = self.read, self.dispatch, 0
        try:
            while True:
                for count in range(1, _AT_ONCE + 1):  # noqa: B007 -- read below
                    if not (instruction := read(1)):
                        raise EOFError
                    dispatch[instruction[0]](self)
                self.budget.spend(_AT_ONCE)
        except pickle._Stop as stopped:
            self.budget.spend(count)
            return stopped.value

    def find_class(self, module: str, name: str) -> Any:
        raise UnpicklingError(f"it asks for {module[:100]}.{name[:100]}, which is not allowed")

    def call(self, function: Any, _arguments: tuple) -> Any:
        """What a call of ``function``, which ``find_class`` gave, makes."""
        raise UnpicklingError(f"it calls a {type(function).__name__}")

    def build(self, made: Any, _state: Any) -> None:
        """Give ``made`` its state."""
        raise UnpicklingError(f"it sets the state of a {type(made).__name__}")

    # Instructions

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple) or len(arguments) > _MAX_ARGUMENTS:
            raise UnpicklingError(f"it calls something with other than up to {_MAX_ARGUMENTS} arguments")
        self.stack[-1] = self.call(self.stack[-1], arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        self.build(self.stack[-1], state)

    def _fill(self, target: Any, items: list) -> None:
        if type(target) is not dict:
            raise UnpicklingError(f"it sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in self.KEYS or (type(key) is int and abs(key) >= 2**60):  # beyond, many have one hash
                raise UnpicklingError(f"it has a dict with a key of type {type(key).__name__}" + (
                    " of more than 60 bits" if type(key) is int and int in self.KEYS else ""))
            target[key] = value

    def load_setitem(self) -> None:
        items = self.stack[-2:]
        del self.stack[-2:]
        self._fill(self.stack[-1], items)

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._fill(self.stack[-1], items)

    def load_dict(self) -> None:
        items, made = self.pop_mark(), {}
        self._fill(made, items)
        self.append(made)

    def _extend(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise UnpicklingError(f"it appends to a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._extend(items)

    def load_tuple(self) -> None:
        items = self.pop_mark()
        self.append(_tuple(items))

    def _last(self, count: int) -> None:
        if len(self.stack) < count:
            raise UnpicklingError("it makes a tuple of what is not there")
        self.stack[-count:] = [_tuple(self.stack[-count:])]

    def load_tuple1(self) -> None:
        self._last(1)

    def load_tuple2(self) -> None:
        self._last(2)

    def load_tuple3(self) -> None:
        self._last(3)

    def _check_int(self) -> None:
        if isinstance(self.stack[-1], int) and self.stack[-1].bit_length() > _MAX_BITS:
            raise UnpicklingError(f"it has a whole number of more than {_MAX_BITS} bits")

    def load_int(self) -> None:
        super().load_int()
        self._check_int()

    def load_long(self) -> None:
        super().load_long()
        self._check_int()

    def load_long1(self) -> None:
        super().load_long1()
        self._check_int()

    def load_long4(self) -> None:
        super().load_long4()
        self._check_int()

    def load_get(self) -> None:
        index = _memo_index(self.readline())
        if index not in self.memo:
            raise UnpicklingError("it asks for what it did not remember")
        self.append(self.memo[index])

    def load_put(self) -> None:
        self.memo[_memo_index(self.readline())] = self.stack[-1]

    dispatch |= {
        pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build,
        pickle.DICT[0]: load_dict, pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems,
        pickle.APPEND[0]: load_append, pickle.APPENDS[0]: load_appends,
        pickle.TUPLE[0]: load_tuple, pickle.TUPLE1[0]: load_tuple1, pickle.TUPLE2[0]: load_tuple2,
        pickle.TUPLE3[0]: load_tuple3,
        pickle.INT[0]: load_int, pickle.LONG[0]: load_long, pickle.LONG1[0]: load_long1, pickle.LONG4[0]: load_long4,
        pickle.GET[0]: load_get, pickle.PUT[0]: load_put,
    }


def _tuple(items: list) -> tuple:
    sizes = [getattr(item, "size", len(item)) for item in items if isinstance(item, tuple)]
    if not sizes:
        return tuple(items)
    made = _Nested(items)
    made.size = len(items) + sum(sizes)
    if made.size > _MAX_IN_TUPLE:
        raise UnpicklingError(f"it has a tuple that stands for more than {_MAX_IN_TUPLE} values")
    return made


def are_sizes(numbers: Any) -> bool:
    """Whether this is a tuple of natural numbers that may be sizes, strides or offsets."""
    return isinstance(numbers, tuple) and len(numbers) <= _MAX_DIMENSIONS and all(
        type(n) is int and 0 <= n < 2**62 for n in numbers)


def last_element(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Number of the last element that a tensor reads from its storage; -1 where it reads none."""
    return -1 if 0 in size else offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))


def _memo_index(line: bytes) -> int:
    index = int(line[:-1]) if len(line) < 12 else _MAX_MEMO
    if not 0 <= index < _MAX_MEMO:
        raise UnpicklingError("it numbers what it remembers beyond all bounds")
    return index


def cause_of(error: Exception) -> str:
    """Say in a few words why a pickle was refused."""
    if isinstance(error, EOFError):  # of which the unpickler says nothing
        return "it ends too early"
    return str(error)[:300].rstrip(".") or type(error).__name__
