"""A video that was replaced after its points were extracted is noticed, wherever both are used."""

import csv
import logging
import os
import shutil
from pathlib import Path

import cv2
import pytest
import tiny
from extracting import run
from tiny import FRAMES

from trokens.cli import check as check_data
from trokens.cli import moving_shapes as make_moving_shapes
from trokens.cli import train
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.moving_shapes.render import render_clip
from trokens.points.io import read_point_file, write_tracks
from trokens.points.source import SourceCheck, describe_video, video_change
from trokens.video.write import write_video

GRID = ("--use_grid", "--cotracker_grid_size", 3)


def write(path: Path, seed: int = 0, frames: int = 12) -> Path:
    cv2.setNumThreads(1)
    write_video(path, render_clip("translate_left", seed=seed, size=64, num_frames=frames, num_points=4)[0])
    return path


def replace_content(path: Path) -> None:
    """Another video of the same name, size in bytes and time of change."""
    before, other = path.stat(), write(path.with_name("other.mp4"), seed=5)
    data = other.read_bytes()
    other.unlink()
    size = before.st_size
    # A box that players pass over fills the place that is left.
    path.write_bytes(data + (size - len(data)).to_bytes(4, "big") + b"free" + bytes(size - len(data) - 8)
                     if len(data) + 8 <= size else data[:size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == size


@pytest.fixture
def extracted(tmp_path) -> Path:
    """Three videos of two classes with points."""
    for i, name in enumerate(("bend/0", "bend/1", "wave/0")):
        write(tmp_path / "videos" / f"{name}.mp4", seed=i)
    assert extract(tmp_path) == 0
    return tmp_path


def extract(root: Path, *flags) -> int:
    return run("--videos", root / "videos", "--base_feat_path", root / "points", "--name", "n", "--fps", 0, *GRID,
               *flags)


def points(root: Path, id: str = "bend__0", suffix: str = ".safetensors") -> Path:
    return root / "points/n/folder/feat_dump" / f"{id}{suffix}"


def reader(root: Path, mode: str = "error", **changes) -> ClipReader:
    clips = [Clip(f"bend__{i}", root / f"videos/bend/{i}.mp4", points(root, f"bend__{i}"), 0, "bend") for i in range(2)]
    return ClipReader(clips, num_frames=4, size=32, num_points=4, sampling="random", source_check=SourceCheck(mode),
                      **changes)


def test_a_description_is_that_of_the_content_alone(tmp_path):
    video = write(tmp_path / "a.mp4")
    shutil.copy(video, tmp_path / "b.mp4")
    os.utime(tmp_path / "b.mp4", (0, 0))
    assert describe_video(video) == describe_video(tmp_path / "b.mp4")
    assert video_change(describe_video(video), tmp_path / "b.mp4") is None
    assert video_change({}, tmp_path / "b.mp4") is None  # points of somebody else
    replace_content(tmp_path / "b.mp4")
    assert "the same" in video_change(describe_video(video), tmp_path / "b.mp4")


@pytest.mark.parametrize("size", [0, 1, 1000, 64 * 1024, 192 * 1024, 192 * 1024 + 1, 3_000_000])
def test_start_middle_and_end_of_a_file_count(tmp_path, size):
    path, data = tmp_path / "a", bytearray(os.urandom(size))
    path.write_bytes(data)
    before = describe_video(path)
    for at in {0, size // 2, size - 1} if size else ():
        changed = data.copy()
        changed[at] ^= 1
        path.write_bytes(changed)
        assert describe_video(path) != before
    path.write_bytes(data)
    assert describe_video(path) == before and before["video_bytes"] == str(size)


def test_a_large_file_is_not_read_through(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(2**40)  # sparse
    assert describe_video(tmp_path / "a")["video_bytes"] == str(2**40)


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl"])
def test_extraction_notes_the_video_in_either_format(tmp_path, suffix):
    video = write(tmp_path / "videos/bend/0.mp4")
    assert extract(tmp_path, "--format", suffix[1:]) == 0
    metadata = read_point_file(points(tmp_path, suffix=suffix)).metadata
    assert describe_video(video).items() <= metadata.items()


def test_moving_shapes_note_their_videos(tmp_path):
    assert make_moving_shapes.main(["--out", str(tmp_path), "--clips-per-class", "1", "--frames", "4", "--size", "48",
                                    "--points", "4", "--workers", "1"]) == 0
    file = next((tmp_path / "points/exact/folder/feat_dump").iterdir())
    assert video_change(read_point_file(file).metadata, tmp_path / (file.stem.replace("__", "/") + ".mp4")) is None


def test_a_replaced_video_is_refused_by_name(extracted):
    read = reader(extracted)
    read.read(0, with_video=True)
    video = extracted / "videos/bend/0.mp4"
    replace_content(video)
    size = video.stat().st_size
    for _again in range(2):
        with pytest.raises(ValueError) as caught:
            read.read(0, with_video=True)
        assert str(caught.value) == (
            f"Clip 'bend__0': {video} is not the video that its points {points(extracted)} were extracted from: it has "
            f"the same {size} bytes, but another content; restore it, or extract it again (--rerun), or, where it "
            "shows the same, set mode to warn.")
    read.read(1, with_video=True)


def test_a_copied_data_set_is_the_same(extracted):
    for video in (extracted / "videos").rglob("*.mp4"):
        shutil.copy(video, video.with_suffix(".copy"))
        os.replace(video.with_suffix(".copy"), video)
        os.utime(video, (1, 1))
    reader(extracted).read(0, with_video=True)


def test_the_mode_says_what_becomes_of_it(extracted, caplog):
    for i in range(2):
        write(extracted / f"videos/bend/{i}.mp4", seed=7 + i)
    warned = reader(extracted, "warn")
    for i in (0, 1, 0):
        warned.read(i, with_video=True)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "restore it, or extract it again (--rerun). Going on with this clip and all others like it" in caplog.text
    caplog.clear()
    reader(extracted, "ignore").read(0, with_video=True)
    assert not caplog.records


@pytest.mark.parametrize("mode", ["error", "warn", "ignore"])
def test_a_video_that_became_shorter_is_told_in_the_same_words(extracted, mode):
    write(extracted / "videos/bend/0.mp4", frames=6)
    with pytest.raises(ValueError, match=r"Clip 'bend__0': .*0\.mp4 is not the video that its points .*bend__0\."
                                         r"safetensors were extracted from: .*; restore it, or extract it again"):
        reader(extracted, mode).read(0, with_video=True)


def test_points_that_do_not_tell_are_used_as_before(extracted):
    file = read_point_file(points(extracted))
    metadata = {key: value for key, value in file.metadata.items() if not key.startswith("video_")}
    write_tracks(points(extracted), file.tracks, metadata)
    replace_content(extracted / "videos/bend/0.mp4")
    reader(extracted).read(0, with_video=True)


def test_a_run_without_frames_needs_no_video(extracted):
    shutil.rmtree(extracted / "videos")
    reader(extracted).read(0, with_video=False)


def test_extraction_started_again_takes_a_replaced_video_again(extracted, caplog, capsys):
    before = {path.name: path.read_bytes() for path in points(extracted).parent.iterdir()}
    assert extract(extracted) == 0 and "3 videos, 3 of them done before" in capsys.readouterr().out
    write(extracted / "videos/bend/1.mp4", seed=9, frames=9)
    points(extracted, "wave__0").write_bytes(b"damaged")
    assert extract(extracted) == 0 and "3 videos, 1 of them done before" in capsys.readouterr().out
    assert ("Videos replaced since their points were extracted, which are extracted again: 1 (first: "
            f"{extracted / 'videos/bend/1.mp4'}).") in caplog.text
    assert "Videos whose point files cannot be read, which are extracted again: 1 (first: " in caplog.text
    after = {path.name: path.read_bytes() for path in points(extracted).parent.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"bend__1.safetensors"}
    assert read_point_file(points(extracted, "bend__1")).tracks.num_positions == 9


def check(root: Path, *flags, **changes) -> tuple[int, list[dict[str, str]]]:
    code = check_data.main(["--cfg", str(tiny.CONFIG), "--workers=0", "--csv", str(root / "found.csv"), *flags,
                            *tiny.arguments(root, root / "out", FRAMES, DATA__PATH_TO_DATA_DIR=root / "videos",
                                            POINT_INFO__NAME="n", TRAIN__ENABLE=False, FEW_SHOT__N_WAY=1,
                                            FEW_SHOT__TEST_QUERY_PER_CLASS=1, **changes)])
    with open(root / "found.csv", newline="") as file:
        return code, [row for row in csv.DictReader(file) if row["clip"].startswith("bend")]


@pytest.mark.parametrize("flags", [(), ("--quick",)])
def test_check_data_finds_it_as_the_run_does(extracted, flags):
    assert check(extracted, *flags)[1] == []
    replace_content(extracted / "videos/bend/0.mp4")
    for mode, severity in (("error", "error"), ("warn", "warning"), ("ignore", None)):
        found = check(extracted, *flags, DATA__CHANGED_VIDEO=mode)[1]
        assert [(row["severity"], row["finding"], row["clip"]) for row in found] == (
            [(severity, "video changed", "bend__0")] if severity else [])


def test_a_run_ends_in_that_sentence(extracted, capsys):
    """With loader processes too."""
    for i in range(1, 4):
        for name in ("wave", "bend"):
            write(extracted / f"videos/{name}/{i}.mp4", seed=20 + i)
    assert extract(extracted) == 0
    for video in (extracted / "videos").rglob("*.mp4"):
        replace_content(video)
    for workers in (0, 1):
        code = train.main([
            "--cfg", str(tiny.CONFIG), *tiny.arguments(
                extracted, extracted / "out", tiny.APPEARANCE, DATA__PATH_TO_DATA_DIR=extracted / "videos",
                POINT_INFO__NAME="n", TRAIN__ENABLE=False, FEW_SHOT__N_WAY=2, DATA_LOADER__NUM_WORKERS=workers,
                MODEL__NUM_CLASSES=2)])
        assert code == 2
        error = capsys.readouterr().err
        assert "is not the video that its points" in error and "set DATA.CHANGED_VIDEO to warn." in error
