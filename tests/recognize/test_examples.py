"""Examples in folders and lists: what is found, and what is refused before anything is computed."""

import shutil

import clips_of_actions
import pytest

from trokens import FewShotClassifier
from trokens.recognize import examples as module
from trokens.recognize.examples import Example, check_examples, read_examples, read_labeled


@pytest.fixture
def root(tmp_path):
    """Two actions of two clips each."""
    clips_of_actions.write(tmp_path / "clips", ("down", "left"), num_frames=4)
    return tmp_path / "clips"


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch):
    """What is wrong with examples is to be said before any is looked at."""
    def describe_all(*_):
        raise AssertionError("clips were described")
    monkeypatch.setattr(module, "describe_all", describe_all)


def refused(examples, error=ValueError) -> str:
    with pytest.raises(error) as caught:
        FewShotClassifier(method="motion", cache="").fit(examples)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_gives_each_video_the_action_of_its_subfolder(root):
    (root / "down" / "deeper").mkdir()
    shutil.copy(root / "left" / "0.mp4", root / "down" / "deeper" / "2.MP4")
    (root / "down" / "notes.txt").write_text("not a video")
    (root / ".hidden").mkdir()
    found = read_examples(root)
    assert [(example.path.removeprefix(str(root)), example.label) for example in found] == [
        ("/down/0.mp4", "down"), ("/down/1.mp4", "down"), ("/down/deeper/2.MP4", "down"),
        ("/left/0.mp4", "left"), ("/left/1.mp4", "left")]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_list_gives_paths_from_its_own_folder_and_absolute_ones(root, form):
    path = root.parent / f"list.{form}"
    absolute = root / "left" / "0.mp4"
    path.write_text(f"\ufeffpath,label\nclips/down/0.mp4, down \n{absolute},left\n" if form == "csv" else
                    f'[{{"path": "clips/down/0.mp4", "label": "down"}}, {{"path": "{absolute}", "label": "left"}}]',
                    encoding="utf-8")
    assert read_examples(path) == [Example(str(root / "down/0.mp4"), "down"), Example(str(absolute), "left")]


def test_examples_that_are_not_there_are_named(tmp_path):
    text = refused(tmp_path / "nowhere", FileNotFoundError)
    assert text == (f"There are no examples at '{tmp_path}/nowhere'; give a folder with one subfolder an action, or a "
                    "CSV with the columns path,label.")


def test_a_file_that_is_no_list_is_named(root):
    assert "is neither a folder nor a CSV" in refused(root / "down" / "0.mp4")


def test_an_empty_folder_is_named(tmp_path):
    assert refused(tmp_path).startswith(f"'{tmp_path}' holds no folders of actions; give a folder")


def test_videos_beside_no_action_are_no_examples(root):
    assert "holds no folders of actions" in refused(root / "down")


def test_a_single_action_is_refused(root):
    shutil.rmtree(root / "left")
    assert refused(root) == "The examples show one action alone, 'down'; it takes two or more to tell them apart."


def test_an_action_without_a_clip_is_named(root):
    (root / "jump").mkdir()
    assert refused(root) == (f"Action 'jump' has no clip: '{root}/jump' holds no video; add one, or remove the folder.")


def test_an_action_without_a_readable_clip_is_named_with_the_cause(root):
    for number in (0, 1):
        (root / "left" / f"{number}.mp4").write_bytes(b"")
    text = refused(root)
    assert text == (f"Action 'left' has no readable clip: Cannot read video '{root}/left/0.mp4': the file is empty; "
                    "get it anew.")


def test_a_listed_clip_that_is_not_there_is_named(root):
    (root / "list.csv").write_text("path,label\ndown/0.mp4,down\nleft/9.mp4,left\n")
    assert refused(root / "list.csv") == (
        f"Action 'left' has no readable clip: Cannot read video '{root}/left/9.mp4': No such file or directory.")


def test_the_same_content_under_two_actions_is_refused_whatever_the_names(root):
    shutil.copy(root / "down" / "1.mp4", root / "left" / "other.mp4")
    assert refused(root) == (f"'{root}/down/1.mp4' and '{root}/left/other.mp4' are the same clip, once as 'down' and "
                             "once as 'left'; remove one of them.")


def test_a_clip_twice_in_an_action_counts_once_and_is_said(root, caplog):
    shutil.copy(root / "down" / "0.mp4", root / "down" / "again.mp4")
    kept = check_examples(read_examples(root))
    assert [example.path.removeprefix(str(root)) for example in kept] == [
        "/down/0.mp4", "/down/1.mp4", "/left/0.mp4", "/left/1.mp4"]
    assert f"'{root}/down/again.mp4' is the same clip as '{root}/down/0.mp4'" in caplog.text


def test_an_unreadable_clip_beside_readable_ones_is_left_out_and_said(root, caplog):
    (root / "left" / "0.mp4").write_text("no video")
    assert len(check_examples(read_examples(root))) == 3
    assert caplog.text.count("An example of 'left' is left out: ") == 1 and str(root / "left" / "0.mp4") in caplog.text


@pytest.mark.parametrize(("content", "said"), [
    ("", "lists no clips"), ("path,label\n", "lists no clips"), ("path,label\ndown/0.mp4,\n", "clip 1 has no 'label'"),
    ("path,label\n,down\n", "clip 1 has no 'path'"), ("video,action\na,b\n", "no column 'path'")])
def test_a_broken_list_is_named_with_the_clip(root, content, said):
    (root / "list.csv").write_text(content)
    text = refused(root / "list.csv")
    assert said in text and "list.csv" in text and "it needs " in text and "path, label" in text


@pytest.mark.parametrize(("X", "y", "said"), [
    (["a.mp4"], ["x", "y"], "1 clips and 2 labels"),
    ({"wave": "a.mp4", "bow": ["b.mp4"]}, None, "is given one path"),
    ({"wave": [], "bow": ["b.mp4"]}, None, "Action 'wave' has no clip"),
    ({"wave": ["a.mp4"]}, ["wave"], "give one of them"),
    ([3, 4], ["x", "y"], "A clip is given as int"),
    (["a.mp4"], None, "needs the action"),
    ({}, None, "The examples show no action; it takes two or more"),
    (["a.mp4", "b.mp4"], ["wave", 1], "^Some labels are texts, such as 'wave', and some are numbers, such as 1"),
    (["a.mp4", "b.mp4"], ["wave", None], "^A label is None, of type NoneType; expected a text or a number.$"),
    (["a.mp4", "b.mp4", "c.mp4"], ["Wave", "bow", "wave "], "Actions 'Wave' and 'wave ' are the same but for case"),
])
def test_what_fit_cannot_take_is_said(X, y, said):
    with pytest.raises(ValueError, match=said):
        FewShotClassifier(method="motion", cache="").fit(X, y)


def test_reject_with_one_example_is_refused_with_the_reason(root):
    (root / "left" / "1.mp4").unlink()
    with pytest.raises(ValueError) as caught:
        FewShotClassifier(method="motion", cache="", reject=0.05).fit(root)
    assert str(caught.value) == (
        "reject is 0.05, but action 'left' has one example: the distance beyond which a clip is unknown is measured by "
        "leaving examples out, so every action needs two.")


def test_an_action_called_unknown_cannot_be_told_from_the_answer(root):
    (root / "left").rename(root / "unknown")
    with pytest.raises(ValueError, match="An action is called 'unknown'"):
        FewShotClassifier(method="motion", cache="", reject=0.05).fit(root)


@pytest.mark.parametrize(("options", "said"), [
    ({"method": "sound"}, "method is 'sound'; expected one of both, motion, looks"), ({"reject": 0}, "reject is 0"),
    ({"reject": 0.9}, "reject is 0.9"), ({"workers": -1}, "workers is -1"),
    ({"backbone": "resnet"}, "backbone is 'resnet'; expected auto"),
    ({"checkpoint": "nowhere.pyth"}, "No checkpoint at nowhere.pyth")])
def test_an_option_out_of_its_range_is_said(root, options, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        FewShotClassifier(cache="", **options).fit(root)


def test_a_list_of_queries_reads_like_one_of_examples(root):
    (root / "queries.csv").write_text("path,label\ndown/0.mp4,down\n")
    assert read_labeled(root / "queries.csv") == [Example(str(root / "down/0.mp4"), "down")]
