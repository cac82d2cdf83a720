"""Frames kept on disk: the same clips, whoever keeps them, and no video opened twice."""

import logging
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import APPEARANCE, tiny_cfg

from trokens.clips import reader as loader_module
from trokens.clips.reader import ClipReader
from trokens.clips.split import build_split
from trokens.config import config_hash
from trokens.video.frame_cache import FORMATS, ClipCache, ClipFrames

CLIP = 4 * 64 * 64 * 3  # bytes of a clip's frames


def reader(root: Path, cache: Path | None, *, augment: bool = False, **changes) -> ClipReader:
    options = {"DATA__CLIP_CACHE": cache or "", "DATA__USE_RAND_AUGMENT": augment, **changes}
    cfg = tiny_cfg(root, root / "out", APPEARANCE, **options)
    return ClipReader.from_config(cfg, build_split(cfg, "train"), augment=augment)


def video(read: ClipReader, index: int, key: str | None = None) -> torch.Tensor:
    return read.read(index, with_video=True, key=key).video[0]


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*"))


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The videos that are opened from now on."""
    names, read = [], loader_module.read_video

    def noting(path, *args, **kwargs):
        names.append(path.name)
        return read(path, *args, **kwargs)

    monkeypatch.setattr(loader_module, "read_video", noting)
    return names


@pytest.mark.parametrize("order", ["published", "resize_first"])
@pytest.mark.parametrize("augment", [False, True])
def test_raw_frames_are_the_same_to_the_last_bit_and_no_video_is_opened_twice(tiny_data, tmp_path, opened, order,
                                                                              augment):
    plain = reader(tiny_data, None, augment=augment, AUG__ORDER=order)
    want = {(i, key): video(plain, i, key) for i in (0, 5) for key in "abcd"}
    opened.clear()
    cached = reader(tiny_data, tmp_path, augment=augment, AUG__ORDER=order)
    for _epoch in range(2):
        assert all(video(cached, i, key).equal(frames) for (i, key), frames in want.items())
    assert len(opened) == len(entries(tmp_path)) == 2


def test_jpeg_frames_are_nearly_the_same_and_do_not_depend_on_what_is_kept(tiny_data, tmp_path):
    plain, jpeg = reader(tiny_data, None), {"DATA__CLIP_CACHE_FORMAT": "jpeg"}
    full = reader(tiny_data, tmp_path / "full", DATA__CLIP_CACHE_GB=0, **jpeg)
    cached = reader(tiny_data, tmp_path / "cache", **jpeg)
    first, second, never_kept = video(cached, 3), video(cached, 3), video(full, 3)
    assert first.equal(second) and first.equal(never_kept) and not entries(tmp_path / "full")
    error = (first.double() - video(plain, 3)).square().mean()
    assert error > 0 and 10 * torch.log10(255**2 / error) > 30  # dB, of small frames with fine texture
    assert entries(tmp_path / "cache")[0].stat().st_size < CLIP / 2


def test_jpeg_keeps_red_red():
    encode, restore = FORMATS["jpeg"]
    red = np.full((2, 32, 48, 3), (200, 30, 20), np.uint8)
    assert np.abs(restore(encode(red)).astype(int) - red).max() <= 3


def test_the_order_decides_which_frames_are_kept(tiny_data, tmp_path):
    """64 x 64 as they are, or 32 x 32 as they are needed."""
    for augment, order, size in ((False, "published", CLIP // 4), (True, "resize_first", CLIP // 4),
                                 (True, "published", CLIP)):
        cache = tmp_path / f"{augment}{order}"
        video(reader(tiny_data, cache, augment=augment, AUG__ORDER=order, DATA__TRAIN_CROP_SIZE=32), 0, "a")
        assert size < entries(cache)[0].stat().st_size < 1.1 * size


def test_other_frames_are_other_entries(tiny_data, tmp_path):
    for changes in ({}, {"DATA__NUM_FRAMES": 3}, {"DATA__TRAIN_CROP_SIZE": 32}, {"DATA__CLIP_CACHE_FORMAT": "jpeg"}):
        read = reader(tiny_data, tmp_path, **changes)
        assert video(read, 0).equal(video(read, 0))
    assert len(entries(tmp_path)) == 4
    assert not video(read, 0).equal(video(read, 1)) and len(entries(tmp_path)) == 5


def test_a_moved_video_is_found_and_a_changed_one_takes_its_entrys_place(tiny_data, tmp_path, opened):
    read = reader(tiny_data, tmp_path / "cache")
    first, second = (clip.video for clip in read.clips[:2])
    before = video(read, 0)
    moved = replace(read.clips[0], video=tmp_path / first.name)
    shutil.copy2(first, moved.video)
    read = replace(read, clips=[moved])
    assert video(read, 0).equal(before) and len(opened) == 1
    shutil.copy2(second, moved.video)
    after = video(read, 0)
    assert after.equal(video(replace(read, cache=None), 0)) and not after.equal(before)
    os.utime(moved.video, (1, 1))
    assert video(read, 0).equal(after) and len(opened) == 4
    (entry,) = entries(tmp_path / "cache")
    assert int((tmp_path / "cache/bytes").read_text()) == entry.stat().st_size


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_entries_are_made_anew(tiny_data, tmp_path, opened, format):
    read = reader(tiny_data, tmp_path, DATA__CLIP_CACHE_FORMAT=format)
    want = video(read, 0)
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    header = int.from_bytes(whole[:8], "little")
    foreign = whole[:8] + whole[8:8 + header].replace(b"sum", b"SUM") + whole[8 + header:]
    start, middle = 8 + header, (len(whole) + 8 + header) // 2 // 8 * 8
    moved = whole[:start] + whole[middle:] + whole[start:middle]  # the same words at other places
    other_size = whole.replace(b"[64, 64]", b"[64, 46]")
    assert moved != whole and other_size != whole
    kinds = (b"", b"text", whole[:-1], whole[:4000], bytes(len(whole)), bytes(flipped), foreign, moved, other_size)
    for damaged in kinds:
        entry.write_bytes(damaged)
        assert video(read, 0).equal(want) and entry.read_bytes() == whole
    assert len(opened) == 1 + len(kinds)


def test_a_full_cache_takes_nothing_more(tiny_data, tmp_path, opened, caplog):
    caplog.set_level(logging.INFO)
    read = reader(tiny_data, tmp_path, DATA__CLIP_CACHE_GB=2.5 * CLIP / 1e9)
    want = [video(replace(read, cache=None), i) for i in range(4)]
    opened.clear()
    for _epoch in range(2):
        assert all(video(read, i).equal(frames) for i, frames in enumerate(want))
    assert len(entries(tmp_path)) == 2 and len(opened) == 4 + 2
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "is full; raise DATA.CLIP_CACHE_GB" in caplog.text
    for count in ("", "?"):  # counted again
        (tmp_path / "bytes").write_text(count)
        video(read, 3)
        assert len(entries(tmp_path)) == 2


def test_a_folder_that_cannot_be_written_is_told_once_and_stops_nobody(tiny_data, tmp_path, caplog):
    (tmp_path / "file").touch()
    read = reader(tiny_data, tmp_path / "file")
    assert video(read, 0).equal(video(replace(read, cache=None), 0)) and video(read, 1).any()
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "takes no more clips" in caplog.text


def test_a_write_that_fails_does_not_count_as_used(tiny_data, tmp_path, monkeypatch):
    read = reader(tiny_data, tmp_path)
    video(read, 0)
    used = (tmp_path / "bytes").read_text()

    def refuse(*_args):
        raise OSError("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", refuse)
        assert video(read, 1).equal(video(replace(read, cache=None), 1))
    assert (tmp_path / "bytes").read_text() == used and len(entries(tmp_path)) == 1


def test_a_video_that_is_gone_is_missed_although_its_frames_are_kept(tiny_data, tmp_path):
    read = reader(tiny_data, tmp_path / "cache")
    clip = replace(read.clips[0], video=tmp_path / "clip.mp4")
    shutil.copy2(read.clips[0].video, clip.video)
    read = replace(read, clips=[clip])
    video(read, 0)
    clip.video.unlink()
    with pytest.raises(FileNotFoundError, match=r"clip\.mp4"):
        video(read, 0)


def _fill(folder: Path, sources: list[Path], order: int) -> None:
    """Read clips of 1000 bytes, of which the folder holds 20, in an order of this process's own."""
    cache = ClipCache(folder, format="raw", max_bytes=20 * 1300)
    for number in torch.randperm(len(sources), generator=torch.Generator().manual_seed(order)).tolist():
        frames = torch.full((1, 10, 100, 1), number, dtype=torch.uint8)
        for _ in range(3):
            entry = cache.entry(sources[number], str(number))
            got = cache.load(entry) or cache.keep(entry, ClipFrames(frames, (10, 100)))
            assert got.frames.equal(frames) and got.size == (10, 100)


def test_processes_that_fill_it_at_once_read_whole_entries_and_keep_its_bound(tmp_path):
    sources = [tmp_path / f"{number}.mp4" for number in range(40)]
    for source in sources:
        source.touch()
    processes = [multiprocessing.get_context("fork").Process(target=_fill, args=(tmp_path / "cache", sources, order))
                 for order in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    kept = sum(path.stat().st_size for path in entries(tmp_path / "cache"))
    assert 10 * 1300 < kept <= int((tmp_path / "cache/bytes").read_text()) <= 20 * 1300


def test_the_hash_counts_jpeg(tiny_data):
    raw, jpeg = (config_hash(tiny_cfg(tiny_data, tiny_data, APPEARANCE, DATA__CLIP_CACHE="a",
                                      DATA__CLIP_CACHE_FORMAT=format)) for format in FORMATS)
    assert raw != jpeg
