"""`trokens predict`: what it prints, writes and ends with."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import clips_of_actions
import pytest
import torch
import videos
from pages import read_page
from processes import TIMEOUT
from tiny import tiny_cfg

from trokens import FewShotClassifier
from trokens.cli import predict
from trokens.engine.run import run_experiment
from trokens.recognize import classifier as module
from trokens.recognize import describe, trained
from trokens.video.write import write_video

ROOT = Path(__file__).resolve().parents[2]
ACTIONS = ("down", "left", "right")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """``examples`` of three actions, one clip each, and ``queries``, two clips each; all computed once."""
    root = tmp_path_factory.mktemp("predict")
    for action, paths in clips_of_actions.write(root / "clips", ACTIONS, clips=3).items():
        for path in map(Path, paths):
            to = root / ("examples" if path.stem == "0" else "queries") / action / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            path.rename(to)
    return root


@pytest.fixture(autouse=True)
def in_the_folder(root, tmp_path, monkeypatch):
    """Each test has a folder of its own, with links to the clips and a cache that all share."""
    monkeypatch.chdir(tmp_path)
    for name in ("examples", "queries", "cache"):
        (root / name).mkdir(exist_ok=True)
        os.symlink(root / name, tmp_path / name)


@pytest.fixture
def pages(monkeypatch):
    """What pages were written of; in their place there is a line."""
    written = []

    def write_page(file, classifier, predictions, *, command):
        written.append((classifier, predictions, command))
        file.write_text("<html>")

    monkeypatch.setattr("trokens.report.page.write_page", write_page)
    return written


@pytest.fixture
def run(capsys, pages):
    """Run the command by motion in this process: exit code, lines of output, and of errors."""
    def run(*arguments, support="examples", method=("--method", "motion"), workers=0, cache="cache"):
        typed = ["--support", support, "--out", "out", "--cache", cache, *method, "--workers", workers, "--query",
                 *arguments]
        try:
            code = predict.main([str(word) for word in typed], "trokens predict")
        except SystemExit as ended:
            code = ended.code
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return run


def rows(out="out"):
    with open(Path(out) / "predictions.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def records(out="out"):
    return [json.loads(line) for line in (Path(out) / "predictions.jsonl").read_text().splitlines()]


# What is answered -------------------------------------------------------------------------------------------------

def test_each_clip_has_a_line_and_a_row(run, pages):
    code, lines, _ = run("queries")
    assert code == 0 and lines[0].split() == ["clip", "action", "confidence", "runner-up"]
    assert len(lines) == 8 and len({line.find(word) for line, word in zip(
        lines[1:-1], [action for action in ACTIONS for _ in range(2)], strict=True)} - {-1}) == 1
    found = rows()
    assert [row["path"] for row in found] == [f"queries/{action}/{i}.mp4" for action in ACTIONS for i in (1, 2)]
    for line, row, record in zip(lines[1:-1], found, records(), strict=True):
        confidence = f"{float(row['confidence']):.2f}"
        assert line.split() == [row["path"], row["action"], confidence, row["runner_up"], "right"]
        assert row["action"] == row["true_action"] == row["path"].split("/")[1] and not row["error"]
        assert (row["start"], row["end"]) == ("0.0", "2.4")
        assert {key: "" if value is None else str(value) for key, value in record.items() if key in row} == row
        assert record["confidence"] == round(record["probabilities"][row["action"]], 4)
        assert record["nearest_example"] == f"examples/{row['action']}/0.mp4"
    assert lines[-1] == ("6 of 6 clips answered; 6 of 6 right (100.0 %). index.html, predictions.csv and "
                         "predictions.jsonl are in out.")
    [(classifier, predictions, command)] = pages
    assert classifier.classes_.tolist() == list(ACTIONS) and [p.path for p in predictions] == [r["path"] for r in found]
    assert command.startswith("trokens predict --support examples --out out ") and Path("out/index.html").is_file()


def test_answers_do_not_depend_on_the_number_of_processes(run):
    assert run("queries")[0] == 0
    expected = rows()
    assert run("queries", workers=2, cache="other")[0] == 0
    assert rows() == expected


def test_examples_may_be_a_list_and_a_saved_classifier(run, tmp_path):
    lines = [f"../examples/{action}/0.mp4,{action}" for action in ACTIONS]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/examples.csv").write_text("\n".join(["path,label", *lines]))
    assert run("queries", "--save", "saved", support="lists/examples.csv", cache="")[0] == 0
    expected = rows()
    os.unlink("examples")
    (tmp_path / "elsewhere").mkdir()
    os.chdir("elsewhere")
    code, _, errors = run("../queries", support="../saved", method=(), cache="../cache")
    assert code == 0, errors
    assert [row | {"path": row["path"].removeprefix("../")} for row in rows()] == expected
    assert records()[0]["nearest_example"] == f"{tmp_path}/lists/../examples/down/0.mp4".replace("lists/../", "")
    assert FewShotClassifier.load("../saved").cache == "" and not Path(".cache").exists()


def test_options_of_a_saved_classifier_are_its_own(run):
    assert run("queries", "--save", "saved")[0] == 0
    code, lines, errors = run("queries", support="saved")
    assert (code, lines) == (2, []) and errors == ["ValueError: --method belongs to what 'saved' was saved with; leave "
                                                   "it out, or give the examples themselves."]


def test_a_query_is_answered_once_and_may_be_a_list_a_pattern_or_a_file(run, tmp_path):
    (tmp_path / "list.csv").write_text("path,label\nqueries/left/1.mp4,right\nqueries/left/2.mp4,\n")
    code, lines, _ = run("list.csv", "queries/left/1.mp4", "'none'", "queries/*/1.mp4", "./queries/left/2.mp4")
    assert code == 1 and [row["path"] for row in rows()] == [
        "queries/left/1.mp4", "queries/left/2.mp4", "'none'", "queries/down/1.mp4", "queries/right/1.mp4"]
    assert [row["true_action"] for row in rows()] == ["right", "left", "", "down", "right"]
    assert lines[1].split(maxsplit=1) == ["'none'", "There is no ''none''."] and "wrong: right" in lines[2]
    assert lines[-1].startswith("4 of 5 clips answered; 3 of 4 right (75.0 %). ")


def test_examples_among_the_clips_are_named(run):
    shutil.copy("examples/left/0.mp4", "copy.mp4")
    Path("list.csv").write_text("path,label\ncopy.mp4,left\nqueries/left/1.mp4,left\n")
    assert "; examples among them: 1, which says nothing. index" in run("list.csv")[1][-1]


def test_a_second_query_describes_no_example_again(run, monkeypatch):
    run("queries/left", cache="own")
    seen = []
    monkeypatch.setattr(describe, "describe_one", lambda clip, describer, real=describe.describe_one: (
        seen.append(clip[0]), real(clip, describer))[1])
    assert run("queries/left", "queries/down/1.mp4", cache="own")[0] == 0
    assert seen == ["queries/down/1.mp4"]


def test_one_new_clip_alone_starts_no_process(run, monkeypatch):
    run("queries")
    started = []
    monkeypatch.setattr(describe, "parallel_map", lambda function, items, workers, **_: started.append(workers) or [
        (item, function(item)) for item in items])
    shutil.copy("queries/left/1.mp4", "new.mp4")
    with open("new.mp4", "ab") as file:
        file.write(b"\0\0\0\x08free")
    monkeypatch.setattr(predict, "check_at_least", lambda *_, **__: None)
    for words, expected in ((["new.mp4"], [0]), (["new.mp4", "queries"], [])):
        started.clear()
        assert predict.main(["--support", "examples", "--out", "out", "--cache", "cache", "--method", "motion",
                             "--query", *words]) == 0
        assert started == expected  # the second time it is in the cache


def test_a_cache_that_is_not_wanted_leaves_nothing_behind(run, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert run("queries/left", cache="")[0] == 0
    assert not list((tmp_path / "tmp").iterdir()) and not (tmp_path / "home").exists()


def test_unknown_needs_two_examples_of_each_and_may_be_right(run, tmp_path):
    code, lines, errors = run("queries", "--reject", "0.05")
    assert (code, lines) == (2, []) and errors[-1] == (
        "ValueError: reject is 0.05, but action 'down' has one example: the distance beyond which a clip is unknown is "
        "measured by leaving examples out, so every action needs two.")
    clips_of_actions.write(tmp_path / "three", ("down", "left"), clips=3)
    clips_of_actions.write(tmp_path / "asked", ("still",), clips=1)
    Path("list.csv").write_text("path,label\nasked/still/0.mp4,still\n")
    code, lines, _ = run("list.csv", "--reject", "0.05", support="three")
    assert code == 0 and rows()[0]["action"] == "unknown" and rows()[0]["runner_up"] in ("down", "left")
    assert "1 of 1 right" in lines[-1]


# Long videos ------------------------------------------------------------------------------------------------------

@pytest.fixture
def long_video(tmp_path):
    """3 s of an action, then 3 s of another."""
    write_video(tmp_path / "long.mp4", [*clips_of_actions.frames("right", 7, 30, speed=1.5),
                                        *clips_of_actions.frames("down", 8, 30, speed=1.5)])
    return tmp_path / "long.mp4"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_long_video_is_answered_piece_by_piece(run, pages, long_video, workers):
    code, lines, errors = run("long.mp4", "--window", "1.5", "--stride", "0.5", workers=workers)
    assert code == 0, errors
    found = rows()
    assert [row["action"] for row in found] == ["right", "down"] and {row["path"] for row in found} == {"long.mp4"}
    assert found[0]["start"] == "0.0" and found[0]["end"] == found[1]["start"] and found[1]["end"] == "6.0"
    assert 2 < float(found[0]["end"]) < 4
    assert [line.split()[1:5] for line in lines[1:-1]] == [
        [f"{float(row['start']):.1f}", "-", f"{float(row['end']):.1f}", row["action"]] for row in found]
    [(_, [prediction], _)] = pages
    assert prediction.windowed and len(prediction.pieces) == 2
    assert records()[0]["nearest_example"] == "examples/right/0.mp4"


def test_a_video_that_cannot_be_read_does_not_end_the_others(run, long_video):
    Path("bad.mp4").write_bytes(b"no video" * 100)
    Path("list.csv").write_text("path,label\nbad.mp4,down\nlong.mp4,down\n")
    code, lines, _ = run("list.csv", "--window", "1.5", "--stride", "1.5")
    assert code == 1 and lines[1].startswith("bad.mp4 ") and "cannot be read: " in lines[1]
    assert rows()[0]["error"] and [row["action"] for row in rows()[1:]] == ["right", "down"]
    assert "1 of 2 clips answered; 1 of 2 pieces right (50.0 %)." in lines[-1]


@pytest.mark.parametrize(("options", "message"), [
    (["--stride", "1"], "--stride belongs to --window; give that too."),
    (["--window", "0"], "--window is 0; it must be a number of seconds above 0."),
    (["--window", "nan"], "--window is nan; it must be a number of seconds above 0."),
    (["--window", "1", "--stride", "inf"], "--stride is inf; it must be a number of seconds above 0."),
    (["--window", "1", "--stride", "2"], "--stride is 2, longer than --window 1: nobody would look at what lies "
     "between."),
    (["--reject", "0.6"], "--reject is 0.6; it is a share of right answers that may be lost, above 0 and at most "
     "0.5."),
    (["--checkpoint", "x"], "--method belongs to the descriptor, and --checkpoint compares a trained model's tokens of "
     "whole clips; leave one of them out."),
    (["--workers", "-1"], "--workers is -1; it must be at least 0.")])
def test_options_that_do_not_go_together_end_it_at_once(run, options, message):
    code, _, errors = run("queries", *options)
    assert code == 2 and errors[-1].endswith(f"error: {message}") and not Path("out").exists()


def test_half_a_window_is_the_stride():
    assert predict.parse_args(["--support", "a", "--query", "b", "--window", "3"]).stride == 1.5


# What is wrong ----------------------------------------------------------------------------------------------------

def test_a_query_that_cannot_be_read_is_a_line_and_a_row(run, tmp_path):
    write_video(tmp_path / "one.mp4", clips_of_actions.frames("down", 9, 1))
    (tmp_path / "text.mp4").write_text("nothing but text")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    videos.encode(tmp_path / "whole.mp4", **{"x264-params": videos.X264})
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:len(data) // 2])
    names = ["text.mp4", "empty.mp4", "gone.mp4", "folder", "cut.mp4"]
    code, lines, errors = run(*names, "one.mp4", "queries/left/1.mp4")
    assert code == 1 and "Traceback" not in "\n".join(errors)
    found = {row["path"]: row for row in rows()}
    assert list(found) == [*names, "one.mp4", "queries/left/1.mp4"]
    for name in names:
        [line] = [line for line in lines if line.split()[0] == name]
        assert name in found[name]["error"] and not found[name]["action"] and "--damaged" not in line
        assert line.endswith(found[name]["error"].removeprefix(f"Cannot read video '{name}': "))
        assert str(tmp_path) not in line + found[name]["error"]
    assert found["one.mp4"]["action"] and found["queries/left/1.mp4"]["action"] == "left"
    assert lines[-1].startswith("2 of 7 clips answered; 1 of 1 right (100.0 %). ")


@pytest.mark.parametrize(("words", "message"), [
    (["gone.mp4"], "FileNotFoundError: --query names no clip: There is no 'gone.mp4'."),
    (["*.avi", "cache/none"], "FileNotFoundError: --query names no clip: No video fits '*.avi'. There is no "
     "'cache/none'."),
    ([f"{i}.mp4" for i in range(7)], "FileNotFoundError: --query names no clip: " + " ".join(
        f"There is no '{i}.mp4'." for i in range(5)) + " (and 2 more)")])
def test_where_there_is_no_clip_at_all_nothing_is_done(run, words, message):
    code, lines, errors = run(*words)
    assert (code, lines, errors) == (2, [], [message]) and not Path("out").exists()


def test_examples_that_cannot_be_used_are_said_before_anything_is_computed(run, monkeypatch, tmp_path):
    monkeypatch.setattr(describe, "describe_one", None)
    (tmp_path / "empty").mkdir()
    shutil.copytree("examples/left", tmp_path / "alone/left")
    shutil.copytree(tmp_path / "alone", tmp_path / "two")
    (tmp_path / "two/down").mkdir()
    shutil.copytree(tmp_path / "two", tmp_path / "unreadable")
    (tmp_path / "unreadable/down/a.mp4").touch()
    shutil.copytree("examples/left", tmp_path / "same/left")
    shutil.copytree("examples/left", tmp_path / "same/right")
    for support, message in (("gone", "There are no examples at 'gone'"), ("empty", "'empty' holds no folders of"),
                             ("alone", "The examples show one action alone, 'left'"),
                             ("two", "Action 'down' has no clip"), ("unreadable", "Action 'down' has no readable clip"),
                             ("same", "'same/left/0.mp4' and 'same/right/0.mp4' are the same clip")):
        code, lines, errors = run("queries", support=support, cache="other")
        assert (code, lines) == (2, []) and message in errors[-1], support
        assert not Path("out").exists()


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_computed(run, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "check_examples", None)
    (tmp_path / "out").write_text("a file")
    code, lines, errors = run("queries")
    assert (code, lines) == (2, []) and errors[-1].startswith("WriteError: out/predictions.csv cannot be written (")


def test_a_cache_that_cannot_be_made_is_said_and_a_home_that_cannot_is_done_without(run, monkeypatch,
                                                                                     caplog):
    Path("file").touch()
    code, lines, errors = run("queries/left", cache="file/cache")
    assert (code, lines) == (2, []) and errors[-1].startswith("WriteError: file/cache cannot be written (Not a dir")
    monkeypatch.setenv("XDG_CACHE_HOME", "file")
    assert predict.main(["--support", "examples", "--out", "out", "--method", "motion", "--workers", "0", "--query",
                         "queries/left/1.mp4"]) == 0
    assert "Nothing is kept for the next time, as --cache FOLDER would: Not a directory." in caplog.messages


def test_the_page_of_an_earlier_run_goes_where_its_answers_do(run, monkeypatch):
    run("queries")
    assert Path("out/index.html").is_file()
    monkeypatch.setattr("trokens.report.page.write_page", lambda *_, **__: None)
    run("queries/left")
    assert len(rows()) == 2 and not Path("out/index.html").exists()


# Names ------------------------------------------------------------------------------------------------------------

def test_names_of_every_kind_are_found_printed_and_written(run, tmp_path):
    names = ["手を振る.mp4", "two\nlines.mp4", 'a, "b".mp4', "=1+1.mp4", os.fsdecode(b"\xff.mp4"), "-x.mp4",
             "\x1b[31m.mp4"]
    for name in names:
        shutil.copy("queries/left/1.mp4", name)
    code, lines, _ = run("*.mp4")
    assert code == 0 and len(lines) == 2 + len(names)
    assert sorted(row["path"].removeprefix("./") for row in rows()) == sorted(names)
    assert sorted(record["path"] for record in records()) == sorted(names)
    shown = "\n".join(lines)
    assert r"two\nlines.mp4  " in shown and "\x1b" not in shown and r"\udcff.mp4  " in shown


def test_columns_fit_names_of_wide_characters(run, tmp_path):
    for name in ("手.mp4", "abcd.mp4"):
        shutil.copy("queries/left/1.mp4", name)
    _, lines, _ = run("*.mp4")
    assert lines[1].startswith("abcd.mp4  left") and lines[2].startswith("手.mp4    left")


# A trained model --------------------------------------------------------------------------------------------------

def test_a_checkpoint_is_a_file_or_the_folder_of_a_training(tmp_path):
    from trokens.models.pretrained import find_pretrained
    assert find_pretrained("x.pyth") == Path("x.pyth")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="'run' holds no checkpoint; give the folder that OUTPUT_DIR named"):
        find_pretrained("run")
    (tmp_path / "run/checkpoints/checkpoint_best.pyth").touch()
    for name in ("run", "run/checkpoints"):
        assert find_pretrained(name) == Path("run/checkpoints/checkpoint_best.pyth")


def test_a_trained_model_answers_whole_clips(run, tiny_data, tmp_path, monkeypatch):
    run_experiment(tiny_cfg(tiny_data, tmp_path / "run"), torch.device("cpu"))
    monkeypatch.setattr(trained, "choose_backbone", lambda name: None)  # points on a grid, which need none
    code, lines, errors = run("queries/left", "queries/down", "--checkpoint", "run", "--save", "saved", method=())
    assert code == 0, errors
    expected = rows()
    assert [row["action"] for row in expected if row["action"] in ACTIONS] and len(lines) == 6
    assert run("queries/left", "queries/down", support="saved", method=())[0] == 0 and rows() == expected
    code, _, errors = run("queries/left", "--window", "1", support="saved", method=())
    assert code == 2 and errors == ["ValueError: 'saved' was saved with a checkpoint, which answers whole clips alone; "
                                    "leave --window out."]


def test_a_checkpoint_that_is_none_is_named(run):
    code, lines, errors = run("queries", "--checkpoint", "gone.pyth", method=())
    assert (code, lines) == (2, []) and errors[-1] == "FileNotFoundError: No checkpoint at gone.pyth."


# How it ends ------------------------------------------------------------------------------------------------------

STOPPED = """
import os, signal, sys, types
from trokens.recognize import describe
real = describe.describe_one
def describe_one(clip, describer):
    if clip[0] == "queries/left/1.mp4":
        os.kill(os.getpid(), {number})
    return real(clip, describer)
describe.describe_one = describe_one
from trokens.cli import main
sys.argv[1:] = ["predict", "--support", "examples", "--query", "queries", "--method", "motion", "--workers", "0",
                "--out", "out", "--cache", "own"]
main()
"""


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, **options)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_writes_what_was_answered(number, code):
    done = python(STOPPED.format(number=int(number)))
    assert done.returncode == code and len(done.stdout.splitlines()) == 3
    assert done.stderr.splitlines()[-2:] == [
        "2 of 6 clips were done; they are in out/predictions.csv and out/predictions.jsonl.",
        "Interrupted. The same command goes on from here."]
    assert [row["path"] for row in rows()] == [record["path"] for record in records()] == [
        "queries/down/1.mp4", "queries/down/2.mp4"]
    assert sorted(os.listdir("out")) == ["predictions.csv", "predictions.jsonl"]


DIES = """
import os
from trokens.recognize import describe

class Dying(describe.Describer):
    def __call__(self, path, content=None):
        if path == "queries/left/1.mp4":
            os.kill(os.getpid(), 9)
        return super().__call__(path, content)
"""


def test_a_process_that_dies_costs_its_own_clip(run, monkeypatch):
    Path("dies.py").write_text(DIES)
    monkeypatch.syspath_prepend(os.getcwd())
    monkeypatch.setenv("PYTHONPATH", f"{os.getcwd()}:{ROOT}")
    import dies
    monkeypatch.setattr(module, "Describer", dies.Dying)
    code, lines, _ = run("queries", workers=1, cache="own")
    assert code == 1 and lines[-1].startswith("5 of 6 clips answered; 5 of 5 right (100.0 %). ")
    assert [row["error"] for row in rows() if row["error"]] == [
        "the process that read it died (out of memory, or the decoder crashed)"]


# All of it --------------------------------------------------------------------------------------------------------

def test_the_page_says_what_the_lists_say(capsys):
    code = predict.main(["--support", "examples", "--out", "out", "--cache", "cache", "--method", "motion", "--workers",
                         "0", "--query", "queries", "gone.mp4"], "trokens predict")
    page = read_page(Path("out/index.html"))
    assert code == 1 and "There is no 'gone.mp4'." in page.text and "trokens predict --support examples" in page.text
    shown = {}
    for article in page.all("article"):
        name, folder = article.one("p", "file").all("bdi")
        shown[folder.text + name.text] = article.one("h3").all("bdi")[0].text
    assert shown == {row["path"]: row["action"] for row in rows() if not row["error"]}
