"""What is wrong with a split before any file of it is opened."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from trokens.clips.checks import Finding, Needs, check_split
from trokens.clips.split import Clip

NEEDS = Needs(n_way=1, clips_per_class=2)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def ten(tmp_path) -> list[Clip]:
    """Ten clips: videos 0-8 and point files 1-9 are there."""
    touch(tmp_path, *(f"v{i % 2}/{i}.mp4" for i in range(9)), *(f"points/{i}.safetensors" for i in range(1, 10)))
    return [Clip(str(i), tmp_path / f"v{i % 2}/{i}.mp4", tmp_path / f"points/{i}.safetensors", 0, "a")
            for i in range(10)]


def test_files_that_are_missing_are_errors_and_their_clips_stay(ten, tmp_path):
    kept, found = check_split("train", ten, replace(NEEDS, allow_missing=0.1))
    assert kept == ten and found == [
        Finding("error", "train", "video missing", "9", "there is no such file", f"{tmp_path}/v1/9.mp4"),
        Finding("error", "train", "points missing", "0", "there is no such file", f"{tmp_path}/points/0.safetensors")]


def test_permitted_missing_files_are_warnings_and_their_clips_are_left_out(ten):
    kept, found = check_split("train", ten, replace(NEEDS, allow_missing=0.2))
    assert [clip.id for clip in kept] == [str(i) for i in range(1, 9)]
    assert [one.severity for one in found] == ["warning"] * 2
    _, found = check_split("train", ten, replace(NEEDS, allow_missing=0.2, clips_per_class=9))
    assert found[-1] == ("error", "train", "class too small", "a", "8 clips, an episode takes 9 (k_shot + n_query)", "")


def test_no_share_of_missing_clips_permits_an_empty_split(tmp_path):
    clip = Clip("x", tmp_path / "x.mp4", tmp_path / "x.pkl", 0, "a")
    clips = [clip, replace(clip, id="y")]
    kept, found = check_split("train", clips, replace(NEEDS, allow_missing=1.0))
    assert kept == clips and {one.severity for one in found} == {"error"}


def test_every_folder_is_listed_once_however_many_clips_it_holds(ten, monkeypatch):
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(Path(folder).name) or scandir(folder))
    monkeypatch.setattr(Path, "stat", None)
    check_split("train", ten, NEEDS)
    assert sorted(listed) == ["points", "v0", "v1"]


def test_runs_without_appearance_need_no_videos_but_those_of_pickles(ten, tmp_path):
    kinds = [one.kind for one in check_split("train", ten, replace(NEEDS, with_video=False))[1]]
    assert kinds == ["points missing"]
    touch(tmp_path, "points/9.pkl")
    ten[9] = replace(ten[9], tracks=tmp_path / "points/9.pkl")
    kinds = [one.kind for one in check_split("train", ten, replace(NEEDS, with_video=False))[1]]
    assert kinds == ["video missing", "points missing"]


def test_a_split_without_a_single_clip_is_an_error_unless_it_may_be_empty():
    assert check_split("val", [], replace(NEEDS, may_be_empty=True)) == ([], [])
    assert [one.kind for one in check_split("test", [], NEEDS)[1]] == ["no clips"]


def test_a_folder_in_a_videos_place_is_no_video(ten, tmp_path):
    (tmp_path / "v0/0.mp4").unlink()
    (tmp_path / "v0/0.mp4").mkdir()
    assert [one.clip for one in check_split("train", ten, NEEDS)[1] if one.kind == "video missing"] == ["0", "9"]


def test_training_labels_must_fit_the_classifier(ten):
    clips = [replace(clip, class_id=51 * (i > 4), class_name="ab"[i > 4]) for i, clip in enumerate(ten[1:9])]
    assert check_split("train", clips, replace(NEEDS, num_classes=52))[1] == []
    assert check_split("train", clips, replace(NEEDS, num_classes=51))[1] == [
        ("error", "train", "class id too high", "b", "label 51, and the classifier 51 outputs", "")]


def test_fewer_classes_than_an_episode_has_are_an_error_unless_the_run_makes_do_with_them(ten):
    for fewer_ways, severity in ((True, "warning"), (False, "error")):
        found = check_split("val", ten[1:9], replace(NEEDS, n_way=3, fewer_ways=fewer_ways))[1]
        assert found == [(severity, "val", "too few classes", "", "1 classes, an episode takes 3 (n_way)", "")]
