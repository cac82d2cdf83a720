"""Name -> object tables, so that a dataset, tracker, matcher or backbone is added by one file."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any


class Registry:
    """A case-insensitive table of named functions or classes.

    Args:
        kind: What the table holds, in the singular; used in error messages.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, Any] = {}

    def register(self, *names: str) -> Callable[[Any], Any]:
        """Decorate a function or class to make it available under every one of ``names``."""

        def add(entry: Any) -> Any:
            for name in names:
                if name.lower() in self._entries:
                    raise ValueError(f"{self.kind} '{name}' is registered twice.")
                self._entries[name.lower()] = entry
            return entry

        return add

    def get(self, name: str) -> Any:
        """Return the entry called ``name``.

        Raises:
            ValueError: No entry has that name; the message lists the known ones.
        """
        if name.lower() not in self._entries:
            near = difflib.get_close_matches(name.lower(), self._entries, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"Unknown {self.kind} '{name}'.{hint} Known: {', '.join(sorted(self._entries))}.")
        return self._entries[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._entries
