"""Files of tensors to damage, and what is left of them."""

import zipfile

import torch

from trokens.structures import Tracks


def flip(path, at: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(content)


def place_of(path, record: str) -> int:
    """Where the content of a record of a zip file lies."""
    with zipfile.ZipFile(path) as file:
        info = next(info for info in file.infolist() if info.filename.endswith(record))
        file.open(info).close()
        return path.read_bytes().index(file.read(info), info.header_offset)


def assert_same(read: Tracks, tracks: Tracks) -> None:
    for name in ("xy", "visibility", "query_frame", "cluster"):
        assert torch.equal(getattr(read, name), getattr(tracks, name)), name
        assert getattr(read, name).dtype == getattr(tracks, name).dtype, name
