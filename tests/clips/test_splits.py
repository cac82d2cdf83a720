import csv
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from data_folders import FOLDER

from trokens.cli.splits import FORMS, main
from trokens.clips.dataset import DATASETS, SPLITS, Row, Source
from trokens.clips.new_splits import assign_classes, draw_classes

PUBLISHED = [  # format, dataset, its place below few_shot_info
    ("hmdb", "hmdb51", "hmdb_few_shot.csv"), ("ucf", "ucf101", "ucf_few_shot.csv"), ("k100", "k400", "kinetics100.csv"),
    ("ssv2", "ssv2", "ssv2_small"), ("ssv2", "ssv2", "ssv2_full"),
    ("finegym", "finegym", "finegym/master_few_shot.json")]
CLASSES = [f"class{i:02d}" for i in range(20)]


@pytest.fixture
def videos(tmp_path) -> Path:
    for i, name in enumerate(CLASSES):
        folder = tmp_path / "videos" / name
        folder.mkdir(parents=True)
        for clip in range(2 + i % 3):
            (folder / f"clip {clip}.mp4").touch()
        (folder / "notes.txt").touch()
    (tmp_path / "videos" / "empty").mkdir()
    return tmp_path / "videos"


def run(*args: str | Path | float, code: int = 0) -> None:
    assert main([str(arg) for arg in args]) == code


def test_a_draw_is_class_disjoint_and_depends_on_the_seed_alone():
    split_of = draw_classes(CLASSES, 4, 10, seed=1)
    assert sorted(split_of) == CLASSES
    assert [list(split_of.values()).count(split) for split in ("train", "val", "test")] == [6, 4, 10]
    assert draw_classes(CLASSES[::-1], 4, 10, seed=1) == split_of != draw_classes(CLASSES, 4, 10, seed=2)


def test_fractions_of_the_classes_are_rounded_but_not_to_none():
    splits = list(draw_classes(CLASSES, 0.01, 0.3, seed=0).values())
    assert splits.count("val") == 1 and splits.count("test") == 6
    assert list(draw_classes(CLASSES, 0, 0.5, seed=0).values()).count("val") == 0


def test_impossible_numbers_are_named():
    with pytest.raises(ValueError, match="10 val and 10 test classes leave none of 20"):
        draw_classes(CLASSES, 10, 10, seed=0)
    with pytest.raises(ValueError, match=r"val split cannot have 2\.5 classes"):
        draw_classes(CLASSES, 2.5, 1, seed=0)
    with pytest.raises(ValueError, match="test split cannot have -1 classes"):
        draw_classes(CLASSES, 1, -1, seed=0)


def test_class_lists_must_be_known_and_disjoint():
    assert assign_classes("abc", {"train": "a", "test": "c"}) == {"a": "train", "c": "test"}
    with pytest.raises(ValueError, match="Class 'd' of the test list has no folder"):
        assign_classes("abc", {"train": "a", "test": "cd"})
    with pytest.raises(ValueError, match="Class 'a' is listed for train and for test"):
        assign_classes("abc", {"train": "ab", "test": "ca"})


def test_the_tool_writes_a_csv_that_the_folder_dataset_reads(videos, tmp_path, capsys):
    run(videos, "--out", tmp_path / "splits.csv", "--val", 4, "--test", 0.5, "--seed", 3)
    rows = FOLDER.rows(Source(videos, tmp_path, split_csv=str(tmp_path / "splits.csv")))
    classes, clips = defaultdict(set), Counter(row.split for row in rows)
    for row in rows:
        classes[row.split].add(row.class_name)
    assert {split: len(names) for split, names in classes.items()} == {"train": 6, "val": 4, "test": 10}
    assert len(rows) == sum(2 + i % 3 for i in range(20))
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:4]] == [
        [split, str(len(classes[split])), str(clips[split])] for split in ("train", "val", "test")]


def test_the_tool_takes_class_lists_as_text_or_files(videos, tmp_path, capsys):
    (tmp_path / "test.txt").write_text("class03\n\nclass04\n")
    run(videos, "--out", tmp_path / "s.csv", "--train-classes", "class00, class01",
        "--test-classes", tmp_path / "test.txt")
    assert "16 classes are in no split." in capsys.readouterr().out
    with open(tmp_path / "s.csv", newline="") as file:
        found = {(row["label"], row["split"]) for row in csv.DictReader(file)}
    assert found == {("class00", "train"), ("class01", "train"), ("class03", "test"), ("class04", "test")}


def test_the_tool_refuses_in_one_line(videos, tmp_path, capsys):
    twice = tmp_path / "twice"
    for path in ("a/1.mp4", "a/1.avi", "b/1.mp4"):
        (twice / path).parent.mkdir(parents=True, exist_ok=True)
        (twice / path).touch()
    for args, message in [
        ((videos, "--val", 2, "--train-classes", "class00"), "Give either numbers of classes"),
        ((videos,), "Give either numbers of classes"),
        ((videos, "--test", -1), "The test split cannot have -1 classes"),
        ((videos, "--test", "inf"), "The test split cannot have inf classes"),
        ((videos, "--val", "nan"), "The val split cannot have nan classes"),
        ((videos, "--train-classes", "class00", "--test-classes", "class00"), "listed for train and for test"),
        ((tmp_path / "nowhere", "--test", 2), "No videos lie in"),
        ((videos, "--test", 2, "--format", "hmdb"), "Two clips have the id 'clip 0'"),
        ((twice, "--test", 1), "Two clips have the id 'a__1'"),
    ]:
        run(*args, "--out", tmp_path / "s.csv", code=2)
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "s.csv").exists()


def test_a_list_that_cannot_be_written_ends_in_one_line(videos, tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in list(videos.rglob("*.mp4")):  # ids of published lists leave the class out
        path.rename(path.with_stem(f"{path.parent.name}_{path.stem}"))
    for out, format in (("file", "ssv2"), ("folder", "hmdb")):
        run(videos, "--out", tmp_path / out, "--format", format, "--test", 2, code=2)
        error = capsys.readouterr().err
        assert str(tmp_path / out) in error and error.count("\n") == 1


def read(dataset: str, lists: Path, place: str = "", videos: Path = Path()) -> list[Row]:
    return DATASETS.get(dataset).rows(Source(videos, lists, place))


@pytest.mark.parametrize(("format", "dataset", "place"), PUBLISHED, ids=[place for *_, place in PUBLISHED])
def test_published_lists_come_back_from_their_readers(tmp_path, format, dataset, place):
    root, suffix = tmp_path / "videos", ".webm" if dataset == "ssv2" else ".mp4"
    for i in range(24):
        (root / f"class{i % 4}").mkdir(parents=True, exist_ok=True)
        (root / f"class{i % 4}" / f"vid_{i:07d}_000010{suffix}").touch()
    lists = ("--train-classes", "class1,class3", "--test-classes", "class0",
             *(() if dataset == "finegym" else ("--val-classes", "class2")))
    run(root, "--out", tmp_path / "few_shot_info" / place, "--format", format, *lists)
    rows = read(dataset, tmp_path / "few_shot_info", place)
    classes = {(row.split, row.class_id): row for row in rows}
    assert list(classes) == [("train", 0), ("train", 1), *([("val", 2)] * (dataset != "finegym")),
                             ("test", 2 if dataset == "finegym" else 3)]
    stems = {split: [f"vid_{i:07d}_000010" for i in range(24) if i % 4 in numbers]
             for split, numbers in (("train", (1, 3)), ("test", (0,)))}
    for split, names in stems.items():
        found = [row for row in rows if row.split == split]
        assert sorted(Path(row.video).stem for row in found) == names
        assert sorted(row.id for row in found) == [name[:11] if dataset == "k400" else name for name in names]
    if dataset not in ("ssv2", "finegym"):
        assert all((root / row.video).is_file() for row in rows)


@pytest.mark.parametrize(("format", "dataset", "place"), PUBLISHED[:-1], ids=[place for *_, place in PUBLISHED[:-1]])
def test_real_lists_are_written_byte_for_byte(few_shot_info, tmp_path, format, dataset, place):
    FORMS[format].write_list(tmp_path / place, read(dataset, few_shot_info, place))
    files = [f"{place}/{split}_few_shot.json" for split in SPLITS] if dataset == "ssv2" else [place]
    for file in files:
        assert (tmp_path / file).read_bytes() == (few_shot_info / file).read_bytes(), file


def test_lists_that_a_format_cannot_hold_are_refused(tmp_path):
    rows = [Row("train", "a/x.mp4", 0, "a", ""), Row("val", "b/y.mp4", 1, "b", "")]
    with pytest.raises(ValueError, match="FineGym's list calls its test split val"):
        FORMS["finegym"].write_list(tmp_path / "x.json", rows)
    same = [Row("train", "a/abcdefghijk_1.mp4", 0, "a", ""), Row("test", "b/abcdefghijk_2.mp4", 1, "b", "")]
    with pytest.raises(ValueError, match="Two clips have the id 'abcdefghijk'"):
        FORMS["k100"].write_list(tmp_path / "x.csv", same)
    FORMS["ucf"].write_list(tmp_path / "x.csv", same)
    for format in ("ucf", "ssv2", "finegym"):
        with pytest.raises(ValueError, match="Two clips have the id 'x'"):
            FORMS[format].write_list(tmp_path / "y", [rows[0], Row("test", "b/x.1.mp4", 1, "b", "")])
    assert not (tmp_path / "y").exists()


def test_a_list_of_an_earlier_val_split_does_not_stay(tmp_path):
    rows = [Row(split, f"{split}.webm", number, "", "") for number, split in enumerate(SPLITS)]
    FORMS["ssv2"].write_list(tmp_path / "ssv2_small", rows)
    FORMS["ssv2"].write_list(tmp_path / "ssv2_small", [rows[0], rows[2]])
    assert [row.split for row in read("ssv2", tmp_path, "ssv2_small")] == ["train", "test"]


@pytest.mark.parametrize(("format", "dataset", "place"), [("folder", "folder", "splits.csv"), *PUBLISHED])
def test_names_that_are_no_utf8_come_back(tmp_path, format, dataset, place):
    root, video = tmp_path / "videos", os.fsdecode(b"b/b\xe9.webm" if format == "ssv2" else b"b/b\xe9.mp4")
    for path in (root / "a" / "a.mp4", root / video):
        path.parent.mkdir(parents=True)
        path.touch()
    run(root, "--out", tmp_path / place, "--format", format, "--train-classes", "a", "--test-classes", "b")
    rows = DATASETS.get(dataset).rows(Source(root, tmp_path, place, str(tmp_path / place)))
    assert [Path(row.video).stem for row in rows] == ["a", Path(video).stem]
