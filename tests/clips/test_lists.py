"""Lists as people write them: names that differ by what nobody sees, videos that have another suffix."""

import json
import os
import time
from pathlib import Path

import pytest
from data_folders import FOLDER, hmdb, options, rows, touch, write_csv, write_json

from trokens.cli import extract as extract_points
from trokens.cli import splits as make_splits
from trokens.clips.checks import missing_files
from trokens.clips.classes import clean, reading
from trokens.clips.dataset import DATASETS, Source
from trokens.clips.split import build_split, build_splits
from trokens.clips.walk import videos_on_disk


@pytest.fixture
def read(tmp_path):
    """Reads a folder's CSV of (path, label, split)."""
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")

    def of(*records: tuple[str, str, str], encoding: str = "utf-8", end: str = "\n") -> list[tuple[str, str, str]]:
        text = end.join(",".join(record) for record in (("path", "label", "split"), *records)) + end
        (tmp_path / "s.csv").write_bytes(text.encode(encoding))
        return rows(tmp_path, str(tmp_path / "s.csv"))
    return of


def test_what_nobody_sees_around_a_text_is_dropped():
    for text in ("jack ", " jack", "jack\t", "jack\u00a0", "jack\u200b", "\ufeffjack",
                 "\u200b jack \u2060\r\n", "jack"):
        assert clean(text) == "jack"
    assert clean("two words") == "two words" and clean(" \u200b") == ""


def test_names_are_compared_as_they_are_read():
    alike = ["Jump Rope", "jump rope", "jump  rope", "jump\u00a0rope", " jump\u200b rope", "ｊｕｍｐ rope"]
    assert len({reading(name) for name in alike}) == 1
    assert reading("caf\u00e9") == reading("cafe\u0301") != reading("cafe")
    assert reading("ju jitsu") != reading("jujitsu")


@pytest.mark.parametrize("dirty", ["jack ", " jack", "jack\u00a0", "\u200bjack", "jack\t"])
def test_labels_and_splits_are_stripped(read, dirty):
    assert read(("a/1.mp4", "jack", " train"), ("a/2.mp4", dirty, "train\u00a0"), ("b/1.mp4", "bend", "test ")) == [
        ("train", "jack", "a__1"), ("train", "jack", "a__2"), ("test", "bend", "b__1")]
    with pytest.raises(ValueError, match=r"Class 'jack' is in the test split and in an earlier one \(1 such"):
        read(("a/1.mp4", "jack", "test"), ("a/2.mp4", dirty, "train"))


@pytest.mark.parametrize(("encoding", "end"), [
    ("utf-8-sig", "\r\n"), ("utf-8", "\r\n"), ("utf-8-sig", "\n"), ("utf-8", "\r"), ("utf-16", "\r\n")])
def test_lists_of_other_systems_are_read(read, encoding, end):
    assert read(("a/1.mp4", "jack", "train"), ("b/1.mp4", "bend", "test"), encoding=encoding, end=end) == [
        ("train", "jack", "a__1"), ("test", "bend", "b__1")]


def test_columns_and_paths_may_have_white_space_around_them(tmp_path):
    touch(tmp_path, "a/1.mp4", " odd/2.mp4")
    write_csv(tmp_path / "s.csv", (" path", "label ", "\u00a0split"), ("a/1.mp4 ", "a", "train"),
              (" odd/2.mp4", "b", "test"))
    assert [row.video for row in FOLDER.rows(Source(tmp_path, tmp_path, split_csv=str(tmp_path / "s.csv")))
            ] == ["a/1.mp4", " odd/2.mp4"]


@pytest.mark.parametrize(("one", "two", "named"), [
    ("bend", "Bend", "'bend'.*'Bend'"), ("jump rope", "jump  rope", "'jump rope'.*'jump  rope'"),
    ("caf\u00e9", "cafe\u0301", r"'caf\\xe9'.*'cafe\\u0301'"), ("ja\u200bck", "jack", r"'ja\\u200bck'.*'jack'")])
def test_names_that_read_alike_may_not_be_in_two_splits(read, one, two, named, caplog):
    with pytest.raises(ValueError, match=rf"Class {named} of the test split are the same but for case, white space or "
                                         r"Unicode form \(1 such classes\)"):
        read(("a/1.mp4", one, "train"), ("b/1.mp4", two, "test"))
    caplog.clear()
    assert len({name for _, name, _ in read(("a/1.mp4", one, "train"), ("b/1.mp4", two, "train"))}) == 2
    assert "they count as two classes" in caplog.text


def test_the_list_that_passed_is_refused(faults, tmp_path):
    touch(tmp_path, *(f"{name}/s0{i}_a.mp4" for name in ("jack", "bend", "wave1") for i in (1, 2, 3)))
    with pytest.raises(ValueError, match=r"Class 'Bend' of the train split and class 'bend' of the test split are the "
                                         r"same but for case.*\(2 such classes\)"):
        rows(tmp_path, str(faults / "labels_trailing_space.csv"))


def test_class_folders_that_differ_by_case_or_a_space_may_not_be_in_two_splits(tmp_path):
    touch(tmp_path, "train/Wave/1.mp4", "test/wave/1.mp4")
    with pytest.raises(ValueError, match="Class 'Wave' of the train split and class 'wave' of the test split"):
        rows(tmp_path)
    os.rename(tmp_path / "train/Wave", tmp_path / "train/wave ")
    with pytest.raises(ValueError, match="Class 'wave' is in the test split and in an earlier one"):
        rows(tmp_path)
    os.rename(tmp_path / "train/wave ", tmp_path / "train/other")
    touch(tmp_path, "train/other /2.mp4")
    assert {(name, id) for _, name, id in rows(tmp_path)} == {
        ("wave", "test__wave__1"), ("other", "train__other__1"), ("other", "train__other __2")}


def test_published_lists_share_no_class_either(tmp_path):
    with pytest.raises(ValueError, match="Class 'Wave' of the train split and class 'wave' of the test split"):
        build_split(hmdb(tmp_path, ("a", "v/Wave/a.avi", 0, "train"), ("b", "v/wave/b.avi", " 1", "test ")), "train")
    with pytest.raises(ValueError, match="Class 'wave' is in the test split and in an earlier one"):
        build_split(hmdb(tmp_path, ("a", "v/wave/a.avi", 0, "train"), ("b", "v/wave /b.avi", 1, "test"),
                         ("c", "v/x/c.avi", 2, "test")), "train")
    with pytest.raises(ValueError, match=r"Label 0 is in the train split and in the test split \(1 such labels\)"):
        build_split(hmdb(tmp_path, ("a", "v/a.avi", 0, "train"), ("b", "v/b.avi", 1, "train"),
                         ("c", "v/c.avi", 0, "test")), "train")


def test_lists_that_number_each_split_anew_are_warned_about(tmp_path, caplog):
    for split in ("train", "test"):
        write_json(tmp_path / "few_shot_info/ssv2_small" / f"{split}_few_shot.json",
                   [{"id": f"{split}1", "label": "3 "}])
    assert build_split(options("ssv2", points=tmp_path), "test")[0].class_id == 3
    assert "Label 3 is in the train split and in the test split (1 such labels)" in caplog.text


def test_make_splits_takes_lists_with_a_byte_order_mark(faults, tmp_path, capsys):
    touch(tmp_path, "v/jack/1.mp4", "v/bend/1.mp4", "v/Wave/1.mp4")
    command = [str(tmp_path / "v"), "--out", str(tmp_path / "s.csv")]
    assert make_splits.main([*command, "--train-classes", str(faults / "class_list_bom.txt"),
                             "--test-classes", " Wave\u200b"]) == 0
    assert [split for split, *_ in rows(tmp_path / "v", str(tmp_path / "s.csv"))] == ["train", "train", "test"]
    capsys.readouterr()
    assert make_splits.main([*command, "--train-classes", "jack", "--test-classes", "wave"]) == 2
    assert "Class 'wave' of the test list has no folder with videos (1 such classes); 'Wave' differs only by case" in (
        capsys.readouterr().err)


def test_make_splits_refuses_classes_that_read_alike_in_two_splits(tmp_path, capsys):
    touch(tmp_path, "jack/1.mp4", "Jack/1.mp4", "bend/1.mp4")
    command = [str(tmp_path), "--out", str(tmp_path / "s.csv"), "--train-classes", "jack"]
    assert make_splits.main([*command, "--test-classes", "Jack"]) == 2
    assert "Class 'jack' of the train split and class 'Jack' of the test split" in capsys.readouterr().err
    assert make_splits.main([*command, "--test-classes", "bend"]) == 0


def test_a_json_list_of_lists_without_end_is_named(tmp_path):
    path = tmp_path / "few_shot_info/finegym/master_few_shot.json"
    path.parent.mkdir(parents=True)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"master_few_shot\.json cannot be read as a list of clips"):
        build_split(options("finegym", points=tmp_path), "train")


SSV2 = "20bn-something-something-v2"


@pytest.fixture
def ssv2(tmp_path):
    """Config of a Something-Something whose lists have ten training clips, and one of test."""
    for split, ids in (("train", range(10)), ("test", [99])):
        write_json(tmp_path / "few_shot_info/ssv2_small" / f"{split}_few_shot.json",
                   [{"id": str(i), "label": "7" if split == "test" else str(i % 2)} for i in ids])
    return options("ssv2", data=tmp_path, points=tmp_path)


def test_a_listed_video_may_have_another_suffix(ssv2, tmp_path, said):
    touch(tmp_path / SSV2, *(f"{i}.mp4" for i in range(4)), "4.MP4", "5.webm", "5.mp4", "6.txt", "60.mp4", "99.mkv")
    build_splits(ssv2, ["train", "test"])
    line = said(build_splits, ssv2, ["train", "test"])
    assert line == ("Listed videos that have another suffix on disk, with which they are taken: 6 (4 .webm as .mp4, "
                    f"1 .webm as .MP4, 1 .webm as .mkv; first: {tmp_path}/{SSV2}/0.mp4).")
    clips = build_split(ssv2, "train")
    assert [clip.video.name for clip in clips] == ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.MP4", "5.webm", "6.webm",
                                                   "7.webm", "8.webm", "9.webm"]
    assert [clip.tracks.name for clip in clips] == [f"{i}.safetensors" for i in range(10)]


def test_two_videos_that_could_be_the_listed_one_are_an_error(ssv2, tmp_path):
    touch(tmp_path / SSV2, "3.mp4", "3.avi")
    with pytest.raises(ValueError, match=r"3\.webm' of the list is not there, and 3\.avi and 3\.mp4 beside it could"):
        build_split(ssv2, "train")


def test_a_gif_beside_a_video_is_no_second_candidate(ssv2, tmp_path):
    touch(tmp_path / SSV2, "3.mp4", "3.gif", "4.gif", ".5.mp4")
    clips = build_split(ssv2, "train")
    assert [clip.video.name for clip in clips[3:6]] == ["3.mp4", "4.gif", "5.webm"]


@pytest.mark.parametrize(("listed", "there"), [("A.MP4", "A.mp4"), ("A.mp4", "A.MP4"), ("A.b.avi", "A.b.webm")])
def test_lists_and_files_may_differ_in_the_case_of_suffixes(tmp_path, listed, there):
    touch(tmp_path, f"v/{there}")
    cfg = hmdb(tmp_path, ("x", f"v/{listed}", 0, "train"))
    cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path)
    clip, = build_split(cfg, "train")
    assert clip.video == tmp_path / "v" / there and clip.id == "A"


def test_extraction_takes_the_other_suffix_too(tmp_path, capsys):
    touch(tmp_path, "v/1.webm", "v/2.mp4")
    write_csv(tmp_path / "list.csv", ("video_path", " dataset"), ("v/1.mp4", "folder "), (" v/2.MP4", "folder"))
    videos, _ = extract_points.find_videos(extract_points.parse_args(
        ["--csv_path", str(tmp_path / "list.csv"), "--base_feat_path", str(tmp_path / "out")]))
    assert videos == [(tmp_path / "v/1.webm", "folder"), (tmp_path / "v/2.mp4", "folder")]


def test_fifty_thousand_names_take_one_listing(tmp_path, monkeypatch):
    folder = tmp_path / "v"
    folder.mkdir()
    for i in range(50_000):
        os.close(os.open(folder / f"{i}.mp4", os.O_CREAT))
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    monkeypatch.setattr(Path, "stat", None)
    start = time.process_time()
    found = videos_on_disk([f"{folder}/{i}.webm" for i in range(50_000)])
    assert time.process_time() - start < 5 and len(listed) == 1
    assert found[-1] == f"{folder}/49999.mp4"


def test_a_list_is_read_once_for_all_splits(tmp_path, monkeypatch):
    touch(tmp_path, "train/a/1.mp4", "val/b/1.mp4", "test/c/1.mp4")
    opened, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(str(path).rstrip("/")) or scandir(path))
    splits = build_splits(options("folder", data=tmp_path, points=tmp_path), ["train", "val", "test"])
    assert [len(clips) for clips in splits.values()] == [1, 1, 1] and opened.count(str(tmp_path)) == 1


def test_lists_stay_json_and_csv(tmp_path):
    write_json(tmp_path / "few_shot_info/finegym/master_few_shot.json", [
        {"id": "E_1 ", "label_id": "5", "new_split": "train "}, {"id": "E_2", "label_id": 80, "new_split": "val"}])
    assert json.loads((tmp_path / "few_shot_info/finegym/master_few_shot.json").read_text())[0]["id"] == "E_1 "
    clip, = build_split(options("finegym", data=tmp_path, points=tmp_path), "train")
    assert clip.id == "E_1" and clip.video.name == "E_1.mp4"


def test_links_to_themselves_and_to_nothing_end_no_list(tmp_path):
    touch(tmp_path, "a/1.mp4", "b/1.mp4")
    for path in ("loop", "a/loop.mp4", "a/2.mp4"):
        (tmp_path / path).symlink_to(Path(path).name)
    (tmp_path / "a/up").symlink_to("..")
    write_csv(tmp_path / "s.csv", ("path", "label", "split"), ("a/1.mp4", "a", "test"), ("a/2.mp4", "a", "test"))
    clips = build_split(options("folder", data=tmp_path, points=tmp_path, split_csv=str(tmp_path / "s.csv")), "test")
    assert [clip.id for clip in clips] == ["a__1", "a__2"]
    missing = missing_files("test", clips, with_video=True)
    assert [one.clip for one in missing if one.kind == "video missing"] == ["a__2"]


HEADER = "path,label,split\n"


@pytest.mark.parametrize(("content", "cause"), [
    ("path;label;split\na/1.mp4;a;train\n", "has no column 'path' (its first line is 'path;label;split'); it needs "
     "path, label, split, with commas between them, in UTF-8."),
    ("Path,Label,Split\na/1.mp4,a,train\n", "has no column 'path' (its first line is 'Path, Label, Split')"),
    ("a/1.mp4,a,train\n", "has no column 'path' (its first line is 'a/1.mp4, a, train')"),
    ("path,label,label,split\na/1.mp4,a,b,train\n", "has 2 columns 'label'"),
    ("path, label,label ,split\na/1.mp4,a,b,train\n", "has 2 columns 'label'"),
    (HEADER.encode("utf-16-le"), "has no column 'path'"),
    (HEADER + 'a/1.mp4,"a,train\nb/1.mp4,b,test\n', 'a quote (") in it is never closed'),
    (HEADER + 'a/1.mp4,a,"train\n' + "b/1.mp4,b,test\n" * 20_000, 'a quote (") in it is never closed'),
    (HEADER + "a/1.mp4,a\n", "clip 1 has no 'split'"),
])
def test_lists_of_another_form_are_named_with_what_they_are(tmp_path, content, cause):
    path = tmp_path / "s.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        FOLDER.rows(Source(tmp_path, tmp_path, split_csv=str(path)))
    assert str(error.value).startswith(f"{path}") and cause in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600 + len(str(path))


@pytest.mark.parametrize(("record", "cause"), [
    ('{"path": "a/1.mp4", "label": ["a"], "split": "train"}', "clip 1 has ['a'] as its 'label'; expected a text"),
    ('{"path": "a/1.mp4", "label": {}, "split": "train"}', "clip 1 has {} as its 'label'"),
    ('{"path": "a/1.mp4", "label": true, "split": "train"}', "clip 1 has True as its 'label'"),
    ('{"path": "a/1.mp4", "label": NaN, "split": "train"}', "clip 1 has nan as its 'label'"),
    ('{"path": "a/1.mp4", "label": 1.7, "split": "train"}', "clip 1 has 1.7 as its 'label'"),
    ('{"path": ["a/1.mp4"], "label": "a", "split": "train"}', "clip 1 has ['a/1.mp4'] as its 'path'"),
    ('{"path": "a/1.mp4", "label": "a", "split": ["train"]}', "clip 1 has ['train'] as its 'split'"),
    ('{"path": "a/1.mp4", "label": "a", "split": null}', "clip 1 has no 'split'"),
    ('{"path": "a/1.mp4", "label": ' + 5000 * "9" + ', "split": "train"}', "cannot be read as a list of clips"),
])
def test_values_that_are_no_text_are_named(tmp_path, record, cause):
    path = tmp_path / "s.JSON"
    path.write_text(f"[{record}]")
    with pytest.raises(ValueError) as error:
        FOLDER.rows(Source(tmp_path, tmp_path, split_csv=str(path)))
    assert str(error.value).startswith(f"{path}") and cause in str(error.value)


def test_whole_numbers_are_labels_of_a_folder_too(tmp_path):
    touch(tmp_path, "7", "a/2.mp4")
    write_json(tmp_path / "s.json", [{"path": 7, "label": 3, "split": "train"},
                                     {"path": "a/2.mp4", "label": "4", "split": "test"}])
    assert [row[:4] for row in FOLDER.rows(Source(tmp_path, tmp_path, split_csv=str(tmp_path / "s.json")))
            ] == [("train", "7", 0, "3"), ("test", "a/2.mp4", 1, "4")]


@pytest.mark.parametrize("label", [1.7, "1.0", "1_0", "\u0663", "one", "1e400", "9" * 30, [1], {"a": 1}, True])
def test_published_labels_are_whole_numbers(tmp_path, label):
    path = tmp_path / "few_shot_info/finegym/master_few_shot.json"
    write_json(path, [{"id": "a", "label_id": label, "new_split": "train"}])
    with pytest.raises(ValueError, match=r"clip 1(: its label is .*; expected a whole number from 0| has .* as its)"):
        DATASETS.get("finegym").rows(Source(tmp_path, tmp_path / "few_shot_info"))


def test_a_line_break_in_a_text_is_said(read, said):
    text = said(read, ("a/1.mp4", '"a\nb"', "train"), ("b/1.mp4", "b", "test"))
    assert "clip 1 has a line break in its 'label'; perhaps a quote before it is not closed." in text


def test_quotes_that_are_only_sloppy_are_read(read):
    assert read(("a/1.mp4", '"a" ', "train"), ("b/1.mp4", 'the "b"', "test")) == [
        ("train", "a", "a__1"), ("test", 'the "b"', "b__1")]


@pytest.mark.parametrize("value", [["a.mp4"], {"a": 1}, 1.5, None])
def test_a_list_of_videos_to_extract_names_what_is_no_text(tmp_path, value):
    write_json(tmp_path / "v.json", [{"video_path": value, "dataset": "folder"}])
    args = extract_points.parse_args(["--csv_path", str(tmp_path / "v.json"), "--base_feat_path", str(tmp_path)])
    with pytest.raises(ValueError, match=r"v\.json: clip 1 has .*'video_path'"):
        extract_points.find_videos(args)
