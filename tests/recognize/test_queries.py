"""What `--query` stands for, and which of its clips are known to show what."""

import json
import os

import pytest

from trokens.recognize.queries import Query, find_queries

ACTIONS = ("wave", "Bow down")


@pytest.fixture(autouse=True)
def clips(tmp_path, monkeypatch):
    """Files by the names of videos: none is opened. All paths are relative to the folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "q/wave/a.mp4", "q/wave/deep/b.MOV", "q/bow  DOWN/c.mp4", "q/other/d.mp4", "q/e.mp4",
                 "q/other/notes.txt", "q/.hidden/f.mp4", "more/g.webm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(*words, actions=ACTIONS):
    return [tuple(query) for query in find_queries(words, actions)]


def test_a_folder_is_searched_and_its_folders_may_be_called_like_actions():
    expected = [("q/bow  DOWN/c.mp4", "Bow down", None), ("q/e.mp4", None, None), ("q/other/d.mp4", None, None),
                ("q/wave/a.mp4", "wave", None), ("q/wave/deep/b.MOV", "wave", None)]
    assert found("q") == found("q/") == expected
    assert found("q/wave") == expected[3:]


def test_the_innermost_folder_counts_and_none_above_the_word(clips):
    (clips / "wave/x/Bow down").mkdir(parents=True)
    (clips / "wave/x/Bow down/a.mp4").touch()
    (clips / "wave/x/b.mp4").touch()
    assert found("wave") == [("wave/x/Bow down/a.mp4", "Bow down", None), ("wave/x/b.mp4", "wave", None)]
    assert found("wave/x")[1] == ("wave/x/b.mp4", None, None)


def test_of_names_that_read_alike_the_exact_one_counts():
    assert found("q/wave/a.mp4", actions=("Wave", "WAVE"))[0][1] is None
    assert found("q/wave/a.mp4", actions=("Wave", "wave"))[0][1] == "wave"
    assert found("q/wave/a.mp4", actions=("Wave",))[0][1] == "Wave"


@pytest.mark.parametrize(("pattern", "names"), [
    ("*.mp4", ["a.mp4"]), ("q/*/*.mp4", ["q/bow  DOWN/c.mp4", "q/other/d.mp4", "q/wave/a.mp4"]),
    ("**/*.m[op][v4]", ["a.mp4", "q/bow  DOWN/c.mp4", "q/e.mp4", "q/other/d.mp4", "q/wave/a.mp4"]),
    ("q/w*", ["q/wave/a.mp4", "q/wave/deep/b.MOV"]), ("mor?", ["more/g.webm"])])
def test_a_pattern_in_quotes_is_what_a_shell_makes_of_it(pattern, names):
    assert [query[0] for query in found(pattern)] == names


def test_a_file_may_be_called_like_a_pattern(clips):
    (clips / "a[1].mp4").touch()
    (clips / "d[1]").mkdir()
    (clips / "d[1]/x.mp4").touch()
    assert [query[0] for query in found("a[1].mp4", "d[1]")] == ["a[1].mp4", "d[1]/x.mp4"]


def test_the_home_folder_in_quotes(clips, monkeypatch):
    monkeypatch.setenv("HOME", str(clips))
    assert found("~/more/*.webm") == [(f"{clips}/more/g.webm", None, None)]


@pytest.mark.parametrize("name", ["list.csv", "LIST.CSV", "list.json", "LIST.JSON"])
def test_a_list_says_what_its_clips_show_and_may_leave_it_open(clips, name):
    (clips / "lists").mkdir()
    text = "path,label\n../a.mp4,juggle\n../q/e.mp4,\n../gone.mp4,WAVE\n"
    if name.lower().endswith("json"):
        text = json.dumps([{"path": "../a.mp4", "label": "juggle"}, {"path": "../q/e.mp4"},
                           {"path": "../gone.mp4", "label": "WAVE"}])
    (clips / "lists" / name).write_text(text)
    assert found(f"lists/{name}") == [("lists/../a.mp4", "juggle", None), ("lists/../q/e.mp4", None, None),
                                      ("lists/../gone.mp4", "wave", "There is no 'lists/../gone.mp4'.")]


def test_a_clip_is_taken_once_with_what_is_known_of_it(clips, caplog):
    os.symlink("q/e.mp4", "link.mp4")
    (clips / "list.csv").write_text("path,label\nq/e.mp4,wave\nq/wave/a.mp4,Bow down\n")
    assert found("q/e.mp4", "./q/e.mp4", "link.mp4", "list.csv", "q/wave/*.mp4") == [
        ("q/e.mp4", "wave", None), ("q/wave/a.mp4", "Bow down", None)]
    assert caplog.messages == ["'q/wave/a.mp4' is given as 'Bow down' and as 'wave'; the first counts."]


def test_what_nothing_is_found_for_is_named_and_the_others_go_on(clips):
    (clips / "empty").mkdir()
    (clips / "broken.csv").write_text("file\nx\n")
    os.mkfifo("pipe.mp4")
    words = ("nowhere.mp4", "empty", "x*.mp4", "broken.csv", "pipe.mp4", "", "a.mp4")
    queries = find_queries(words, ACTIONS)
    assert [query.path for query in queries] == list(words)
    errors = [query.error for query in queries]
    assert errors.pop(3).startswith("broken.csv has no column 'path'")
    assert errors == ["There is no 'nowhere.mp4'.", "'empty' holds no video.", "No video fits 'x*.mp4'.",
                      "'pipe.mp4' is no file.", "There is no ''.", None]


def test_whatever_is_a_file_is_asked_about():
    assert find_queries(["q/other/notes.txt"], ACTIONS) == [Query("q/other/notes.txt")]
