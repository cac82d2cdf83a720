import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from trokens.points import archives
from trokens.points.archives import unpack

FILES = {f"feat_dump/{i}.pkl": bytes([i]) * 1000 for i in range(6)}


def make_zip(path: Path, files: dict[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for entry, data in files.items():
            file.writestr(entry, data)
    return path


def change(path: Path, signature: bytes, offset: int, data: bytes) -> Path:
    """Overwrite bytes behind the first occurrence of a signature."""
    content = bytearray(path.read_bytes())
    start = content.index(signature) + offset
    content[start:start + len(data)] = data
    path.write_bytes(content)
    return path


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (kind | 0o777) << 16
    return entry


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


def to_points(name: str) -> str | None:
    return f"points/{name.split('/')[-1]}" if name.endswith(".pkl") else None


def test_wanted_files_go_where_they_belong(tmp_path):
    files = FILES | {"feat_dump/": b"", "notes.txt": b"x", special("feat_dump/r.pkl", stat.S_IFREG): b"regular"}
    done = unpack(make_zip(tmp_path / "a.zip", files), tmp_path / "out", to_points)
    assert done == (7, 0)
    assert contents(tmp_path / "out") == {to_points(name): data for name, data in FILES.items()} | {
        "points/r.pkl": b"regular"}


def test_a_half_unpacked_archive_is_gone_on_with(tmp_path, monkeypatch):
    archive, out, replaced = make_zip(tmp_path / "a.zip", FILES), tmp_path / "out", []

    def fail_at_the_fourth(source, target):
        replaced.append(target)
        if len(replaced) == 4:
            raise KeyboardInterrupt
        shutil.move(source, target)

    monkeypatch.setattr(os, "replace", fail_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, out, to_points)
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in (out / "points").iterdir()}
    assert len(before) == 3
    (out / "points/0.pkl").write_bytes(b"cut")
    assert unpack(archive, out, to_points) == (4, 2)
    assert contents(out) == {to_points(name): data for name, data in FILES.items()}
    assert {path.name for path in before if path.stat().st_mtime_ns == before[path]} == {"1.pkl", "2.pkl"}
    assert unpack(archive, out, to_points) == (0, 6) and unpack(archive, out, to_points, rerun=True) == (6, 0)


@pytest.mark.parametrize("name", ["../x.pkl", "a/../../x.pkl", "/x.pkl", "C:/x.pkl", "c:x.pkl", "..\\x.pkl",
                                  "a\\..\\..\\x.pkl", "\\x.pkl", "\\\\server\\x.pkl", "a/..", "../readme.txt"])
def test_no_path_leaves_the_folder(tmp_path, name):
    archive = make_zip(tmp_path / "a.zip", {"good.pkl": b"x", name: b"evil"})
    with pytest.raises(ValueError, match=r"a\.zip is not safe to unpack: its entry .* leads out of the folder"):
        unpack(archive, tmp_path / "out", to_points)
    assert contents(tmp_path) == {"a.zip": archive.read_bytes()}


def test_a_hidden_end_of_a_name_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"goodXevil.pkl": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"goodXevil", b"good\0evil"))
    with pytest.raises(ValueError, match="leads out of the folder"):
        unpack(archive, tmp_path / "out", to_points)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = make_zip(tmp_path / "a.zip", {"good.pkl": b"x", special("link", kind): b"/etc"})
    with pytest.raises(ValueError, match="its entry 'link' is a link or a device"):
        unpack(archive, tmp_path / "out", to_points)
    assert not contents(tmp_path / "out")


def test_bombs_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", FILES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5999))
    with pytest.raises(ValueError, match=r"a\.zip would take 0 MiB, and .*out has 0 MiB left; make room"):
        unpack(archive, tmp_path / "out", to_points)
    monkeypatch.setattr(archives, "MAX_BYTES", 999)
    with pytest.raises(ValueError, match=r"its entry 'feat_dump/0\.pkl' would take .* more than any point file"):
        unpack(archive, tmp_path / "out", to_points)
    assert not contents(tmp_path / "out")


def test_an_entry_that_is_larger_than_it_says_is_not_written_on(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x.pkl": b"0" * 10**6})
    change(archive, b"PK\1\2", 24, (10).to_bytes(4, "little"))
    with pytest.raises(ValueError, match=r"a\.zip cannot be unpacked: .*delete it and fetch it again"):
        unpack(archive, tmp_path / "out", to_points)
    assert not contents(tmp_path / "out")


def test_entries_of_one_file_are_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a/x.pkl": b"1", "b/x.pkl": b"2"})
    with pytest.raises(ValueError, match="several of its entries belong to one file"):
        unpack(archive, tmp_path / "out", to_points)


def test_broken_archives_are_named(tmp_path):
    archive, out = make_zip(tmp_path / "a.zip", FILES), tmp_path / "out"
    whole = archive.read_bytes()
    for broken in (b"", b"no zip", whole[:-30], whole[:len(whole) // 2]):
        archive.write_bytes(broken)
        with pytest.raises(ValueError, match=r"a\.zip cannot be unpacked"):
            unpack(archive, out, to_points)
    archive.write_bytes(whole)
    with pytest.raises(ValueError, match=r"cannot be unpacked: .*(encrypted|password)"):
        unpack(change(archive, b"PK\1\2", 8, b"\1\0"), out, to_points)
    archive.write_bytes(whole)
    with pytest.raises(ValueError, match=r"cannot be unpacked: Bad CRC"):
        unpack(change(archive, b"PK\1\2", 16, b"\0\0\0\0"), out, to_points)
    assert not contents(out)
