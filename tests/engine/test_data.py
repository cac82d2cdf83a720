"""What a run says of its data before it begins."""

import os
import shutil

import pytest
from tiny import points_dir, tiny_cfg

from trokens.engine.data import build_needs, raise_all, read_data


@pytest.fixture
def data(tiny_data, tmp_path):
    """A copy of the data set with a list, to be damaged: one video and the points of another training clip are gone."""
    root = shutil.copytree(tiny_data, tmp_path / "data", copy_function=os.link)
    (root / "splits.csv").write_text("path,label,split\n" + "".join(
        f"{path.relative_to(root)},{path.parts[-2]},{path.parts[-3]}\n" for path in sorted(root.glob("*/*/*.mp4"))))
    (root / "train/translate_up/0.mp4").unlink()
    (points_dir(root) / "train__translate_up__1.safetensors").unlink()
    return root


def read(data, **changes):
    return read_data(tiny_cfg(data, data / "out", DATA__SPLIT_CSV=data / "splits.csv", **changes))


def test_missing_files_are_counted_and_named_in_one_message(data):
    found = read(data, MODEL__APPEARANCE_MODULE_DISABLE=False, MODEL__FEAT_EXTRACTOR="dino", MODEL__EMBED_DIM=0,
                 DATA__TRAIN_CROP_SIZE=56, DATA__ALLOW_MISSING=0.05)
    with pytest.raises(FileNotFoundError) as caught:
        raise_all(found.errors())
    assert str(caught.value) == (
        f"1 of 24 videos of the train split are not in {data}/train/translate_up (first: train__translate_up__0). "
        f"Check DATA.PATH_TO_DATA_DIR. No tracks for 1 of 24 videos of the train split in {points_dir(data)} (first: "
        "train__translate_up__1). Run point_tracking/extract_points.py (trokens extract), or check POINT_INFO.NAME. "
        "8.33 % of the clips lack a file; DATA.ALLOW_MISSING permits 5 %.")


def test_a_small_share_that_is_missing_is_told_with_what_the_published_code_does(data):
    with pytest.raises(FileNotFoundError, match=r"4\.17 % of the clips lack a file; DATA\.ALLOW_MISSING permits 0 % "
                                                r"\(the published code leaves out up to 5 % of hmdb, ucf and finegym"):
        raise_all(read(data).errors())


def test_a_label_that_the_classifier_lacks_is_told(tiny_data, tmp_path):
    errors = read_data(tiny_cfg(tiny_data, tmp_path, MODEL__NUM_CLASSES=5)).errors()
    assert [str(error).partition("'")[0] for error in errors] == ["The train split: class "]
    assert str(errors[0]).endswith("has label 5, and the classifier 5 outputs; set MODEL.NUM_CLASSES above the label, "
                                   "or to 0 for the number of classes.")


def test_an_episode_takes_the_clips_of_every_evaluation_of_the_split(tiny_data, tmp_path):
    cfg = tiny_cfg(tiny_data, tmp_path, TEST__K_SHOTS=[1, 3], FEW_SHOT__TRAIN_QUERY_PER_CLASS=5)
    assert [build_needs(cfg, split).clips_per_class for split in ("train", "val", "test")] == [6, 2, 4]
