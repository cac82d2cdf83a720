"""Rows of predictions.csv and predictions.jsonl: what is in them, and that they survive whatever a name holds."""

import csv
import io
import json

import pytest

from trokens.recognize.answers import COLUMNS, Answer, Prediction, csv_rows, jsonl_lines
from trokens.recognize.options import UNKNOWN
from trokens.runtime.files import write_csv

BOTH = {"wave": 0.75, "bow": 0.25}
ANSWER = Answer("a.mp4", "wave", 0.75, "bow", BOTH, {"wave": 0.1, "bow": 0.2}, 0.0, 2.44004, None, 1.5, "ex/w.mp4")


def read(predictions, folder):
    write_csv(folder / "p.csv", csv_rows(predictions))
    return list(csv.DictReader(io.StringIO((folder / "p.csv").read_bytes().decode("utf-8", "surrogateescape"), "")))


def test_a_row_says_what_is_asked_for(tmp_path):
    prediction = Prediction("a.mp4", (ANSWER,), "wave")
    assert read([prediction], tmp_path) == [dict(zip(COLUMNS, (
        "a.mp4", "0.0", "2.44", "wave", "0.75", "bow", "wave", ""), strict=True))]
    [line] = jsonl_lines([prediction])
    assert json.loads(line) == {"path": "a.mp4", "start": 0.0, "end": 2.44, "action": "wave", "confidence": 0.75,
                                "runner_up": "bow", "true_action": "wave", "error": None, "probabilities": BOTH,
                                "distances": {"wave": 0.1, "bow": 0.2}, "nearest_example": "ex/w.mp4"}


def test_what_cannot_be_read_has_its_cause_and_nothing_else(tmp_path):
    predictions = [Prediction("b.mp4", (Answer("b.mp4", error="It is empty."),))]
    assert read(predictions, tmp_path) == [dict.fromkeys(COLUMNS, "") | {"path": "b.mp4", "error": "It is empty."}]
    record = json.loads(next(jsonl_lines(predictions)))
    assert {key for key, value in record.items() if value not in (None, {})} == {"path", "error"}


def test_each_piece_of_a_long_video_is_a_row(tmp_path):
    pieces = (Answer("v", 6, 0.5, 7, {6: 0.5, 7: 0.5}, {}, 0.0, 2.5), Answer("v", 7, 0.5, 6, {}, {}, 2.5, 4.0))
    predictions = [Prediction("v", pieces, None, True), Prediction("w", (ANSWER,), None, True)]
    rows = read(predictions, tmp_path)
    assert [(row["path"], row["start"], row["end"], row["action"]) for row in rows] == [
        ("v", "0.0", "2.5", "6"), ("v", "2.5", "4.0", "7"), ("w", "0.0", "2.44", "wave")]
    assert json.loads(next(jsonl_lines(predictions)))["probabilities"] == {"6": 0.5, "7": 0.5}


@pytest.mark.parametrize("name", ["a, b", 'say "hi"', "two\nlines", "\r\nx", "тест 手を振る é", "é",
                                  b"no \xff utf-8".decode("utf-8", "surrogateescape"), "a;b", " a ", "'a", "x=1"])
def test_names_survive(name, tmp_path):
    predictions = [Prediction(f"x/{name}", (Answer("", f"x{name}", 0.5, f"y{name}", {}, {}),), f"z{name}")]
    [row] = read(predictions, tmp_path)
    [line] = jsonl_lines(predictions)
    assert "\n" not in line[:-1]
    for found in (row, json.loads(line)):
        assert (found["path"], found["action"], found["runner_up"], found["true_action"]) == (
            f"x/{name}", f"x{name}", f"y{name}", f"z{name}")


@pytest.mark.parametrize("start", "=+-@\t\r")
def test_no_cell_is_a_formula(start, tmp_path):
    name = f"{start}HYPERLINK(1)"
    answers = (Answer(name, name, 0.5, name, {name: 0.5}, {}, nearest=name),
               Answer(name, error=f"{name}: It is empty."))
    predictions = [Prediction(name, answers[:1], name), Prediction(name, answers[1:])]
    for row in read(predictions, tmp_path):
        assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        assert row["path"] == f"./{name}"  # the same file
    assert row["error"] == f"'{name}: It is empty."
    assert json.loads(next(jsonl_lines(predictions)))["action"] == name


def test_an_answer_is_right_where_it_names_the_action_or_calls_another_one_unknown():
    def verdict(label, true, error=None):
        return Prediction("a", (answer := Answer("a", label, 0.5, "bow", BOTH, {}, error=error),), true).right(answer)

    assert verdict("wave", "wave") is True and verdict("wave", "bow") is False
    assert verdict("wave", None) is None and verdict(None, "wave", "It is empty.") is None
    assert verdict(UNKNOWN, "juggle") is True and verdict(UNKNOWN, "wave") is False
    assert verdict("wave", "juggle") is False and verdict(UNKNOWN, UNKNOWN) is True
