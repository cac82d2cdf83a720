"""The classifier: what scikit-learn asks of one, where a clip is given by its path."""

import itertools
import json
import os
import pickle
import shutil
from pathlib import Path

import clips_of_actions
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.utils import estimator_checks, get_tags
from videos import X264, encode

from trokens import FewShotClassifier
from trokens.recognize import describe, windows
from trokens.recognize.answers import Answer
from trokens.recognize.options import UNKNOWN
from trokens.recognize.windows import join
from trokens.video import VideoError
from trokens.video.write import write_video


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """{action: paths} of three actions with three clips each."""
    return clips_of_actions.write(tmp_path_factory.mktemp("clips"), clips=3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(cache):
    """A classifier by motion, which keeps what it computes for all tests."""
    return lambda **options: FewShotClassifier(**{"method": "motion", "cache": cache, **options})


@pytest.fixture
def lists(clips):
    """The same as a list of paths and one of labels."""
    pairs = [(path, action) for action, paths in clips.items() for path in paths]
    return [path for path, _ in pairs], [action for _, action in pairs]


@pytest.fixture
def one(clips):
    return {action: paths[:1] for action, paths in clips.items()}


def queries(clips):
    pairs = [(path, action) for action, paths in clips.items() for path in paths[1:]]
    return [path for path, _ in pairs], [action for _, action in pairs]


# What a clip is called --------------------------------------------------------------------------------------------

def test_one_example_of_each_action_is_enough(make, one, clips):
    paths, labels = queries(clips)
    assert make().fit(one).predict(paths).tolist() == labels


@pytest.mark.parametrize("form", ["lists", "mapping", "folder", "csv", "arrays"])
def test_fit_takes_examples_in_every_form(make, clips, lists, form, tmp_path):
    folder = Path(lists[0][0]).parents[1]
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(f"{p},{y}\n" for p, y in zip(*lists, strict=True)))
    given = {"lists": lists, "mapping": (clips,), "folder": (folder,), "csv": (tmp_path / "list.csv",),
             "arrays": tuple(map(np.array, lists))}[form]
    fitted = make().fit(*given)
    assert fitted.classes_.tolist() == ["down", "left", "right"] and len(fitted.examples_) == 9
    assert fitted.score(*lists) == 1.0


def test_probabilities_distances_and_answers_agree(make, one, clips):
    fitted, (paths, labels) = make().fit(one), queries(clips)
    probability, decision = fitted.predict_proba(paths), fitted.decision_function(paths)
    np.testing.assert_allclose(probability.sum(1), 1)
    assert (probability.argsort(1) == decision.argsort(1)).all()
    answers = {answer.path: answer for answer in fitted.answers(paths)}
    for row, path in enumerate(paths):
        answer = answers[path]
        assert answer.label == fitted.predict([path])[0] == labels[row]
        assert list(answer.probabilities) == fitted.classes_.tolist()
        np.testing.assert_allclose(list(answer.probabilities.values()), probability[row])
        np.testing.assert_allclose(list(answer.distances.values()), -decision[row])
        assert answer.confidence == max(answer.probabilities.values())
        assert answer.runner_up == fitted.classes_[probability[row].argsort()[-2]]
        assert (answer.start, answer.error) == (0.0, None) and answer.end == pytest.approx(2.4, abs=0.2)


def test_of_two_actions_the_decision_is_one_number(make, clips):
    two = {action: clips[action] for action in ("down", "left")}
    fitted = make().fit(two)
    decision = fitted.decision_function([clips["down"][0], clips["left"][0]])
    assert decision.shape == (2,) and decision[0] < 0 < decision[1]


def test_labels_may_be_numbers(make, lists):
    numbers = [{"down": 3, "left": 7, "right": 11}[label] for label in lists[1]]
    fitted = make().fit(lists[0], numbers)
    assert fitted.classes_.tolist() == [3, 7, 11] and fitted.predict(lists[0]).tolist() == numbers
    assert next(fitted.answers(lists[0][:1])).label == 3


def test_a_clip_without_motion_is_what_else_stands_still(make, one, tmp_path):
    still = clips_of_actions.write(tmp_path, ("still",), clips=2)["still"]
    assert make().fit({**one, "still": still[:1]}).predict(still[1:]).tolist() == ["still"]


def test_a_clip_of_one_frame_gets_an_answer(make, one, tmp_path):
    path = clips_of_actions.write(tmp_path, ("down",), clips=1, num_frames=1)["down"][0]
    answer = next(make().fit(one).answers([path]))
    assert answer.error is None and answer.label in one
    assert answer.confidence == pytest.approx(1 / 3, abs=0.1)  # nothing moves: nothing speaks for any of them


def test_a_bad_query_is_an_answer_with_an_error_and_stops_no_other(make, one, clips, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    paths = [str(tmp_path / "empty.mp4"), clips["left"][1], str(tmp_path / "nowhere.mp4"), str(tmp_path)]
    answers = {answer.path: answer for answer in make().fit(one).answers(paths)}
    assert answers[paths[1]].label == "left" and answers[paths[1]].error is None
    assert answers[paths[0]].error == f"Cannot read video '{paths[0]}': the file is empty; get it anew."
    assert answers[paths[2]].error == f"Cannot read video '{paths[2]}': No such file or directory."
    assert answers[paths[3]].error == f"Cannot read video '{paths[3]}': Is a directory."
    assert all(answers[path].label is None for path in (paths[0], *paths[2:]))


def test_a_cut_clip_is_answered_by_what_is_there_and_named(make, one, tmp_path, caplog):
    path = encode(tmp_path / "clip.mkv", **{"x264-params": X264})
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    fitted = make().fit(one)
    assert next(fitted.answers([path])).error is None
    assert next(fitted.windows(path, 1, 1)).error is None
    [record] = caplog.records
    assert record.getMessage().startswith(f"'{path}' is cut: ")
    assert record.getMessage().endswith("; what is there is taken for the whole.")


def test_predict_names_a_clip_that_cannot_be_read(make, one):
    with pytest.raises(VideoError, match=r"Cannot read video '/nowhere.mp4'"):
        make().fit(one).predict(["/nowhere.mp4"])


def test_no_clips_have_no_answers(make, one):
    fitted = make().fit(one)
    assert fitted.predict([]).shape == (0,) and fitted.predict_proba([]).shape == (0, 3)
    assert list(fitted.answers([])) == []


# Reject and calibration -------------------------------------------------------------------------------------------

def test_with_reject_a_clip_of_no_action_is_unknown_and_the_others_keep_theirs(make, clips, tmp_path):
    two = {action: clips[action] for action in ("down", "left")}
    fitted = make(reject=0.05).fit(two)
    assert fitted.limits_.shape == (2,)
    assert fitted.predict(clips["right"]).tolist() == [UNKNOWN] * 3
    assert fitted.predict(clips["down"]).tolist() == ["down"] * 3
    answer = next(fitted.answers(clips["right"][:1]))
    assert answer.label == UNKNOWN and set(answer.probabilities) == {"down", "left"}
    assert make().fit(two).predict(clips["right"][:1])[0] in two


def test_examples_that_are_far_apart_lower_the_confidence(make, lists):
    sure = make().fit(*lists).calibration_.temperature
    mixed = [lists[1][(i * 4) % 9] for i in range(9)]  # labels that say nothing
    assert sure < make().fit(lists[0], mixed).calibration_.temperature


# scikit-learn -----------------------------------------------------------------------------------------------------

def test_it_is_a_classifier_of_texts():
    assert is_classifier(FewShotClassifier())
    tags = get_tags(FewShotClassifier())
    assert not tags.input_tags.two_d_array and tags.input_tags.string and tags.target_tags.required


NAME = "FewShotClassifier"


@pytest.mark.parametrize("check", [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_mixin_order,
], ids=lambda check: check.__name__)
def test_scikit_learns_own_check(check):
    check(NAME, FewShotClassifier())


def test_before_fit_nothing_is_answered(clips):
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(FewShotClassifier(), method)(clips["down"])
    for method in ("answers", "windows"):
        with pytest.raises(NotFittedError):
            next(getattr(FewShotClassifier(), method)(clips["down"][0]))
    with pytest.raises(NotFittedError):
        FewShotClassifier().save("x")


def test_fit_changes_no_option_and_returns_the_classifier_itself(make, one):
    unfitted = make()
    before = unfitted.get_params()
    assert unfitted.fit(one) is unfitted and unfitted.get_params() == before


def test_a_clone_has_the_options_and_nothing_learned(make, one):
    copy = clone(make(reject=None, workers=0).fit(one))
    assert copy.get_params()["method"] == "motion" and not hasattr(copy, "classes_")


def test_fitting_twice_forgets_the_first(make, clips):
    fitted = make(reject=0.05).fit(clips).set_params(reject=None).fit({a: clips[a][:1] for a in ("down", "left")})
    assert fitted.classes_.tolist() == ["down", "left"] and fitted.limits_ is None and len(fitted.examples_) == 2


def test_a_pickle_answers_alike(make, one, clips):
    fitted = make().fit(one)
    again = pickle.loads(pickle.dumps(fitted))
    paths, _ = queries(clips)
    np.testing.assert_array_equal(again.predict_proba(paths), fitted.predict_proba(paths))


def test_the_order_of_examples_and_of_queries_changes_no_answer(make, lists):
    forth, back = make().fit(*lists), make().fit(lists[0][::-1], lists[1][::-1])
    np.testing.assert_allclose(forth.predict_proba(lists[0]), back.predict_proba(lists[0][::-1])[::-1], atol=1e-9)


def test_cross_val_score_takes_a_list_of_paths(make, lists):
    assert cross_val_score(make(), *lists, cv=StratifiedKFold(3)).tolist() == [1.0] * 3


def test_grid_search_takes_a_list_of_paths(make, lists):
    search = GridSearchCV(make(), {"method": ["motion"], "reject": [None, 0.05]}, cv=StratifiedKFold(3)).fit(*lists)
    assert search.best_score_ == 1.0 and search.predict(lists[0][:1]).tolist() == ["down"]


# Cache and processes ----------------------------------------------------------------------------------------------

def test_a_clip_is_looked_at_once_whatever_its_file_is_called(make, one, tmp_path, monkeypatch):
    seen = []
    read = describe.flow_and_pictures
    monkeypatch.setattr(describe, "flow_and_pictures",
                        lambda path, *rest: (seen.append(str(path)), read(path, *rest))[1])
    options = {"cache": tmp_path / "cache"}
    make(**options).fit(one)
    assert sorted(seen) == sorted(paths[0] for paths in one.values())
    shutil.copy(one["down"][0], tmp_path / "other name.mp4")
    fitted = make(**options).fit(one)
    assert fitted.predict([str(tmp_path / "other name.mp4")]).tolist() == ["down"] and len(seen) == 3
    assert next(fitted.answers(one["down"])).seconds == 0


def test_other_content_under_the_same_name_is_looked_at_again(make, one, clips, tmp_path):
    path = tmp_path / "clip.mp4"
    fitted = make(cache=tmp_path / "cache").fit(one)
    for action in ("down", "left"):
        shutil.copy(clips[action][1], path)
        assert fitted.predict([path]).tolist() == [action]


def test_a_damaged_entry_of_the_cache_is_made_anew(make, one, tmp_path):
    folder = tmp_path / "cache"
    whole = make(cache=folder).fit(one).predict_proba(one["down"])
    for entry in folder.rglob("*.safetensors"):
        data = bytearray(entry.read_bytes())
        data[-9] ^= 0xFF
        entry.write_bytes(data)
    np.testing.assert_array_equal(make(cache=folder).fit(one).predict_proba(one["down"]), whole)


def test_without_a_cache_nothing_is_written(make, one, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    make(cache="").fit(one)
    assert not list(tmp_path.iterdir())
    make(cache=None).fit(one)
    assert list((tmp_path / "trokens" / "clips").rglob("*.safetensors"))


def test_a_cache_that_cannot_be_written_is_said_once(make, one, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    assert make(cache=tmp_path / "file").fit(one).classes_.tolist() == ["down", "left", "right"]
    assert caplog.text.count("takes nothing") == 1


def test_several_processes_give_what_one_gives(one, clips, tmp_path, make):
    paths, bad = queries(clips)[0], str(tmp_path / "bad.mp4")
    Path(bad).write_text("no video")
    fitted = make().fit(one)
    alone = {answer.path: answer.distances for answer in fitted.answers(paths)}
    fitted.set_params(cache="")
    both = {answer.path: answer for answer in fitted.answers([bad, *paths], workers=2)}
    assert both.pop(bad).error.startswith(f"Cannot read video '{bad}'")
    assert {path: answer.distances for path, answer in both.items()} == alone


# Windows, explanations, files ---------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """Three seconds down, then three to the left."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    parts = [clips_of_actions.frames(action, seed=50, num_frames=30, speed=1.5) for action in ("down", "left")]
    clips_of_actions.write_video(path, np.concatenate(parts))
    return path


def test_a_long_video_is_answered_piece_by_piece(make, one, long_video):
    answers = list(make().fit(one).windows(long_video, window=1.5, stride=0.5))
    assert [round(answer.start, 3) for answer in answers] == [0.5 * i for i in range(len(answers))]
    assert answers[-1].end == pytest.approx(6.0, abs=0.15)
    inside = {answer.start: answer.label for answer in answers}
    assert [inside[t] for t in (0.0, 0.5, 1.0, 1.5)] == ["down"] * 4
    assert [inside[t] for t in (3.5, 4.0)] == ["left"] * 2
    pieces = join(answers)
    assert pieces[0].label == "down" and pieces[0].start == 0 and pieces[0].end == pytest.approx(3, abs=0.8)
    assert all(a.end == b.start for a, b in itertools.pairwise(pieces))


def test_a_window_longer_than_the_video_is_the_whole_of_it(make, one, clips):
    answers = list(make().fit(one).windows(clips["down"][1], window=60, stride=30))
    assert len(answers) == 1 and answers[0].label == "down"


def test_windows_come_from_the_cache_the_second_time(make, one, long_video, monkeypatch):
    fitted = make().fit(one)
    first = list(fitted.windows(long_video, 1.0, 1.0))
    monkeypatch.setattr(windows, "flow_and_pictures", None)
    assert list(fitted.windows(long_video, 1.0, 1.0)) == first


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_windows_of_no_length_are_refused(make, one, long_video, window, stride):
    with pytest.raises(ValueError, match="both must be above 0 seconds"):
        list(make().fit(one).windows(long_video, window, stride))


def test_neighboring_pieces_of_one_action_are_joined_with_the_means_of_their_numbers():
    def piece(start, label, p):
        return Answer("v", label, p, "?", {"a": p, "b": 1 - p}, {"a": 1 - p, "b": p}, start, start + 2)
    pieces = join([piece(0, "a", 0.6), piece(1, "a", 0.8), piece(2, "b", 0.3)])
    assert [(p.label, p.start, p.end) for p in pieces] == [("a", 0, 2.5), ("b", 2.5, 4)]
    assert pieces[0].confidence == pytest.approx(0.7) and pieces[0].runner_up == "b"
    assert pieces[0].probabilities == pytest.approx({"a": 0.7, "b": 0.3})
    assert join([]) == []


def test_a_part_of_a_video_is_explained_by_its_own_moments(make, one, tmp_path, monkeypatch):
    video = tmp_path / "long.mp4"
    write_video(video, np.concatenate([clips_of_actions.frames(way, 7, 30) for way in ("left", "down")]))
    fitted = make().fit(one)
    explanation = fitted.explain(video, (3.2, 5.8))
    assert explanation.nearest[0].label == "down" and (explanation.answer.start, explanation.answer.end) == (3.2, 5.8)
    assert all(3.2 <= match.query_time < 5.8 for match in explanation.nearest[0].matches)
    monkeypatch.setattr(describe, "flow_and_pictures", None)  # it is in the cache now
    assert fitted.explain(video, (3.2, 5.8)).nearest[0].matches == explanation.nearest[0].matches
    with pytest.raises(VideoError, match=r"gone\.mp4"):
        fitted.explain("gone.mp4", (0, 1))


def test_an_explanation_names_examples_moments_and_trajectories_where_the_motion_is(make, clips):
    fitted = make().fit({action: paths[:2] for action, paths in clips.items()})
    explanation = fitted.explain(clips["right"][2])
    assert explanation.answer.label == "right" and explanation.motion_share == 1.0
    assert next(nearest.label for nearest in explanation.nearest) == "right" and len(explanation.nearest) == 3
    nearest = explanation.nearest[0]
    assert nearest.path in clips["right"][:2]
    assert [match.query_time for match in nearest.matches] == sorted(match.query_time for match in nearest.matches)
    assert all(0 <= match.example_frame < clips_of_actions.FRAMES for match in nearest.matches)
    trail = nearest.query_trails[0]
    assert trail.xy.shape == (len(trail.frame), 2) and trail.strength.max() <= 1
    step = trail.xy[-1] - trail.xy[0]
    assert step[0] > 5 > abs(step[1])  # it moves to the right, in pixels of the file
    assert ((trail.xy >= -2) & (trail.xy <= clips_of_actions.SIZE + 2)).all()
    others = [n.query_trails[0].strength.sum() for n in explanation.nearest]
    assert others[0] > 0


def test_a_saved_classifier_answers_alike_and_executes_nothing(make, clips, tmp_path, lists):
    fitted = make(reject=0.05).fit(clips)
    fitted.save(tmp_path / "saved")
    assert sorted(os.listdir(tmp_path / "saved")) == ["classifier.json", "examples.safetensors"]
    again = FewShotClassifier.load(tmp_path / "saved", cache="")
    assert again.get_params()["cache"] == "" and again.reject == 0.05
    np.testing.assert_array_equal(again.predict_proba(lists[0]), fitted.predict_proba(lists[0]))
    np.testing.assert_array_equal(again.predict(lists[0]), fitted.predict(lists[0]))
    assert again.explain(lists[0][0]).nearest[0].path == fitted.explain(lists[0][0]).nearest[0].path
    text = json.loads((tmp_path / "saved" / "classifier.json").read_text())
    assert text["schema"] == 1 and len(text["examples"]) == 9


@pytest.mark.parametrize("damage", ["text", "numbers", "schema", "lacking"])
def test_a_broken_saved_classifier_is_one_sentence(make, one, tmp_path, damage):
    make().fit(one).save(tmp_path / "saved")
    text, numbers = tmp_path / "saved" / "classifier.json", tmp_path / "saved" / "examples.safetensors"
    if damage == "text":
        text.write_text("{")
    elif damage == "numbers":
        numbers.write_bytes(numbers.read_bytes()[:-50])
    elif damage == "schema":
        text.write_text(json.dumps(json.loads(text.read_text()) | {"schema": 99}))
    else:
        numbers.unlink()
    with pytest.raises(ValueError, match="cannot be read as a saved classifier") as caught:
        FewShotClassifier.load(tmp_path / "saved")
    assert "\n" not in str(caught.value)


def test_what_belongs_to_a_saved_classifier_cannot_be_changed(make, one, tmp_path):
    make().fit(one).save(tmp_path)
    with pytest.raises(ValueError, match="Option 'method' belongs to the saved classifier"):
        FewShotClassifier.load(tmp_path, method="looks")
    with pytest.raises(FileNotFoundError, match="holds no saved classifier"):
        FewShotClassifier.load(tmp_path / "nowhere")
