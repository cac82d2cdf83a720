"""What an option is: its default and meaning, the values it takes, and what it counts for."""

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trokens.config.values import shown, suggestion

_NOT_READ = (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError)  # as Python reads lists


@dataclass(frozen=True)
class Option:
    """One option, and all that is known of it."""

    key: str  # with dots, as published
    default: Any  # as published; its type is the option's, and None stands for a float that may be None
    doc: str  # meaning, unit, allowed values
    choices: tuple[str, ...] = ()  # the texts it may be
    synonyms: Mapping[str, str] = field(default_factory=dict)  # further text, in lower case -> what it means
    items: type | None = None  # of a list: the type of its entries, which the bounds hold for
    least: float | None = None  # the smallest value
    above: float | None = None  # smaller than every value
    most: int = 2**31 - 1  # the largest whole number, of either sign
    below: float | None = None  # larger than every value
    results: bool = True  # two runs that differ in it are two experiments
    tokens: bool = False  # with another value, tokens of clips that are kept on disk are of no use
    weights: bool = False  # with another value, trained weights mean something else

    @property
    def unset(self) -> Any:
        """Its value in a run that does not set it: the first choice, where the published default is not offered."""
        return self.choices[0] if self.choices and self.default not in self.choices else self.default

    def read(self, value: Any) -> Any:
        """Return ``value`` in the option's type.

        YAML and shells do not always deliver what was meant, so lossless conversions are made: an int for a float,
        "1e-4" (a string to YAML) for a float, 5.0 for an int, "true" for a bool, a tuple for a list.

        Raises:
            ValueError: The value has another type, is not among the choices, or is out of bounds.
        """
        try:
            read = self._converted(self.synonyms.get(str(value).lower(), value))
        except _NOT_READ:
            kind = type(value).__name__
            article = "an" if kind[0] in "aeiou" else "a"
            wanted = f"{type(self.unset).__name__} like {self.unset!r}"
            if self.items:
                wanted = f"a list of {self.items.__name__} like {[self.items(0), self.items(20)]}"
            elif self.default is None:
                wanted = "float like 1.0, or None"
            raise ValueError(f"{self.key} = {shown(value)} is {article} {kind}; expected {wanted}.") from None
        if self.choices and read not in self.choices:
            raise ValueError(f"{self.key} = {shown(read)} is not offered; it is one of {', '.join(self.choices)}."
                             f"{suggestion(read, self.choices)}")
        numbers = [number for number in (read if self.items else [read]) if isinstance(number, int | float)]
        if numbers:
            low, high = min(numbers), max(numbers)
            if isinstance(low, int) and max(-low, high) > self.most:
                raise ValueError(f"{self.key} = {shown(value)} is beyond its maximum, {self.most}.")
            if self.below is not None and not self.least <= low <= high < self.below:
                raise ValueError(f"{self.key} = {read} is outside [{self.least}, {self.below}).")
            if self.above is not None and low <= self.above:
                raise ValueError(f"{self.key} = {read} has to be above {self.above}.")
            if self.least is not None and low < self.least:
                raise ValueError(f"{self.key} = {read} {'has an entry' if self.items else 'is'} below its minimum, "
                                 f"{self.least}.")
        return read

    def _converted(self, value: Any) -> Any:
        if self.items:
            entries = ast.literal_eval(value) if isinstance(value, str) else value
            if not isinstance(entries, list | tuple):
                raise ValueError
            return [_scalar(entry, self.items) for entry in entries]
        if self.default is None:
            return None if str(value).lower() in ("none", "null", "") else _scalar(value, float)
        return _scalar(value, type(self.default))


MachineOption = partial(Option, results=False)  # of a machine, a path, logging: it counts for nothing
ClipOption = partial(Option, tokens=True)  # of what a clip's tokens are made of
ModelOption = partial(Option, tokens=True, weights=True)  # of what trained weights have learned from, too


def _scalar(value: Any, kind: type) -> Any:
    if kind is bool and isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if kind is str and isinstance(value, str):
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        return value[1:-1] if quoted else value
    if kind in (bool, str) or isinstance(value, bool):
        if type(value) is not kind:
            raise ValueError
        return value
    number = float(value)
    if not math.isfinite(number) or (kind is int and not number.is_integer()):
        raise ValueError
    if kind is int and (isinstance(value, int) or re.fullmatch(r"[+-]?\d+", str(value))):
        return int(value)  # a float knows but 16 digits
    return kind(number)
