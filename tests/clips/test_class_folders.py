"""Which folders are splits and classes, and what is said of all else."""


import pytest
from data_folders import link, options, rows, touch, write_csv

from trokens.cli import splits as make_splits
from trokens.clips.class_folders import split_folders
from trokens.clips.split import build_split
from trokens.clips.walk import find_videos


def test_folders_below_a_class_belong_to_it(tmp_path, said):
    touch(tmp_path, "wave/1.mp4", "wave/day 2/cam_1/1.mp4", "bend/x/1.AVI")
    assert rows(tmp_path) == [("test", "bend", "bend__x__1"), ("test", "wave", "wave__1"),
                              ("test", "wave", "wave__day 2__cam_1__1")]
    assert said(rows, tmp_path) == ("Videos in folders below their class folders, which name their classes: 2 (first: "
                                    "bend/x/1.AVI).")
    splits = tmp_path / "splits"
    touch(splits, "train/wave/a/1.mp4", "test/bend/2.mp4")
    assert rows(splits) == [("train", "wave", "train__wave__a__1"), ("test", "bend", "test__bend__2")]


def test_every_suffix_is_taken_in_either_case(tmp_path):
    names = [f"{i}.{suffix}" for i, suffix in enumerate((
        "gif", "mts", "m2ts", "vob", "3g2", "asf", "GIF", "MTS", "M2TS", "VOB", "3G2", "ASF", "MP4", "WebM"))]
    touch(tmp_path, *(f"wave/{name}" for name in names))
    assert len(rows(tmp_path)) == len(names) == len(find_videos(str(tmp_path))[0])


def test_a_gif_beside_a_video_of_its_name_is_a_picture_of_it(tmp_path, said):
    touch(tmp_path, "wave/1.mp4", "wave/1.gif", "wave/2.GIF", "bend/1.gif")
    assert [id for *_, id in rows(tmp_path)] == ["bend__1", "wave__1", "wave__2"]
    assert said(rows, tmp_path) == f"Passed over in {tmp_path}: files of other suffixes 1 (.gif 1)."
    assert [path.name for path in find_videos(str(tmp_path))[0]] == ["1.gif", "1.mp4", "2.GIF"]


def test_what_is_passed_over_is_said_in_one_line(tmp_path, said):
    touch(tmp_path, "train/wave/1.mp4", "test/bend/1.mp4", "train/wave/notes.txt", "test/bend/1.jpg", "test/bend/2.jpg",
          "test/bend/.hidden.mp4", ".git/x", "extra/a.mp4", "extra/deep/b.mp4", "loose.mp4", "train/loose.mp4",
          "points/flow/folder/feat_dump/1.pkl", "points/flow/folder/vis/1.gif", "test/bend/1.safetensors")
    (tmp_path / "test/bend/gone.mp4").symlink_to("nowhere")
    link(tmp_path, train__back="..")
    line = (f"Passed over in {tmp_path}: files of other suffixes 3 (.jpg 2, .txt 1); hidden files or folders 2 (.git, "
            "...); what cannot be read 1 (test/bend/gone.mp4); videos in folders beside train/, test/ 2 (extra/a.mp4, "
            "...); videos in no class folder 2 (loose.mp4, ...); links to folders that are read by other names 1 "
            "(train/back is this folder itself).")
    assert said(rows, tmp_path) == line
    cfg = options("folder", data=tmp_path, points=tmp_path / "points")
    assert line in said(build_split, cfg, "test")
    classless = ("videos in folders beside train/, test/ 2 (extra/a.mp4, ...); "
                 "videos in no class folder 2 (loose.mp4, ...); ")
    assert said(find_videos, str(tmp_path)) == line.replace(classless, "")


def test_make_splits_says_what_it_passes_over(tmp_path, said, capsys):
    touch(tmp_path, "videos/a/1.mp4", "videos/a/1.txt", "videos/b/x/1.mp4", "videos/c/1.mp4", "videos/2.mp4")
    command = [str(tmp_path / "videos"), "--out", str(tmp_path / "s.csv")]
    assert "files of other suffixes 1 (.txt 1); videos in no class folder 1 (2.mp4)" in said(
        make_splits.main, [*command, "--train-classes", "a", "--test-classes", "b"])
    assert "1 classes are in no split. Their 1 videos are left out (first class: c)." in capsys.readouterr().out
    assert rows(tmp_path / "videos", str(tmp_path / "s.csv")) == [("train", "a", "a__1"), ("test", "b", "b__x__1")]


def test_videos_that_a_csv_leaves_out_are_said(tmp_path, said):
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "new/1.mp4", "new/2.mp4", "new/2.txt", "a/.3.mp4")
    link(tmp_path, alias="a")
    write_csv(tmp_path / "s.csv", ("path", "label", "split"), ("a/1.mp4", "a", "train"), ("b/1.mp4", "b", "test"))
    assert said(rows, tmp_path, str(tmp_path / "s.csv")) == (
        f"Passed over in {tmp_path}: videos that s.csv does not list 1 (a/2.mp4); videos in folders of no split 2 "
        "(new/1.mp4, ...).")
    write_csv(tmp_path / "s.csv", ("path", "label", "split"), *((f"{name}.mp4", name[0], "test") for name in (
        "a/1", "a/2", "b/1", "new/1", "new/2")))
    assert said(rows, tmp_path, str(tmp_path / "s.csv")) == ""


@pytest.mark.parametrize(("folders", "expected"), [
    (("train", "validation", "test"), ("train", "validation", "test")),
    (("training", "testing"), ("training", None, "testing")),
    (("Train", "VAL", "Test"), ("Train", "VAL", "Test")),
    (("train", "valid"), ("train", "valid", None)),
    (("train", "wave"), ("train", None, None)),
])
def test_splits_have_further_names(tmp_path, folders, expected):
    touch(tmp_path, *(f"{folder}/{folder}_class/1.mp4" for folder in folders))
    found = split_folders(tmp_path)
    assert tuple(found.get(split) for split in ("train", "val", "test")) == expected
    assert {(split, id.split("__")[0]) for split, _, id in rows(tmp_path)} == set(found.items())


def test_classes_may_be_called_like_splits(tmp_path):
    touch(tmp_path, "training/1.mp4", "training/deep/1.mp4", "running/1.mp4", "testing/x/2.mp4")
    assert split_folders(tmp_path) == {}  # one folder alone that could be a split
    assert {name for _, name, _ in rows(tmp_path)} == {"training", "running", "testing"}


def test_two_folders_of_one_split_are_refused(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "val/b/1.mp4", "validation/c/1.mp4")
    with pytest.raises(ValueError, match="folders val and validation, which both mean the val split"):
        rows(tmp_path)


def test_a_circle_of_links_gives_no_clip_twice(tmp_path):
    touch(tmp_path, "wave/1.mp4", "bend/1.mp4")
    link(tmp_path, wave__up="..", wave__bend="../bend", all=".", also="wave")
    assert rows(tmp_path) == [("test", "bend", "bend__1"), ("test", "wave", "wave__1")]


def test_splits_that_share_a_folder_by_a_link_are_refused(tmp_path):
    touch(tmp_path, "pool/wave/1.mp4", "train/bend/1.mp4", "test/jump/1.mp4")
    link(tmp_path, train__wave="../pool/wave", test__waving="../pool/wave")
    with pytest.raises(ValueError, match=r"'train/wave' and 'test/waving' in .* are one folder by a link"):
        rows(tmp_path)
    (tmp_path / "test/waving").unlink()
    assert ("train", "wave", "train__wave__1") in rows(tmp_path)
    link(tmp_path, val="test")
    with pytest.raises(ValueError, match=r"'val' and 'test' in .* are one folder by a link"):
        rows(tmp_path)


def test_extraction_and_training_call_linked_clips_alike(tmp_path):
    touch(tmp_path, "pool/wave/1.mp4", "pool/bend/1.mp4")
    link(tmp_path, train__wave="../pool/wave", test__bend="../pool/bend")
    videos, root = find_videos(str(tmp_path))
    assert ["__".join(video.relative_to(root).with_suffix("").parts) for video in videos] == [
        id for *_, id in sorted(rows(tmp_path), key=lambda row: row[2])]
