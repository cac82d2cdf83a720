"""YAML files of options, and the files they start from; bounded in size, for a device never ends."""

import errno
import os
from pathlib import Path

from trokens.config.packaged import find_config, names_told
from trokens.config.validate import ConfigError
from trokens.config.values import shown
from trokens.config.yaml_document import Document, Setting

MAX_BYTES = 2**16  # of a file and all that it starts from; a config with every published option takes 10 KB
MAX_FILES = 20  # in a chain of _BASE_
_BASE = "_BASE_"


def read_settings(path: str | os.PathLike, problems: list[str]) -> list[Setting]:
    """Return the settings of a YAML file behind those of its ``_BASE_``, which is relative to it.

    Args:
        path: The file, or the name of a config that comes with the package; so may be a ``_BASE_``.
        problems: Gets a sentence for whatever keeps a file of the chain from being read.
    """
    settings: list[Setting] = []
    chain: list[str] = []
    following, left = find_config(os.fspath(path)), MAX_BYTES
    try:
        while following is not None:
            content = _content(following, left)
            left -= len(content)
            chain.append(os.path.realpath(following))
            if chain[-1] in chain[:-1]:
                raise ConfigError(f"{following} is its own _BASE_; the chain of files has to end.")
            if len(chain) > MAX_FILES:
                raise ConfigError(f"{following} is one _BASE_ too many: at most {MAX_FILES} files may follow each "
                                  "other; join some.")
            own = {setting.key: setting for setting in Document(content, str(following)).settings()}
            base = own.pop(_BASE, None)
            settings = [*own.values(), *settings]
            if base is not None and not isinstance(base.value, str):
                raise ConfigError(base.where + (base.problem or f"_BASE_ = {shown(base.value)} is not a path; name one "
                                                "file."))
            following = None if base is None else find_config(base.value, following.parent)
    except ConfigError as error:
        problems.append(str(error))
    return settings


def _content(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # opening a folder says so, a pipe may never end
            raise OSError(errno.EINVAL, "it is a device or a pipe")
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        name, reason = str(path), getattr(error, "strerror", None) or error
        remedy = names_told(name) if isinstance(error, FileNotFoundError) else "."
        raise ConfigError(f"{name if len(name) < 1000 else shown(name)} cannot be read ({reason}); give the path of a "
                          f"YAML file{remedy}") from error
    if len(content) > most:
        raise ConfigError(f"{path} is too large for a config: with the files that start from it, it has more than "
                          f"{MAX_BYTES >> 10} KiB.")
    return content
