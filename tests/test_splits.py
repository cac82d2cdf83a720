import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tools.make_splits import main
from trokens.data.datasets import Source, read_folder
from trokens.data.splits import assign_classes, draw_classes

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


def run(*args: str | Path | float) -> None:
    main([str(arg) for arg in args])


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
    rows = read_folder(Source(videos, tmp_path, split_csv=str(tmp_path / "splits.csv")))
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


def test_the_tool_refuses_in_one_line(videos, tmp_path):
    for args, message in [
        ((videos, "--val", 2, "--train-classes", "class00"), "Give either numbers of classes"),
        ((videos,), "Give either numbers of classes"),
        ((videos, "--train-classes", "class00", "--test-classes", "class00"), "listed for train and for test"),
        ((tmp_path / "nowhere", "--test", 2), "No videos lie in"),
    ]:
        with pytest.raises(SystemExit, match=message):
            run(*args, "--out", tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()
