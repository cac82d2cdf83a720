"""Weights are not tested on what they learned from, and a run goes on with its own list only."""

import csv
import json
import shutil
from itertools import chain
from pathlib import Path

import pytest
from tiny import CLIPS, command, main, run

from trokens import load_cfg
from trokens.clips.split import Clip, build_split
from trokens.clips.trained import Learned, TrainingList, learned
from trokens.engine.trainer import Trainer
from trokens.models.checkpoint import BEST, checkpoint_dir, epoch_path, load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[2]


def write_list(path: Path, data: Path, moves: dict[str, str], renamed: dict[str, str] | None = None) -> Path:
    """A CSV of the tiny data set in which some classes lie in another split, or have another name."""
    rows = [("path", "label", "split")]
    for clip in sorted(data.glob("*/*/*.mp4")):
        split, name = clip.relative_to(data).parts[:2]
        rows.append((clip.relative_to(data), (renamed or {}).get(name, name), moves.get(name, split)))
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def classes(tiny_data):
    """Names of the classes of each split."""
    return {split: sorted(path.name for path in (tiny_data / split).iterdir()) for split in CLIPS}


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folder of a finished run on the data set's own list."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    run(tiny_data, folder)
    return folder


@pytest.fixture
def out(trained, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(trained, tmp_path / "out")


@pytest.fixture
def drawn_anew(tiny_data, classes, tmp_path):
    """A list in which two classes of train and test changed places, so that most classes have another number."""
    one, other = classes["train"][:2], classes["test"][:2]
    return write_list(tmp_path / "splits.csv", tiny_data, dict.fromkeys(one, "test") | dict.fromkeys(other, "train"))


def best(folder: Path) -> Path:
    return checkpoint_dir(folder) / BEST


# Going on -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("epochs", [2, 5])
def test_a_run_does_not_go_on_with_another_list(tiny_data, classes, out, drawn_anew, capsys, epochs, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("trained on"))
    before = (out / "results.json").read_bytes()
    assert main(command(tiny_data, out, DATA__SPLIT_CSV=drawn_anew, SOLVER__MAX_EPOCH=epochs)) == 2
    error = capsys.readouterr().err
    own, gone, new = load_checkpoint(best(out))["trained"][0], classes["train"][:2], classes["test"][:2]
    assert error.startswith(f"ConfigError: {epoch_path(out, 2)} was trained on the list 'folder' with 6 classes and 24 "
                            f"clips ({own['digest']}), and this run's training list is 'folder' with 6 classes and 22 ")
    assert f" (gone are '{gone[0]}', '{gone[1]}'; new are '{new[0]}', '{new[1]}'); " in error
    assert error.endswith("; choose another OUTPUT_DIR for this one, or go back to the list that the run began with.\n")
    assert (out / "results.json").read_bytes() == before


def test_a_best_checkpoint_of_another_list_is_not_taken_for_this_run_s(tiny_data, out, drawn_anew, capsys):
    for epochs in (1, 2):
        epoch_path(out, epochs).unlink()
    before = best(out).read_bytes()
    for changes in ({}, {"TRAIN__CHECKPOINT_PERIOD": 2}, {"TRAIN__AUTO_RESUME": False}):
        assert main(command(tiny_data, out, DATA__SPLIT_CSV=drawn_anew, **changes)) == 2
        assert f"{best(out)} was trained on the list 'folder' with 6 classes" in capsys.readouterr().err
    assert best(out).read_bytes() == before


def test_the_same_list_in_another_place_is_the_same(tiny_data, out, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "elsewhere")
    before = json.loads((out / "results.json").read_text())
    assert run(data, out, DATA__SPLIT_CSV=write_list(tmp_path / "x.csv", data, {}))["accuracy"] == before["accuracy"]


def test_a_list_with_other_clips_of_the_same_classes_is_another_one(tiny_data, out, tmp_path, capsys):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    next(data.glob("train/*/3.mp4")).unlink()
    assert main(command(data, out)) == 2
    assert "and 23 clips" in (error := capsys.readouterr().err)
    assert "(the classes are the same, 23 clips are in both)" in error


def test_clips_that_may_be_missing_leave_the_list_the_same(tiny_data, out, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    lost = next((data / "points").rglob("train__*"))
    lost.unlink()
    assert run(data, out, DATA__ALLOW_MISSING=0.1, SOLVER__MAX_EPOCH=3)["checkpoint"]


@pytest.mark.parametrize(("there", "here"), [("ssv2", "folder"), ("folder", "folder")])
def test_a_checkpoint_without_its_list_tells_at_least_its_dataset(tiny_data, out, capsys, there, here):
    for path in checkpoint_dir(out).iterdir():
        state = load_checkpoint(path)
        del state["trained"]
        state["cfg"] = state["cfg"].replace("  DATASET: folder", f"  DATASET: {there}")
        save_checkpoint(path, state)
    code = main(command(tiny_data, out, SOLVER__MAX_EPOCH=3))
    if there == here:
        assert code == 0
        line, = (line for line in capsys.readouterr().out.splitlines() if "does not say" in line)
        assert line.endswith(f" {epoch_path(out, 2)} does not say all that it was trained on: whether it knows classes "
                             "that are evaluated cannot be checked.")
        result = json.loads((out / "results.json").read_text())
        assert result["trained_classes"] is None and result["trained_clips"] is None
        assert [bool(one["digest"]) for one in load_checkpoint(epoch_path(out, 3))["trained"]] == [False, True]
        assert main(command(tiny_data, out, SOLVER__MAX_EPOCH=4)) == 0  # what was not known stays so
        assert json.loads((out / "results.json").read_text())["trained_classes"] is None
    else:
        assert code == 2
        assert "was trained on the list 'ssv2/standard', and this run's training list is 'folder' with 6 classes" in \
            capsys.readouterr().err


# Testing --------------------------------------------------------------------------------------------------------------

def test_a_usual_run_says_that_its_test_was_new_to_it(trained):
    result = json.loads((trained / "results.json").read_text())
    assert (result["trained_classes"], result["trained_clips"]) == ([], 0)


def test_the_classes_of_a_training_are_not_tested_unless_that_is_meant(tiny_data, classes, out, drawn_anew, tmp_path,
                                                                       capsys, caplog):
    names = classes["train"][:2]
    options = {"DATA__SPLIT_CSV": drawn_anew, "TRAIN__ENABLE": False, "TEST__CHECKPOINT_FILE_PATH": best(out)}
    for folder, changes in ((tmp_path / "new", options), (out, options | {"TEST__CHECKPOINT_FILE_PATH": ""})):
        assert main(command(tiny_data, folder, **changes)) == 2
        assert capsys.readouterr().err == (
            f"ConfigError: The weights were trained on 2 of the 5 classes of the test split ('{names[0]}', "
            f"'{names[1]}'), and on 8 of its 17 clips: evaluate on classes that are new to them, or set "
            "TEST.ALLOW_TRAINED_CLASSES True if that is meant.\n")
    result = run(tiny_data, tmp_path / "new", **options, TEST__ALLOW_TRAINED_CLASSES=True)
    assert (result["trained_classes"], result["trained_clips"]) == (names, 8)
    assert json.loads((tmp_path / "new/results.json").read_text()) == result
    line, = (r.getMessage() for r in caplog.records if "ALLOW" in r.getMessage())
    assert line.startswith("The weights were trained on 2 of the 5 classes of the test split (")
    assert line.endswith(" (TEST.ALLOW_TRAINED_CLASSES): the accuracy is not one on new classes.")


@pytest.mark.parametrize("changes", [{}, {"TRAIN__ENABLE": False}])
def test_the_train_split_is_not_tested_unless_that_is_meant(tiny_data, out, changes, capsys):
    assert main(command(tiny_data, out, TEST__SPLIT="train", **changes)) == 2
    assert "trained on 6 of the 6 classes of the train split" in capsys.readouterr().err
    result = run(tiny_data, out, TEST__SPLIT="train", TEST__ALLOW_TRAINED_CLASSES=True, **changes)
    assert len(result["trained_classes"]) == 6 and result["trained_clips"] == 24


def test_validation_alone_is_checked_too(tiny_data, classes, out, tmp_path, capsys):
    moves = dict.fromkeys(classes["train"][:3], "val")
    options = {"DATA__SPLIT_CSV": write_list(tmp_path / "x.csv", tiny_data, moves), "TRAIN__VAL_ONLY": True,
               "MODEL__NUM_CLASSES": 6}
    assert main(command(tiny_data, out, **options)) == 2
    assert "trained on 3 of the 6 classes of the val split" in capsys.readouterr().err
    assert len(run(tiny_data, out, TEST__ALLOW_TRAINED_CLASSES=True, **options)["trained_classes"]) == 3


def test_a_class_under_another_name_is_known_by_its_clips(tiny_data, classes, out, tmp_path, capsys):
    """As labels that are numbers: a list drawn anew gives them to other classes."""
    renamed = {name: str(number) for number, name in enumerate(reversed([*chain(*classes.values())]))}
    moves = {classes["train"][4]: "test", classes["test"][0]: "train"}
    options = {"DATA__SPLIT_CSV": write_list(tmp_path / "x.csv", tiny_data, moves, renamed), "TRAIN__ENABLE": False}
    assert main(command(tiny_data, out, **options)) == 2
    assert (f"trained on 1 of the 5 classes of the test split ('{renamed[classes['train'][4]]}'), and on 4 of its 16 "
            "clips") in capsys.readouterr().err


def test_what_a_training_started_from_counts_as_trained_on(tiny_data, classes, trained, drawn_anew, tmp_path, capsys):
    start = {"TRAIN__CHECKPOINT_FILE_PATH": epoch_path(trained, 2), "TRAIN__CHECKPOINT_EPOCH_RESET": True}
    assert main(command(tiny_data, tmp_path / "a", DATA__SPLIT_CSV=drawn_anew, **start)) == 2
    assert "trained on 2 of the 5 classes of the test split" in capsys.readouterr().err
    moves = dict.fromkeys(classes["train"][:2], "val") | dict.fromkeys(classes["val"], "train")
    other = write_list(tmp_path / "other.csv", tiny_data, moves)
    assert main(command(tiny_data, tmp_path / "b", DATA__SPLIT_CSV=other, FEW_SHOT__TRAIN_EPISODES=1, **start)) == 2
    assert "trained on 2 of the 2 classes of the val split" in capsys.readouterr().err
    moves = dict.fromkeys(classes["train"][:1], "") | dict.fromkeys(classes["test"][:1], "train")  # one is left out
    rows = list(csv.reader(write_list(tmp_path / "x.csv", tiny_data, moves).open()))
    with open(tmp_path / "third.csv", "w", newline="") as file:
        csv.writer(file).writerows(row for row in rows if row[2])
    second = {"DATA__SPLIT_CSV": tmp_path / "third.csv", "TEST__ALLOW_TRAINED_CLASSES": False}
    assert run(tiny_data, tmp_path / "c", **second, **start)["trained_classes"] == []
    history = [TrainingList.from_state(one) for one in load_checkpoint(best(tmp_path / "c"))["trained"]]
    assert [len(one.clips) for one in history] == [24, 23]
    assert run(tiny_data, tmp_path / "c", SOLVER__MAX_EPOCH=3, **second)["trained_classes"] == []  # goes on, as ever
    assert main(command(tiny_data, tmp_path / "d", DATA__SPLIT_CSV=drawn_anew, TRAIN__ENABLE=False,
                        TEST__CHECKPOINT_FILE_PATH=best(tmp_path / "c"))) == 2
    assert "trained on 2 of the 5 classes" in capsys.readouterr().err  # of the first stage


@pytest.mark.parametrize("value", [True, 5, [1], [{"name": "x"}], "ab", {}])
def test_another_codes_key_of_that_name_tells_nothing(tiny_data, trained, tmp_path, value):
    save_checkpoint(tmp_path / "x.pyth", load_checkpoint(best(trained)) | {"trained": value})
    result = run(tiny_data, tmp_path / "out", TRAIN__ENABLE=False, TEST__CHECKPOINT_FILE_PATH=tmp_path / "x.pyth")
    assert result["trained_classes"] is None


def test_initial_weights_know_nothing(tiny_data, tmp_path):
    assert run(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__SPLIT="train")["trained_classes"] == []


# Lists ----------------------------------------------------------------------------------------------------------------

def clips(*names: str, ids: str = "") -> list[Clip]:
    ids = ids or "".join(chr(97 + i) for i in range(len(names)))
    return [Clip(id, Path("v"), Path("p"), names.index(name), name) for id, name in zip(ids, names, strict=True)]


@pytest.mark.parametrize(("there", "here", "is_known"), [
    (("folder", "jump"), ("folder", "jump"), True),
    (("folder", "jump"), ("folder", "jumping"), False),
    (("hmdb51", "brush_hair"), ("folder", "Brush Hair "), True),
    (("folder", "caf\u00e9"), ("folder", "cafe\u0301"), True),
    (("ssv2/ssv2_small", "7"), ("ssv2/ssv2_small", "7"), True),
    (("ssv2/ssv2_full", "7"), ("ssv2/ssv2_small", "7"), False),
    (("finegym", "7"), ("ssv2/ssv2_small", "7"), False),
    (("folder", "7"), ("folder", "7"), False),
])
def test_what_counts_as_the_same_class(there, here, is_known):
    history = [TrainingList.of(there[0], clips("x", there[1], ids="xy"))]
    assert learned(history, here[0], clips(here[1], "z")) == Learned([here[1]] * is_known, 0)


def test_clips_are_compared_within_their_dataset():
    history = [TrainingList.of("ssv2/ssv2_full", clips("1", "2", ids="ab"))]
    assert learned(history, "ssv2/ssv2_small", clips("5", "6", "6", ids="xyb")) == Learned(["6"], 1)
    assert learned(history, "folder", clips("5", "6", "6", ids="xyb")) == Learned([], 0)
    assert learned([], "folder", clips("a")) == Learned([], 0)


def test_a_list_survives_its_checkpoint_and_knows_neither_paths_nor_order(tmp_path):
    one = TrainingList.of("folder", clips("b", "a\udcff", ids="xy"))
    save_checkpoint(tmp_path / "x", {"model_state": {}, "trained": [one.state()]})
    two = TrainingList.from_state(load_checkpoint(tmp_path / "x")["trained"][0])
    assert (two.name, two.classes, two.digest) == ("folder", ("a\udcff", "b"), one.digest)
    assert two.clips.equal(one.clips)
    assert TrainingList.of("folder", clips("b", "a\udcff", ids="xy")[::-1]).digest == one.digest
    for name, label, ids in (("ucf101", "a\udcff", "xy"), ("folder", "a", "xy"), ("folder", "a\udcff", "xz")):
        assert TrainingList.of(name, clips("b", label, ids=ids)).digest != one.digest


def ssv2(few_shot_info, size: str, split: str) -> list[Clip]:
    return build_split(load_cfg(ROOT / f"configs/trokens/ssv2_{size}.yaml",
                                ["DATA.PATH_TO_TROKEN_PT_DATA", str(few_shot_info.parent)]), split)


def test_ssv2_full_knows_clips_of_the_test_of_ssv2_small(few_shot_info):
    """Label numbers of the two lists have nothing to do with each other; 568 clips are in both."""
    full = TrainingList.of("ssv2/ssv2_full", ssv2(few_shot_info, "full", "train"))
    small = ssv2(few_shot_info, "small", "test")
    assert learned([full], "ssv2/ssv2_small", small) == Learned(["76", "77", "83", "86", "87", "93", "98"], 568)
    own = TrainingList.of("ssv2/ssv2_small", ssv2(few_shot_info, "small", "train"))
    assert learned([own], "ssv2/ssv2_small", small) == Learned([], 0)


@pytest.mark.parametrize("name", ["hmdb", "ucf", "k400", "ssv2_small", "ssv2_full"])
def test_the_benchmarks_test_on_new_classes(few_shot_info, name):
    cfg = load_cfg(ROOT / f"configs/trokens/{name}.yaml", ["DATA.PATH_TO_TROKEN_PT_DATA", str(few_shot_info.parent)])
    own = TrainingList.of(name, build_split(cfg, "train"))
    assert learned([own], name, build_split(cfg, "val") + build_split(cfg, "test")) == Learned([], 0)
