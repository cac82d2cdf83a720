"""Files that are whole or absent, and what is said where the disk does not take them."""

import errno
import multiprocessing
import os
import pickle
import subprocess
from pathlib import Path

import pytest
import torch
from processes import limited

from trokens.runtime.files import WriteError, remove_unfinished, whole_file, write_json, write_text, writing


def as_bytes(path: Path) -> None:
    path.write_bytes(bytes(50000))


def as_checkpoint(path: Path) -> None:
    with open(path, "wb") as file:
        torch.save(torch.zeros(20000), file)


def as_named_checkpoint(path: Path) -> None:
    torch.save(torch.zeros(20000), path)


def as_tracks(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"xy": torch.zeros(20000)}, path)


def as_video(path: Path) -> None:
    import av
    import numpy as np

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "0"})
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for seed in range(20):
            noise = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise)))
        container.mux(stream.encode())


def as_picture(path: Path) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)).save(path, "PNG")


WRITERS = [as_bytes, as_checkpoint, as_named_checkpoint, as_tracks, as_video, as_picture]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_whatever_writes_a_file_too_large_for_its_disk_it_is_one_sentence_and_nothing_is_left(tmp_path, write):
    path = tmp_path / "new"
    with whole_file(path) as unfinished:
        write(unfinished)  # there is room
    before = path.read_bytes()
    with limited(20000), pytest.raises(WriteError) as error, whole_file(path) as unfinished:
        write(unfinished)
    assert str(error.value) == (f"{path} cannot be written (File too large); raise the limit of a file's size (ulimit "
                                "-f), or choose a folder on another file system.")
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["new"]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_full_disk_is_one_sentence_and_nothing_is_left(small_disk, fill, write):
    fill(20000)
    with pytest.raises(WriteError) as error, whole_file(small_disk / "new") as unfinished:
        write(unfinished)
    assert str(error.value) == (f"{small_disk / 'new'} cannot be written (No space left on device); free some space "
                                "there, or choose another folder.")
    assert os.listdir(small_disk) == ["fill"]


def test_a_read_only_disk_is_one_sentence(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(WriteError, match=r"Read-only file system\); choose a folder that can be written to\.$"):
        write_text(small_disk / "a" / "new", "")


def test_what_is_in_the_way_or_too_long_is_named_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    for path, message in ((tmp_path / "file/new", r"file/new cannot be written \((Not a dir.*|File exists)\); move"),
                          (tmp_path / ("x" * 300), r"x cannot be written \(File name too long\); choose a folder with"),
                          (tmp_path / "/".join(["y" * 250] * 20), r"y cannot be written \(File name too long\); ch"),
                          (Path("/proc/new/file"), r"/proc/new/file cannot be written \(No such file or directory\)")):
        with pytest.raises(WriteError, match=message):
            write_text(path, "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match=r"folder cannot be written \(Is a directory\); move the folder"):
        write_text(tmp_path / "folder", "")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_errors_that_are_not_the_disk_s_pass_through(tmp_path):
    for error in (ValueError("no frames"), FileNotFoundError(errno.ENOENT, "No such file", "/source"),
                  OSError(errno.EIO, "of the source"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, whole_file(tmp_path / "new"):
            raise error
        assert caught.value is error
    assert not os.listdir(tmp_path)


def test_the_sentence_comes_out_of_another_process():
    with pytest.raises(WriteError) as caught, writing("/x", "buy a disk"):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    error = caught.value
    assert str(pickle.loads(pickle.dumps(error))) == "/x cannot be written (Disk quota exceeded); buy a disk."
    with pytest.raises(WriteError, match="/x cannot"), writing("/y"):
        raise error


def write_and_wait(path: Path, pipe) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        pipe.send("writing")
        pipe.recv()
        unfinished.write_text("whole")


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
    context, path = multiprocessing.get_context("fork"), tmp_path / "new"
    writers = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=write_and_wait, args=(path, theirs), daemon=True)
        process.start()
        assert ours.recv() == "writing"
        writers.append((process, ours))
    assert len(os.listdir(tmp_path)) == 2
    writers[0][0].kill()
    writers[0][0].join()
    remove_unfinished([path])
    assert len(os.listdir(tmp_path)) == 1
    writers[1][1].send("go on")
    writers[1][0].join()
    assert os.listdir(tmp_path) == ["new"] and path.read_text() == "whole"


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "a" / "x.json", {"a": 1})
    assert (tmp_path / "a" / "x.json").read_text() == '{\n "a": 1\n}\n'
    with pytest.raises(TypeError):
        write_json(tmp_path / "a" / "x.json", {"a": object()})
    assert (tmp_path / "a" / "x.json").read_text() == '{\n "a": 1\n}\n'
