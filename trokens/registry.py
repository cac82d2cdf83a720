"""Name -> object tables, so that a tracker or a matcher is added by one file."""

import difflib
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any


class Registry:
    """A case-insensitive table of named functions or classes.

    Args:
        kind: What the table holds, in the singular; used in error messages.
        package: Package whose files hold the entries. They are imported, in the order of their names, when the table
            is first asked for something: a new file needs no line elsewhere, and importing the table alone is cheap.
    """

    def __init__(self, kind: str, package: str = ""):
        self.kind, self._package = kind, package
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
        if name not in self:
            near = difflib.get_close_matches(name.lower(), self._entries, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"Unknown {self.kind} '{name}'.{hint} Known: {', '.join(sorted(self._entries))}.")
        return self._entries[name.lower()]

    def __iter__(self) -> Iterator[str]:
        self._import_files()
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        self._import_files()
        return name.lower() in self._entries

    def _import_files(self) -> None:
        if self._package:
            for file in sorted(file.name for file in pkgutil.iter_modules(import_module(self._package).__path__)):
                import_module(f"{self._package}.{file}")
            self._package = ""
