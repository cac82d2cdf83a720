"""Frames that wait to be tracked lie in memory, and beyond its share in a file that nobody sees."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from trokens.trackers import held as module
from trokens.trackers.held import Backward, HeldFrames


def arrays(count: int = 7) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(256, size=(count, 5, 3), dtype=np.uint8))


@pytest.mark.parametrize("in_memory", [0, 14, 3 * 15, 1000])
def test_frames_come_back_wherever_they_lie(tmp_path, in_memory):
    held, frames = HeldFrames(tmp_path / "new", 7, in_memory), arrays()
    for frame in frames:
        held.append(frame)
    assert len(held) == 7 and np.array_equal(np.stack(list(held)), frames)
    assert all(np.array_equal(held[i], frames[i]) for i in (3, -1, 0, 6, 6))
    assert np.array_equal(np.stack(list(Backward(held))), frames[::-1])
    assert np.array_equal(Backward(held)[-1], frames[0])
    for sequence in (held, Backward(held)):
        with pytest.raises(IndexError):
            sequence[7]
    assert len(held._arrays) == min(7, in_memory // 15)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))  # a killed process leaves nothing


@pytest.mark.parametrize("in_memory", [15, 1000])
def test_a_repeated_frame_is_held_once(tmp_path, in_memory):
    held, (first, second, third, *_) = HeldFrames(tmp_path, 7, in_memory), arrays()
    for frame in (first, first, second, second, second, third):
        held.append(frame)
    assert np.array_equal(np.stack(list(held)), [first, first, second, second, second, third])
    assert len(held._arrays) + held._in_file == 3


def test_views_and_floats_are_held_too(tmp_path):
    held, frames = HeldFrames(tmp_path, 7, 0), [frame.astype(np.float32)[::-1] for frame in arrays()]
    for frame in frames:
        held.append(frame)
    assert np.array_equal(np.stack(list(held)), frames) and held[0].dtype == np.float32


def test_closing_lets_go_of_the_file(tmp_path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("counts open files through /proc")
    before, held = len(os.listdir("/proc/self/fd")), HeldFrames(tmp_path, 7, 0)
    held.append(arrays()[0])
    assert len(os.listdir("/proc/self/fd")) == before + 1
    held.close()
    assert len(os.listdir("/proc/self/fd")) == before and not len(held)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a disk that is full")
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr(module, "TemporaryFile", lambda **_: full)
        with pytest.raises(OSError) as error:
            HeldFrames(tmp_path, 7, 0).append(arrays()[0])
    assert str(error.value) == ("Frames cannot be kept in a temporary file (No space left on device); free some space "
                                f"in {tmp_path}, or cut the video into shorter ones.")


def test_a_disk_that_will_be_full_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "disk_usage", lambda folder: SimpleNamespace(free=5 * 15 - 1))
    held, frames = HeldFrames(tmp_path, 7, 2 * 15), arrays()
    for frame in frames[:2]:
        held.append(frame)
    with pytest.raises(OSError) as error:
        held.append(frames[2])
    assert str(error.value) == ("7 frames take 0.0 GB beyond their share of memory, and the disk has 0.0 GB left; free "
                                f"some space in {tmp_path}, or cut the video into shorter ones.")
    monkeypatch.setattr(module, "disk_usage", lambda folder: SimpleNamespace(free=5 * 15))
    held.append(frames[2])
    held.close()
