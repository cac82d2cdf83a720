"""Tables of settings: what their figures are, and how they are written."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from trokens.fewshot.outcomes import Outcomes
from trokens.fewshot.uncertainty import intervals
from trokens.report.table import Figure, TableRow, accuracy_of, gain_over, table_rows
from trokens.report.table_text import FORMATS, table_text

E, W, CLIPS, CLASSES = 60, 2, 24, 4


def outcomes(seed: int, skill: float, episodes: int = 0) -> Outcomes:
    """Answers that are right with some probability, drawn with ``seed``, in the episodes of another seed."""
    draw = np.random.default_rng(episodes)
    class_of = np.arange(CLIPS) % CLASSES
    support, query = np.empty((E, W, 1), int), np.empty((E, W, 1), int)
    for e in range(E):
        for w, one in enumerate(draw.choice(CLASSES, W, replace=False)):
            support[e, w, 0], query[e, w, 0] = draw.choice(np.flatnonzero(class_of == one), 2, replace=False)
    right = np.random.default_rng(seed).random((E, W, 1)) < skill
    way = np.arange(W)[None, :, None]
    return Outcomes([f"clip{i}" for i in range(CLIPS)], [f"class{i}" for i in range(CLASSES)], class_of, support, query,
                    np.where(right, way, 1 - way))


@pytest.fixture
def good() -> dict[int, Outcomes]:
    return {seed: outcomes(seed, 0.9) for seed in (1, 2, 3)}


@pytest.fixture
def poor() -> dict[int, Outcomes]:
    return {seed: outcomes(seed + 10, 0.6) for seed in (1, 2, 4)}


def test_an_accuracy_is_the_mean_over_seeds_and_its_intervals_are_of_that_mean(good):
    found, values = accuracy_of(good), np.stack([one.accuracy for one in good.values()])
    of_seeds = values.mean(1)
    assert found.mean == pytest.approx(values.mean()) and found.spread == pytest.approx(of_seeds.std(ddof=1))
    assert found.seeds == pytest.approx(4.302653 * of_seeds.std(ddof=1) / math.sqrt(3))  # t of 2 degrees, 97.5 %
    assert found.intervals == intervals(values.mean(0), good[1])


def test_one_seed_says_nothing_of_seeds(good):
    found = accuracy_of({1: good[1]})
    assert math.isnan(found.spread) and math.isnan(found.seeds) and found.intervals.episodes > 0


def test_a_gain_pairs_runs_of_one_seed_on_the_same_episodes(good, poor):
    gain = gain_over(poor, good)
    each = np.concatenate([good[seed].accuracy - poor[seed].accuracy for seed in (1, 2)])
    assert gain.num_seeds == 2 and gain.figure.mean == pytest.approx(each.mean())
    assert (gain.won, gain.lost) == ((each > 0).mean(), (each < 0).mean())
    back = gain_over(good, poor)
    assert back.figure.mean == -gain.figure.mean and (back.won, back.lost) == (gain.lost, gain.won)
    assert back.figure.intervals == gain.figure.intervals


def test_other_episodes_are_not_paired_and_have_no_interval_of_their_mean(good):
    other = {seed: outcomes(seed, 0.9, episodes=7) for seed in (1, 2)}
    assert gain_over(good, other) is None and gain_over(good, {9: good[1]}) is None
    mixed = accuracy_of({1: good[1], 2: other[2]})
    assert mixed.intervals is None and mixed.spread > 0


def test_rows_are_compared_with_the_baseline_at_their_number_of_shots(good, poor):
    settings = [("a", 1, good), ("a", 5, good), ("b", 1, poor), ("b", 3, poor)]
    rows = table_rows(settings, "a")
    assert [(row.name, row.k_shot, row.num_seeds, row.gain is None) for row in rows] == [
        ("a", 1, 3, True), ("a", 5, 3, True), ("b", 1, 3, False), ("b", 3, 3, True)]
    assert all(row.gain is None for row in table_rows(settings))
    with pytest.raises(ValueError, match=r"^baseline is c, which has no finished run; there are a, b\.$"):
        table_rows(settings, "c")


@pytest.fixture
def rows(good, poor) -> list[TableRow]:
    return table_rows([("with & without", 1, good), ("poor_one", 1, {1: poor[1]})], "with & without")


def test_markdown_leaves_open_what_is_not_known(rows):
    lines = table_text(rows, "markdown", "with & without").splitlines()
    assert lines[0].startswith("| setting | shots | accuracy | seeds | spread | ± episodes | ± clips | ± classes |")
    assert "| to with & without | ± episodes |" in lines[0] and lines[0].endswith("| won | lost |")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:4]]
    assert len({len(line) for line in cells}) == 1 and cells[2][9:] == [""] * 7  # the baseline's own gain
    assert cells[3][:2] == ["poor_one", "1"] and cells[3][4] == cells[3][8] == ""  # a single seed
    assert cells[2][2] == f"{100 * rows[0].accuracy.mean:.2f}"
    assert cells[3][9] == f"{100 * rows[1].gain.figure.mean:+.2f}"
    assert lines[4] == "" and "standard deviation over seeds" in lines[5]
    assert "won" not in table_text(rows, "markdown")


def test_latex_escapes_names_and_uses_booktabs(rows):
    text = table_text(rows, "latex", "with & without")
    assert r"\toprule" in text and r"with \& without & 1 & " in text and r"poor\_one & 1 &" in text
    assert r"$\pm$ episodes" in text and text.count(r" \\") == 3
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in body} == {15}


def test_csv_has_names_that_programs_read(rows):
    first, second = csv.DictReader(table_text(rows, "csv", "with & without").splitlines())
    assert first["setting"] == "with & without" and first["gain"] == "" and float(first["interval_seeds"]) > 0
    assert float(second["gain"]) == round(100 * rows[1].gain.figure.mean, 2) and second["gain_interval_seeds"] == ""
    assert "gain" not in table_text(rows, "csv").splitlines()[0]


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_rows_give_the_same_bytes(good, poor, form):
    settings = [("a", 1, good), ("b", 1, poor)]
    again = [(name, k_shot, dict(reversed(runs.items()))) for name, k_shot, runs in settings]
    assert table_text(table_rows(settings, "a"), form, "a") == table_text(table_rows(again, "a"), form, "a")


def test_nothing_stands_for_intervals_that_the_episodes_do_not_tell(rows):
    row = replace(rows[0], accuracy=Figure(0.5, math.nan, math.nan, None))
    assert table_text([row], "csv").splitlines()[1] == "with & without,1,50.00,3,,,,,"
