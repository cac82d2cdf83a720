"""report.html: what it says is what the run's files say, and what is gone costs only what it would show."""

import csv
import json
import shutil

import numpy as np
import pytest
import tiny
from pages import read_page
from tiny import APPEARANCE, run

from trokens.cli import report
from trokens.config import load_cfg
from trokens.config.changes import config_changes
from trokens.engine import conclude
from trokens.report import figures, run_answers
from trokens.report.figures import name_of_run
from trokens.report.run_folder import RunFolder
from trokens.report.run_page import config_of
from trokens.report.run_plots import MOST, thinned


@pytest.fixture(scope="module")
def reported(tiny_data, tmp_path_factory):
    """The folder of a run with frames that wrote its report."""
    folder = tmp_path_factory.mktemp("runs") / "seed1"
    run(tiny_data, folder, APPEARANCE | {"TEST.K_SHOTS": [1, 2]}, REPORT=True, SOLVER__MAX_EPOCH=1,
        SOLVER__WARMUP_EPOCHS=0)
    return folder


@pytest.fixture
def copy(reported, tmp_path):
    return shutil.copytree(reported, tmp_path / "runs/seed1")


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def values(element):
    return [float(data.attributes["value"]) for data in element.all("data")]


# A run -------------------------------------------------------------------------------------------------------------

def test_a_run_writes_its_report(reported):
    page, results = read_page(reported / "report.html"), results_of(reported)
    assert page.one("h1").text == f"{100 * results['accuracy']:.1f} % right"
    assert f"Guessing gives {100 / 3:.1f} %" in page.one("p", "lead").text
    for table, one in zip(page.all("table", "wide-table"), results["by_k_shot"], strict=True):
        known = [width for width in one["intervals"].values() if width is not None]
        assert values(table.one("tbody").all("tr")[0]) == [one["accuracy"], *known]
        assert values(table.one("tbody").all("tr")[-1]) == [results["chance"]]


def test_classes_and_mistakes_are_those_of_results(reported):
    page, results = read_page(reported / "report.html"), results_of(reported)
    rows = page.one("table", id="classes").one("tbody").all("tr")
    found = {row.one("th").text: values(row)[0] for row in rows}
    assert found == {name: one["accuracy"] for name, one in results["per_class"].items()}
    counts = np.array(results["confusion"]["counts"])
    assert len(page.one("ul", "mistakes").all("li")) == (counts - np.diag(np.diag(counts)) > 0).sum()


def test_shown_answers_are_those_of_the_predictions(reported):
    page = read_page(reported / "report.html")
    lines = [json.loads(line) for line in (reported / "predictions.jsonl").read_text().splitlines()]
    articles = page.all("article", "answer")
    assert articles
    for article in articles:
        figures_ = article.all("figure")
        query, episode = figures_[0].one("bdi", "file").text, int(article.one("p", "soft").text.split()[1])
        [line] = [one for one in lines if one["k_shot"] == 1 and one["episode"] == episode
                  and one["query"].endswith(query)]
        shown = [float(figure.one("data").attributes["value"]) for figure in figures_[1:]]
        assert shown == pytest.approx(sorted(line["distances"]), rel=1e-5)
        assert figures_[1].one("strong").text == line["given"]
    clips = {image.attributes["src"] for image in page.all("img")}
    assert 6 <= len(clips) <= run_answers.MOST_FILMS


def test_how_it_was_made_is_told(reported):
    text = read_page(reported / "report.html").one("section", id="about").text
    results = results_of(reported)
    assert all(str(results[key]) in text for key in ("commit", "version", "torch", "config_hash", "command"))
    assert "FEW_SHOT.N_WAY 3 5" in text  # no config is named by the command: all is told against the defaults
    assert "Points over clusters" not in read_page(reported / "report.html").text


def test_a_report_that_fails_does_not_fail_the_run(tiny_data, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("trokens.report.run_page.write_report", lambda run: 1 / 0)
    assert run(tiny_data, tmp_path, TRAIN__ENABLE=False, REPORT=True)["accuracy"] > 0
    [line] = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line == ("The run is done, but no report of it could be made (division by zero); trokens report "
                    f"{tmp_path} tries again.")


def test_no_report_is_made_where_none_is_wanted(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(conclude, "logger", None)
    run(tiny_data, tmp_path, TRAIN__ENABLE=False, REPORT=False)
    assert not (tmp_path / "report.html").exists()


def test_a_run_that_was_only_trained_has_a_report_too(tiny_data, tmp_path):
    run(tiny_data, tmp_path, SOLVER__MAX_EPOCH=1, SOLVER__WARMUP_EPOCHS=0, TEST__ENABLE=False, REPORT=True)
    page = read_page(tmp_path / "report.html")
    assert "trained and not tested" in page.one("p", "lead").text
    assert len(page.all(kind="plot")) == 3
    assert report.main([str(tmp_path)]) == 0


# The command -------------------------------------------------------------------------------------------------------

def test_the_command_makes_the_same_page(copy, reported, capsys):
    (copy / "report.html").unlink()
    assert report.main([str(copy), "--figures", str(copy / "figures")]) == 0
    assert capsys.readouterr().out == f"{copy / 'report.html'}\n"
    texts = [read_page(folder / "report.html").text for folder in (copy, reported)]
    for folder in (copy, reported):  # the copied config and results name the original's folder
        texts = [text.replace(str(folder), "").replace(name_of_run(folder), "") for text in texts]
    mine, theirs = (text.replace("''", "") for text in texts)
    assert mine == theirs


def test_figures_are_files_whose_numbers_are_those_drawn(copy):
    assert report.main([str(copy), "--figures", str(copy / "figures")]) == 0
    names = ["accuracy_1_shot", "accuracy_2_shot", "classes", "clusters", "confusion", "learning", "learning_rate",
             "loss"]
    assert sorted(path.name for path in (copy / "figures").iterdir()) == sorted(
        f"{name}.{ending}" for name in names for ending in ("csv", "pdf", "png"))
    rows = {name: list(csv.DictReader((copy / f"figures/{name}.csv").read_text().splitlines())) for name in names}
    results = results_of(copy)
    assert float(rows["accuracy_1_shot"][0]["accuracy"]) == results["accuracy"]
    assert {row["class"]: float(row["accuracy"]) for row in rows["classes"]} == {
        name: one["accuracy"] for name, one in results["per_class"].items()}
    assert [int(row["count"]) for row in rows["confusion"]] == np.ravel(results["confusion"]["counts"]).tolist()
    losses = [one["loss"] for one in tiny.figures(copy) if one["phase"] == "train"]
    assert [float(row["loss"]) for row in rows["loss"]] == losses
    assert sum(float(row["chosen"]) for row in rows["clusters"]) == pytest.approx(8)


def test_what_is_gone_costs_only_what_it_would_show(copy, tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    text = (copy / "config.yaml").read_text().replace(str(tiny_data), str(data))
    (copy / "config.yaml").write_text(text)
    for video in (data / "test").rglob("*.mp4"):
        video.write_bytes(b"cut")
    shutil.rmtree(data / "points")
    assert report.main([str(copy)]) == 0
    page = read_page(copy / "report.html")
    assert len(page.all("article", "answer")) == 4 and not page.all("img")
    assert all("cannot be shown" in box.text for box in page.all(kind="empty"))
    assert "Points over clusters are not shown: " in page.text
    (copy / "predictions.jsonl").unlink()
    assert report.main([str(copy)]) == 0
    page = read_page(copy / "report.html")
    assert "No single answers are shown:" in page.text and page.all("table", id="classes")


def test_what_is_no_run_is_told(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 2
    assert "has no results.json" in capsys.readouterr().err
    assert report.main([str(tmp_path), f"{tmp_path}/."]) == 2
    assert "is named twice; name each run once." in capsys.readouterr().err


# Beside others -----------------------------------------------------------------------------------------------------

@pytest.fixture
def other(tiny_data, copy):
    """A second training beside it."""
    folder = copy.parent / "seed2"
    run(tiny_data, folder, APPEARANCE | {"TEST.K_SHOTS": [1, 2]}, SOLVER__MAX_EPOCH=1, SOLVER__WARMUP_EPOCHS=0,
        RNG_SEED=2, TEST__EPISODES=copy / "episodes.jsonl")
    return folder


def test_siblings_tell_of_other_trainings(copy, other):
    first, second = map(RunFolder.read, (copy, other))
    assert [run.path.name for run in figures.siblings(first)] == ["seed2"]
    mine = figures.standing(first, 1, seeds=[second])
    both = [run.results["accuracy"] for run in (first, second)]
    assert mine.intervals["seeds"] == pytest.approx(12.706 * np.std(both, ddof=1) / 2**0.5, rel=1e-4)
    assert report.main([str(copy)]) == 0
    page = read_page(copy / "report.html")
    assert page.all("table", "wide-table")[0].all("thead")[0].text.endswith("other trainings")


def test_what_stands_beside_is_compared_in_pairs(copy, other):
    assert report.main([str(copy), "--beside", str(other)]) == 0
    page = read_page(copy / "report.html")
    first, second = (RunFolder.read(folder).outcomes[1].accuracy for folder in (copy, other))
    _, _, better, episodes, _ = page.all("table", "wide-table")[0].one("tbody").all("tr")
    assert values(better)[0] == pytest.approx((first - second).mean())
    assert values(episodes) == pytest.approx([(first > second).mean(), (first < second).mean()])


def test_several_runs_are_compared_on_one_page(copy, other, tmp_path):
    out = tmp_path / "out/comparison.html"
    assert report.main([str(copy), str(other), "--out", str(out), "--figures", str(tmp_path / "figures")]) == 0
    page, both = read_page(out), [results_of(folder)["accuracy"] for folder in (copy, other)]
    rows = page.all("table", "wide-table")[0].one("tbody").all("tr")
    assert [row.one("th").text.split(" ")[0] for row in (rows[0], rows[1])] == ["runs/seed1", "runs/seed2"]
    assert [values(rows[n])[0] for n in (0, 1)] == both and values(rows[4])[0] == pytest.approx(np.mean(both))
    assert "2 trainings" in rows[4].text
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert names == {"accuracy_1_shot", "accuracy_2_shot", "differences_1", "learning", "learning_rate", "loss"}
    alike = shutil.copytree(copy, tmp_path / "more/runs/seed1")
    assert report.main([str(copy), str(alike), "--out", str(out)]) == 0
    rows = read_page(out).all("table", "wide-table")[0].one("tbody").all("tr")
    assert [row.one("th").text for row in rows[:2]] == [str(copy.resolve()), str(alike.resolve())]


def test_runs_of_other_shots_cannot_be_compared(copy, tiny_data, tmp_path, capsys):
    run(tiny_data, tmp_path / "three", TRAIN__ENABLE=False, FEW_SHOT__K_SHOT=1, TEST__K_SHOTS=[1])
    results = results_of(tmp_path / "three")
    results["by_k_shot"][0]["k_shot"] = 3
    (tmp_path / "three/results.json").write_text(json.dumps(results))
    assert report.main([str(copy), str(tmp_path / "three"), "--out", str(tmp_path / "x.html")]) == 2
    assert "was tested with 1, 2 shots, and no other run with as many" in capsys.readouterr().err


def test_the_published_figure_stands_beside(copy):
    results = RunFolder.read(copy)
    assert figures.published(results, 1) == []
    results.results.update(n_way=5, dataset="hmdb51")
    [found] = figures.published(results, 1)
    assert found.note == "256 points, other test episodes" and 0.5 < found.accuracy < 1


# Parts -------------------------------------------------------------------------------------------------------------

def test_chosen_answers_show_few_clips(reported):
    outcomes = RunFolder.read(reported).outcomes[1]
    pairs = [(true, given) for true, given, *_ in figures.mistakes(results_of(reported))]
    chosen = run_answers.choose_answers(outcomes, pairs)
    assert [(one.true, one.given) for one in chosen.pairs] == pairs[:len(chosen.pairs)]
    assert all(one.true != one.given for one in chosen.wrong) and all(one.true == one.given for one in chosen.right)
    whole = [*chosen.wrong, *chosen.right]
    assert len({one.episode for one in whole}) == len(whole) == 2 * run_answers.EACH


def test_changes_are_told_file_by_file(tmp_path):
    (tmp_path / "base.yaml").write_text("LOG_PERIOD: 20\nRNG_SEED: 3\n")
    (tmp_path / "own.yaml").write_text("_BASE_: base.yaml\nRNG_SEED: 4\n")
    cfg = load_cfg(tmp_path / "own.yaml", ["FEW_SHOT.N_WAY", "4"])
    found = [(one.key, one.value, one.base, one.file) for one in config_changes(cfg, tmp_path / "own.yaml")]
    assert found == [("FEW_SHOT.N_WAY", 4, 5, ""), ("RNG_SEED", 4, 3, "own.yaml"),
                     ("LOG_PERIOD", 20, 10, "base.yaml")]
    assert {one.file for one in config_changes(cfg, None)} == {""}
    assert {one.key for one in config_changes(cfg, tmp_path / "gone.yaml")} == {key for key, *_ in found}


@pytest.mark.parametrize(("command", "config"), [
    ("trokens train --cfg hmdb RNG_SEED 2", "hmdb"), ("run_net.py --cfg_file='a b.yaml'", "a b.yaml"),
    ("pytest -q", None),
])
def test_the_config_is_found_in_the_command(command, config):
    assert config_of(command) == config


def test_long_curves_are_thinned_to_means():
    points = [(float(i), 2.0 * i) for i in range(10 * MOST)]
    found = thinned(points)
    assert len(found) == MOST and found[0] == (4.5, 9.0) and thinned(points[:MOST]) == points[:MOST]
