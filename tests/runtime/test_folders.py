"""Folders are walked once each, whatever links lead to them."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from data_folders import link

from trokens.cli.convert_points import find_pairs
from trokens.cli.get_points import local_files
from trokens.clips.walk import find_videos
from trokens.runtime.folders import walk

ROOT = Path(__file__).resolve().parents[2]


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.fixture
def circles(tmp_path) -> Path:
    """Folders with links to each other and to those above: os.walk with followlinks would never come to its end."""
    for i in range(8):
        touch(tmp_path, f"c{i}/{i}.mp4", f"c{i}/{i}.pkl")
        link(tmp_path, **{f"c{i}__up": "..", f"c{i}__self": ".", f"c{i}__other": f"../c{(i + 1) % 8}"})
    link(tmp_path, all=".", loop__mp4="loop.mp4")
    (tmp_path / "me.mp4").symlink_to("me.mp4")
    (tmp_path / "dead.mp4").symlink_to("nowhere.mp4")
    return tmp_path


def test_every_real_folder_is_visited_once_by_its_own_name(circles):
    tree = walk(circles)
    assert sorted(file for file in tree.files if file.endswith(".mp4")) == [f"c{i}/{i}.mp4" for i in range(8)]
    assert dict(tree.again) == {"all": ""} | {f"c{i}/{name}": target for i in range(8) for name, target in (
        ("up", ""), ("self", f"c{i}"), ("other", f"c{(i + 1) % 8}"))}
    assert sorted(tree.lost) == ["dead.mp4", "loop/mp4", "me.mp4"]


@pytest.mark.parametrize("pattern", ["", "**/*.mp4", "**", "*/*.mp4", "c*/**/*.mp4", "**/c?/[0-9].mp4"])
def test_videos_are_found_once_in_circles_of_links(circles, pattern, caplog):
    with caplog.at_level(logging.INFO, "trokens.clips"):
        videos, root = find_videos(str(circles / pattern) if pattern else str(circles))
    assert videos == [circles / f"c{i}/{i}.mp4" for i in range(8)] and root == circles
    assert pattern == "*/*.mp4" or "links to folders that are read by other names" in caplog.text


def test_other_tools_come_to_an_end_too(circles, tmp_path):
    assert [path.name for path, _ in find_pairs(circles, circles / "out", "safetensors")] == [
        f"{i}.pkl" for i in range(8)]
    names = local_files(circles).names
    assert [name for name in names if name.endswith(".pkl")] == [f"c{i}/{i}.pkl" for i in range(8)]


def test_a_pool_of_linked_class_folders_is_read_by_the_names_of_the_splits(tmp_path):
    touch(tmp_path, "pool/wave/1.mp4", "pool/bend/2.mp4", "elsewhere/3.mp4")
    link(tmp_path, train__wave="../pool/wave", test__bend="../pool/bend", link="elsewhere")
    tree = walk(tmp_path, first=("train", "test"))
    assert sorted(tree.files) == ["elsewhere/3.mp4", "test/bend/2.mp4", "train/wave/1.mp4"]
    assert sorted(walk(tmp_path).files) == ["elsewhere/3.mp4", "pool/bend/2.mp4", "pool/wave/1.mp4"]


def test_links_out_of_the_folder_are_followed(tmp_path):
    touch(tmp_path, "out/deep/1.mp4", "in/2.mp4", "3.mp4")
    link(tmp_path, in__b="../out", in__a="../out")
    (tmp_path / "in/4.mp4").symlink_to(tmp_path / "3.mp4")
    tree = walk(tmp_path / "in")
    assert sorted(tree.files) == ["2.mp4", "4.mp4", "a/deep/1.mp4"] and tree.again == [("b", "a")]


def test_links_to_what_lies_above_are_not_followed(tmp_path):
    """Neither above the folder that is walked, nor above a link's own folder: that would be another data set, or /."""
    touch(tmp_path, "beside/1.mp4", "videos/a/2.mp4", "pool/set/wave/3.mp4", "pool/other/4.mp4")
    link(tmp_path, videos__a__up="../..", videos__root="/", videos__wave="../pool/set/wave",
         pool__set__wave__up="../..")
    tree = walk(tmp_path / "videos")
    assert sorted(tree.files) == ["a/2.mp4", "wave/3.mp4"]
    assert sorted(tree.again) == [("a/up", str(tmp_path)), ("root", "/"), ("wave/up", str(tmp_path / "pool"))]
    for pattern, names in (("*/*.mp4", ["a/2.mp4", "wave/3.mp4"]), ("*/*/*/*.mp4", []),
                           ("a/up/beside/*.mp4", ["a/up/beside/1.mp4"]),  # asked for by that name
                           ("**/*.mp4", ["a/2.mp4", "wave/3.mp4"])):
        assert find_videos(str(tmp_path / "videos" / pattern))[0] == [tmp_path / "videos" / name for name in names]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_noted(tmp_path):
    touch(tmp_path, "a/1.mp4", "b/2.mp4")
    (tmp_path / "a").chmod(0)
    try:
        assert walk(tmp_path) == (["b/2.mp4"], [], [], ["a"])
    finally:
        (tmp_path / "a").chmod(0o700)


def test_links_by_the_hundred_take_no_memory(tmp_path):
    for i in range(150):
        touch(tmp_path, f"{i}/{i}.mp4")
    for i in range(150):
        link(tmp_path, **{f"{i}__{j}": f"../{j}" for j in range(0, 150, 3)})
    code = ("import resource, sys; from trokens.clips.walk import find_videos\n"
            "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "assert len(find_videos(sys.argv[1])[0]) == len(find_videos(sys.argv[1] + '/**/*.mp4')[0]) == 150\n"
            "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)
