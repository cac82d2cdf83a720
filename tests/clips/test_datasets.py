import logging
from collections import Counter
from pathlib import Path
from time import process_time

import pytest
from data_folders import FOLDER, hmdb, options, touch, write_csv, write_json

from trokens.clips.dataset import DATASETS, SPLITS, Source, clip_id
from trokens.clips.split import Clip, build_split
from trokens.fewshot.episodes import EpisodeSampler

REAL = [
    ("Ssv2", "ssv2_small", {"train": (64, 6400), "val": (12, 1200), "test": (24, 2400)}),
    ("Ssv2", "ssv2_full", {"train": (64, 67013), "val": (12, 1926), "test": (24, 2857)}),
    ("K400", "", {"train": (64, 6400), "val": (12, 1200), "test": (24, 2400)}),
    ("UCF101", "", {"train": (70, 9154), "val": (10, 1421), "test": (21, 2745)}),
    ("HMDB51", "", {"train": (31, 4280), "val": (10, 1194), "test": (10, 1292)}),
]


@pytest.fixture
def published(few_shot_info, tmp_path) -> Path:
    """A folder of point data that holds the real lists and no point files."""
    (tmp_path / "few_shot_info").symlink_to(few_shot_info)
    return tmp_path


@pytest.mark.parametrize(("dataset", "ssv2", "sizes"), REAL, ids=[a + b for a, b, _ in REAL])
def test_real_lists_have_the_published_sizes_and_disjoint_splits(published, dataset, ssv2, sizes):
    cfg = options(dataset, data="/data", points=published, ssv2=ssv2)
    splits = {split: build_split(cfg, split) for split in SPLITS}
    classes = {split: {clip.class_id for clip in clips} for split, clips in splits.items()}
    assert {split: (len(classes[split]), len(clips)) for split, clips in splits.items()} == sizes
    assert len(set.union(*classes.values())) == sum(map(len, classes.values()))
    assert max(classes["train"]) < len(classes["train"])
    if ssv2 == "ssv2_full":
        assert min(Counter(clip.class_id for clip in splits["test"]).values()) == 17


@pytest.mark.parametrize(("dataset", "ssv2", "sizes"), REAL, ids=[a + b for a, b, _ in REAL])
def test_ten_thousand_test_episodes_of_real_lists_take_seconds(published, dataset, ssv2, sizes):
    start = process_time()
    clips = build_split(options(dataset, points=published, ssv2=ssv2), "test")
    sampler = EpisodeSampler([clip.class_id for clip in clips], n_way=5, k_shot=1, n_query=1, num_episodes=10_000,
                             seed=1)
    assert sum(1 for _ in sampler) == 10_000
    assert process_time() - start < 10


def test_ssv2_names_videos_and_point_files_by_id(tmp_path):
    for split, row in (("train", {"id": "12", "label": "0"}), ("test", {"id": "34", "label": "7"})):
        write_json(tmp_path / "few_shot_info/ssv2_small" / f"{split}_few_shot.json", [row])
    cfg = options("SSv2", data="/data", points=tmp_path)
    assert build_split(cfg, "test") == [Clip("34", Path("/data/20bn-something-something-v2/34.webm"),
                                             tmp_path / "flow/ssv2/feat_dump/34.safetensors", 7, "7")]
    assert build_split(cfg, "val") == []


def test_point_files_of_ours_are_preferred_to_pickles(tmp_path):
    cfg = hmdb(tmp_path, *((name, f"v/{name}.avi", 0, "train") for name in "abc"))
    touch(tmp_path / "flow/hmdb51/feat_dump", "a.pkl", "b.pkl", "b.safetensors")
    assert [clip.tracks.name for clip in build_split(cfg, "train")] == ["a.pkl", "b.safetensors", "c.safetensors"]


def test_a_videos_name_ends_at_its_first_dot(tmp_path):
    clip, = build_split(hmdb(tmp_path, ("x", "videos/wave/a.b.avi", 3, "test")), "test")
    assert (clip.id, clip.video, clip.class_id, clip.class_name) == ("a", Path("/data/videos/wave/a.b.avi"), 3, "wave")
    with pytest.raises(ValueError, match=r"id 'a'.*videos/a\.b\.avi and videos/a\.c\.avi"):
        build_split(hmdb(tmp_path, ("x", "videos/a.b.avi", 0, "train"), ("y", "videos/a.c.avi", 1, "test")), "train")


def test_a_kinetics_clip_is_named_by_its_eleven_characters(tmp_path):
    path, columns = tmp_path / "few_shot_info/kinetics100.csv", ("vid_id", "vid_base_path", "label_id", "split")
    write_csv(path, columns, ("x", "train_256/sing/-VtLx-mcPds_000012_000022.mp4", 0, "train"))
    clip, = build_split(options("K400", points=tmp_path), "train")
    assert clip.id == "-VtLx-mcPds" and clip.tracks.parent == tmp_path / "flow/k400/feat_dump"
    write_csv(path, columns, ("x", "a/-VtLx-mcPds_000012_000022.mp4", 0, "train"),
              ("y", "a/-VtLx-mcPds_000022_000032.mp4", 0, "train"))
    with pytest.raises(ValueError, match="Two clips have the id '-VtLx-mcPds'"):
        build_split(options("K400", points=tmp_path), "train")


def test_finegyms_val_split_is_its_test_split(tmp_path, caplog):
    write_json(tmp_path / "few_shot_info/finegym/master_few_shot.json", [
        {"id": "E_1", "label_id": 5, "new_split": "train"}, {"id": "E_2", "label_id": 80, "new_split": "val"}])
    cfg = options("FINEGYM", data="/data", points=tmp_path)
    assert [clip.video for clip in build_split(cfg, "test")] == [Path("/data/videos/E_2.mp4")]
    assert build_split(cfg, "test")[0].class_id == 80 and len(build_split(cfg, "train")) == 1
    with caplog.at_level(logging.INFO):
        assert build_split(cfg, "val") == []
    assert [record.message for record in caplog.records] == [
        "The lists of FINEGYM have no val split: nothing is selected, the last checkpoint counts."]


def test_the_test_split_may_come_from_another_dataset(tmp_path):
    hmdb(tmp_path, ("a", "v/a.avi", 0, "train"), ("b", "v/b.avi", 1, "test"))
    write_csv(tmp_path / "few_shot_info/ucf_few_shot.csv", ("vid_base_path", "label_id", "split"),
              ("u/c.avi", 9, "test"))
    cfg = options("hmdb51", test="Ucf101", points=tmp_path)
    assert [build_split(cfg, split)[0].id for split in ("train", "test")] == ["a", "c"]


@pytest.mark.parametrize(("row", "message"), [
    (("a", "../a.avi", 0, "train"), r"hmdb_few_shot\.csv: clip 2: '\.\./a\.avi' does not lie below"),
    (("a", "/etc/a.avi", 0, "train"), "clip 2: '/etc/a.avi' does not lie below"),
    (("a", "v/a.avi", "wave", "train"), "clip 2: its label is 'wave'; expected a whole number from 0 on"),
    (("a", "v/a.avi", -1, "train"), "clip 2 has split 'train' and label -1"),
    (("a", "v/a.avi", 0, "trian"), "clip 2 has split 'trian'.*expected train, val, test"),
    (("a", "v/a.avi", "", "train"), "clip 2 has no 'label_id'"),
    (("a", "v/a.avi", 0), "clip 2 has no 'split'"),
])
def test_broken_rows_are_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        build_split(hmdb(tmp_path, ("b", "v/b.avi", 0, "train"), row), "train")


def test_broken_lists_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"hmdb_few_shot\.csv lists no clips; it needs records with vid_base_path"):
        build_split(hmdb(tmp_path), "train")
    with pytest.raises(ValueError, match="has no column 'vid_base_path'"):
        build_split(hmdb(tmp_path, ("a", 0, "train"), columns=("path", "label_id", "split")), "train")
    with pytest.raises(FileNotFoundError, match=r"No split list .*ucf_few_shot\.csv; DATA\.PATH_TO_TROKEN_PT_DATA"):
        build_split(options("UCF101", points=tmp_path), "train")
    with pytest.raises(FileNotFoundError, match="ssv2_small/train_few_shot"):
        build_split(options("ssv2", points=tmp_path), "val")
    with pytest.raises(ValueError, match=r"Unknown dataset 'HMDB'\. Did you mean 'hmdb51'"):
        build_split(options("HMDB"), "train")
    path = tmp_path / "few_shot_info/finegym/master_few_shot.json"
    for content in ("{", "{}", "[]", "[1]", '["id"]'):
        write_json(path, [])
        path.write_text(content)
        with pytest.raises(ValueError, match=r"master_few_shot\.json"):
            build_split(options("finegym", points=tmp_path), "train")
    write_json(path, [{"id": "../x", "label_id": 0, "new_split": "train"}])
    with pytest.raises(ValueError, match=r"clip 1: '\.\./x' does not lie below"):
        build_split(options("finegym", points=tmp_path), "train")


def test_a_folder_of_splits_numbers_train_classes_first(tmp_path):
    touch(tmp_path, "train/wave/1.mp4", "train/jump/2.AVI", "train/jump/.hidden.mp4", "train/jump/notes.txt",
          "val/bend/3.webm", "test/alpha/4.mov", "test/alpha/a.b.mp4", "points/flow/folder/feat_dump/x.safetensors")
    rows = FOLDER.rows(Source(tmp_path, tmp_path))
    assert [(row.split, row.class_name, row.class_id, row.id) for row in rows] == [
        ("train", "jump", 0, "train__jump__2"), ("train", "wave", 1, "train__wave__1"),
        ("val", "bend", 2, "val__bend__3"), ("test", "alpha", 3, "test__alpha__4"),
        ("test", "alpha", 3, "test__alpha__a.b")]
    clip = build_split(options("folder", data=tmp_path, points=tmp_path / "points"), "train")[1]
    assert clip.video == tmp_path / "train/wave/1.mp4"
    assert clip.tracks == tmp_path / "points/flow/folder/feat_dump/train__wave__1.safetensors"


def test_a_plain_folder_of_classes_is_all_test(tmp_path):
    touch(tmp_path, "wave/1.mp4", "bend/2.mp4", "empty/readme.txt")
    rows = FOLDER.rows(Source(tmp_path, tmp_path))
    assert [(row.split, row.class_name, row.class_id, row.id) for row in rows] == [
        ("test", "bend", 0, "bend__2"), ("test", "wave", 1, "wave__1")]
    cfg = options("folder", data=tmp_path, points=tmp_path)
    assert build_split(cfg, "train") == build_split(cfg, "val") == []


def test_a_class_may_be_called_like_a_split(tmp_path):
    touch(tmp_path, "test/1.mp4", "wave/2.mp4")
    assert {row.class_name for row in FOLDER.rows(Source(tmp_path, tmp_path))} == {"test", "wave"}


def test_a_csv_splits_a_folder_wherever_its_videos_lie(tmp_path):
    touch(tmp_path, "deep/er/1.mp4", "2.mp4")
    write_csv(tmp_path / "s.csv", ("path", "label", "split"), ("deep/er/1.mp4", "wave", "train"),
              (tmp_path / "2.mp4", "bend", "test"))
    rows = FOLDER.rows(Source(tmp_path, tmp_path, split_csv=str(tmp_path / "s.csv")))
    assert [(row.video, row.split, row.class_id, row.id) for row in rows] == [
        ("deep/er/1.mp4", "train", 0, "deep__er__1"), ("2.mp4", "test", 1, "2")]


def test_a_folders_csv_is_checked(tmp_path):
    touch(tmp_path, "a/1.mp4")

    def read(*rows: tuple) -> None:
        write_csv(tmp_path / "s.csv", ("path", "label", "split"), *rows)
        cfg = options("folder", data=tmp_path, points=tmp_path, split_csv=str(tmp_path / "s.csv"))
        build_split(cfg, "train")

    for path in ("../x.mp4", "/etc/x.mp4", "a/../../x.mp4", "."):
        with pytest.raises(ValueError, match=r"s\.csv: clip 1: .*does not lie below the folder of the videos"):
            read((path, "a", "train"))
    with pytest.raises(ValueError, match=r"Class 'a' is in the test split and in an earlier one \(1 such"):
        read(("a/1.mp4", "a", "train"), ("a/2.mp4", "a", "test"))
    with pytest.raises(ValueError, match="Two clips have the id 'a__1'"):
        read(("a/1.mp4", "a", "train"), ("a__1.mp4", "b", "test"))
    with pytest.raises(FileNotFoundError, match=r"is '/nowhere', which is no folder"):
        build_split(options("folder", data="/nowhere"), "train")


def test_an_id_is_the_path_below_the_root(tmp_path, monkeypatch):
    assert clip_id(tmp_path / "a/b/c.d.mp4", tmp_path) == "a__b__c.d"
    monkeypatch.chdir(tmp_path)
    assert clip_id("./a/b.mp4", tmp_path) == clip_id(tmp_path / "a/b.mp4", ".") == "a__b"
    with pytest.raises(ValueError, match="does not lie below"):
        clip_id(tmp_path / "a/../../b.mp4", tmp_path)


def test_the_datasets_of_the_paper_and_own_folders_are_registered():
    assert set(DATASETS) == {"ssv2", "hmdb51", "ucf101", "k400", "finegym", "folder"}
