"""episodes.jsonl and predictions.jsonl, and what is scored from them."""

import json

import numpy as np
import pytest
from tiny import run, tiny_cfg

from trokens.cli import compare, score
from trokens.clips.split import build_split
from trokens.engine.outcome_files import read_outcomes, read_plans, write_outcomes
from trokens.report.run_folder import RunFolder


@pytest.fixture(scope="module")
def tested(tiny_data, tmp_path_factory):
    """The folder of a test of two numbers of shots, with untrained weights."""
    folder = tmp_path_factory.mktemp("tested")
    run(tiny_data, folder, TRAIN__ENABLE=False, TEST__K_SHOTS=[1, 2])
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path, some):
    path.write_text("".join(json.dumps(one) + "\n" for one in some))
    return path


def test_score_gives_our_accuracy_to_the_last_digit(tested, tmp_path, capsys):
    assert score.main([str(tested / "episodes.jsonl"), str(tested / "predictions.jsonl"), "--json",
                       str(tmp_path / "scores.json")]) == 0
    results = json.loads((tested / "results.json").read_text())
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [one["accuracy"] for one in scores] == [one["accuracy"] for one in results["by_k_shot"]]
    for one, there in zip(scores, results["by_k_shot"], strict=True):
        assert one["intervals"] == pytest.approx(there["intervals"])  # sums in another order
    assert all(scores[0][key] == results[key] for key in ("confusion", "n_way", "episodes"))
    assert list(scores[0]["per_class"]) == list(results["per_class"])
    assert f"3-way 1-shot: {100 * results['accuracy']:.2f} % right in 30 episodes" in capsys.readouterr().out


def test_the_files_say_what_was_answered(tested):
    first, *_ = lines(tested / "episodes.jsonl")
    answers = [one for one in lines(tested / "predictions.jsonl") if (one["k_shot"], one["episode"]) == (1, 0)]
    assert [one["query"] for one in answers] == [clip for queries in first["query"] for clip in queries]
    for one in answers:
        assert one["given"] == first["classes"][int(np.argmin(one["distances"]))]
        assert one["query"] in first["query"][first["classes"].index(one["true"])]


def test_what_was_written_is_read(tested, tmp_path):
    outcomes = RunFolder.read(tested).outcomes
    write_outcomes(tmp_path, list(outcomes.values()))
    for name in ("episodes.jsonl", "predictions.jsonl"):
        assert (tmp_path / name).read_text() == (tested / name).read_text()
    assert list(outcomes) == [1, 2]


def test_listed_episodes_are_tested_as_drawn_ones(tested, tiny_data, tmp_path):
    again = run(tiny_data, tmp_path, TRAIN__ENABLE=False, TEST__K_SHOTS=[1, 2], FEW_SHOT__EPISODE_SEED=7,
                TEST__EPISODES=tested / "episodes.jsonl")
    before = json.loads((tested / "results.json").read_text())
    assert again["by_k_shot"] == before["by_k_shot"]
    assert (tmp_path / "predictions.jsonl").read_text() == (tested / "predictions.jsonl").read_text()
    assert compare.main([str(tmp_path), str(tested)]) == 0


def test_episodes_have_a_seed_of_their_own(tiny_data, tmp_path):
    folders = [tmp_path / str(i) for i in range(3)]
    for folder, seed, episodes in zip(folders, (1, 2, 2), (5, 5, 6), strict=True):
        run(tiny_data, folder, TRAIN__ENABLE=False, RNG_SEED=seed, FEW_SHOT__EPISODE_SEED=episodes)
    texts = [(folder / "episodes.jsonl").read_text() for folder in folders]
    assert texts[0] == texts[1] != texts[2]


def test_two_tests_are_compared_in_pairs(tested, tiny_data, tmp_path, capsys):
    other = tmp_path / "other"
    run(tiny_data, other, TRAIN__ENABLE=False, RNG_SEED=2, FEW_SHOT__EPISODE_SEED=1)
    assert compare.main([str(other), str(tested)]) == 0
    first, second = (RunFolder.read(folder).outcomes[1].accuracy for folder in (other, tested))
    said = capsys.readouterr().out
    assert f"a difference of {100 * (first - second).mean():+.2f} points over the same 30 episodes" in said
    assert f"better in {100 * (first > second).mean():.1f} % of the episodes, worse in" in said
    run(tiny_data, tmp_path / "others", TRAIN__ENABLE=False, RNG_SEED=3)
    assert compare.main([str(tmp_path / "others"), str(tested)]) == 2
    assert "have other episodes" in capsys.readouterr().err


def test_predictions_may_give_distances_alone(tested, tmp_path):
    answers = [{key: one[key] for key in ("k_shot", "episode", "query", "distances")}
               for one in lines(tested / "predictions.jsonl")]
    read = read_outcomes(tested / "episodes.jsonl", write_lines(tmp_path / "p.jsonl", answers))
    assert [one.accuracy.mean() for one in read] == [one.accuracy.mean()
                                                     for one in RunFolder.read(tested).outcomes.values()]


@pytest.mark.parametrize(("change", "says"), [
    (lambda some: some[:-1], "has no answer to"),
    (lambda some: [*some, some[0]], "is answered twice"),
    (lambda some: [{**some[0], "given": "nothing"}, *some[1:]], "was taken for 'nothing', and in question are"),
    (lambda some: [{**some[0], "episode": 99}, *some[1:]], r"episode 99 \(1-shot\) is none of those listed"),
    (lambda some: [{**some[0], "distances": [1]}, *some[1:]], "has 1 distances; 3 classes are in question"),
    (lambda some: [{key: one[key] for key in ("episode", "query", "given")} for one in some], "say which k_shot"),
    (lambda some: [1, *some], ":1: this is no JSON object with episode, query"),
    (lambda some: [], "has no answers"),
])
def test_broken_predictions_are_named(tested, tmp_path, change, says, capsys):
    path = write_lines(tmp_path / "predictions.jsonl", change(lines(tested / "predictions.jsonl")))
    with pytest.raises(ValueError, match=says):
        read_outcomes(tested / "episodes.jsonl", path)
    assert score.main([str(tested / "episodes.jsonl"), str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(("change", "says"), [
    (lambda one: one | {"support": one["support"][:-1]}, ":1: an episode has a list of support clips"),
    (lambda one: one | {"query": [[], [], []]}, ":1: an episode has a list"),
    (lambda one: one | {"classes": one["classes"][::-1]}, "shows '.*' there, and '.*' in the list"),
    (lambda one: one | {"support": [["nobody"], *one["support"][1:]]}, "the split has no clip 'nobody'"),
])
def test_broken_episodes_are_named(tested, tiny_data, tmp_path, change, says):
    first, *_ = lines(tested / "episodes.jsonl")
    path = write_lines(tmp_path / "episodes.jsonl", [change(first)])
    clips = build_split(tiny_cfg(tiny_data, tmp_path), "test")
    with pytest.raises(ValueError, match=says):
        read_plans(path, clips, [1])


def test_a_number_of_shots_that_no_episode_has_is_named(tested, tiny_data, tmp_path):
    with pytest.raises(ValueError, match=r"has no 3-shot episodes"):
        read_plans(tested / "episodes.jsonl", build_split(tiny_cfg(tiny_data, tmp_path), "test"), [3])


def test_a_folder_without_results_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no results\.json"):
        RunFolder.read(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="is broken"):
        RunFolder.read(tmp_path)
    (tmp_path / "results.json").write_text('{"accuracy": 1.0}')
    with pytest.raises(FileNotFoundError, match=r"has no episodes\.jsonl and no predictions\.jsonl"):
        _ = RunFolder.read(tmp_path).outcomes
