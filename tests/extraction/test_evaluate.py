"""The command that measures a tracker."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from extracting import dump, tapvid_record

from trokens.cli import evaluate_tracker as evaluate
from trokens.extraction.ground_truth import find_clips
from trokens.points.tapvid import query_points, score
from trokens.trackers import TRACKERS, TrackResult
from trokens.trackers.flow import FlowTracker


def run(*flags) -> int:
    return evaluate.main([str(flag) for flag in flags])


@pytest.fixture
def toy():
    """A tracker whose points rest, and what it was given."""
    given = []

    @TRACKERS.register("toy")
    class Toy:
        def track(self, frames, query_points, cluster=None):
            given.append((frames, query_points, cluster))
            still = query_points[:, 1:].expand(len(frames), -1, -1)
            return TrackResult(still, torch.ones(still.shape[:2], dtype=torch.bool), torch.ones(still.shape[:2]))

    yield given
    del TRACKERS._entries["toy"]


def test_the_table_and_the_json_tell_each_clip_and_the_mean(tiny_data, tmp_path, capsys):
    pattern = f"{tiny_data}/val/*/0.mp4"
    assert run("--truth", pattern, "--json", tmp_path / "new" / "out.json", "--query_mode", "first") == 0
    report = json.loads((tmp_path / "new" / "out.json").read_text())
    assert (report["tracker"], report["query_mode"]) == ("flow", "first")
    figures, clips = report["sets"][pattern]["clips"], find_clips(pattern, "first")
    assert len(figures) == 3
    for clip in clips:
        frames, truth = clip.load()
        result = FlowTracker().track(frames, query_points(truth))
        scores = score(result.tracks, result.visibility, truth, "first")
        assert tuple(figures[clip.name].values())[:3] == scores and figures[clip.name]["cpu_seconds"] > 0
    mean = report["sets"][pattern]["mean"]
    assert mean["jaccard"] == pytest.approx(np.mean([row["jaccard"] for row in figures.values()]))
    head, *rows = capsys.readouterr().out.strip().splitlines()
    assert head.split()[-4:] == ["AJ", "delta_avg", "OA", "CPU-s"] and head.startswith(pattern)
    assert [row.split()[0] for row in rows] == [*figures, "mean"]
    assert rows[-1].split() == ["mean", "of", "3", "clips", *(f"{value:.3f}" for value in mean.values())]


def test_the_command_tells_what_modules_have_to_say(capfd, monkeypatch):
    monkeypatch.setattr("trokens.trackers.build_tracker",
                        lambda name, **_: logging.getLogger("trokens.test").info("license"))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger("trokens").setLevel(logging.NOTSET)
    run("--moving_shapes", "easy", "--num_clips", 1)
    assert capfd.readouterr().err.startswith("license\n")


def test_the_tracker_has_the_options_asked_for(monkeypatch, tmp_path):
    sides = []
    monkeypatch.setattr(FlowTracker, "track", lambda self, *_: sides.append(self.max_side))
    run("--moving_shapes", "easy", "--num_clips", 1, "--tracker_options", "max_side=64", "--json", tmp_path / "a.json")
    assert sides == [64] and json.loads((tmp_path / "a.json").read_text())["tracker_options"] == {"max_side": 64}


def test_clusters_are_told_on_demand_and_sets_may_be_mixed(toy, tiny_data, tmp_path):
    pattern = f"{tiny_data}/val/*/0.mp4"
    pickled = dump(tmp_path / "davis.pkl", {"goat": tapvid_record()})
    flags = ("--tracker", "toy", "--truth", pattern, pickled, "--moving_shapes", "easy", "hard", "--num_clips", 2)
    assert run(*flags) == 0
    assert len(toy) == 3 + 1 + 2 * 2 and all(cluster is None for *_, cluster in toy)
    assert len(toy[3][1]) == 2 and toy[3][0].shape == (6, 256, 256, 3)
    toy.clear()
    assert run(*flags, "--use_clusters", "--json", tmp_path / "out.json") == 0
    assert all(len(cluster) == len(query) for _, query, cluster in toy) and toy[0][2].unique().numel() > 1
    report = json.loads((tmp_path / "out.json").read_text())
    assert list(report["sets"]) == [pattern, pickled, "Moving Shapes, easy", "Moving Shapes, hard"]
    assert report["sets"]["Moving Shapes, hard"]["mean"]["jaccard"] < 0.7  # points move


def test_clips_that_fail_are_named_and_left_out_of_the_mean(toy, tiny_data, tmp_path, capsys):
    record = tapvid_record()
    pickled = dump(tmp_path / "davis.pkl", {"goat": record, "hidden": record | {"occluded": record["occluded"] | True},
                                            "broken": {"video": record["video"]}})
    (tmp_path / "alone.mp4").write_bytes(next(tiny_data.glob("val/*/0.mp4")).read_bytes())
    assert run("--tracker", "toy", "--truth", tmp_path, pickled, "--json", tmp_path / "out.json") == 1
    printed = capsys.readouterr()
    assert "3 of 4 clips failed" in printed.err
    assert "alone" in printed.out and "FileNotFoundError: No true tracks for" in printed.out
    report = json.loads((tmp_path / "out.json").read_text())["sets"]
    assert report[str(tmp_path)]["mean"] is None
    part = report[pickled]
    assert list(part["clips"]) == ["goat"] and part["mean"] == part["clips"]["goat"]
    assert part["failures"]["hidden"].startswith("ValueError: None of 0 points is visible")
    assert "has no sound video" in part["failures"]["broken"]


@pytest.mark.parametrize(("flags", "message"), [
    (["--truth", "nowhere"], "There are no videos in 'nowhere'"), (["--truth", "nowhere.pkl"], "nowhere.pkl"),
    (["--moving_shapes", "easy", "--tracker_options", "max_side=abc"], "Option max_side of tracker 'flow' is 'abc'"),
    (["--moving_shapes", "easy", "--tracker", "flaw"], "Unknown tracker 'flaw'. Did you mean 'flow'?")])
def test_problems_are_named_before_any_work(capsys, flags, message):
    assert run(*flags) == 2
    printed = capsys.readouterr()
    assert message in printed.err and not printed.out


@pytest.mark.parametrize("flags", [[], ["--moving_shapes", "mean"], ["--moving_shapes", "easy", "--num_clips", "0"]])
def test_an_unsound_command_line_is_refused(capsys, flags):
    with pytest.raises(SystemExit):
        run(*flags)
    assert "error" in capsys.readouterr().err


def test_an_interruption_ends_in_one_line(toy, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(TRACKERS.get("toy"), "track", interrupted)
    assert run("--tracker", "toy", "--moving_shapes", "easy", "--num_clips", 1) == 130
    assert capsys.readouterr().err == "Interrupted before all clips were measured.\n"


@pytest.fixture
def known(tiny_data, tmp_path):
    """Writes a video with its true tracks; returns its path."""
    def of(**changes) -> Path:
        video = tmp_path / "truth" / "a.mp4"
        video.parent.mkdir(exist_ok=True)
        video.write_bytes(next(tiny_data.glob("val/*/0.mp4")).read_bytes())
        content = {"query_points": np.array([[0, 5, 6], [2, 30, 31]], np.float32),
                   "tracks": np.full((12, 2, 2), 20, np.float32), "visibility": np.ones((12, 2), bool)}
        np.savez(video.with_suffix(".npz"), **content | changes)
        return video
    return of


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_unknown_positions_in_the_truth_are_named_and_count_in_no_score(toy, known, value, tmp_path, capsys):
    tracks = np.full((12, 2, 2), 20, np.float32)
    tracks[7, 1, 0] = value
    flags = ("--tracker", "toy", "--truth", known(tracks=tracks), "--json", tmp_path / "out.json")
    assert run(*flags) == 1
    printed = capsys.readouterr()
    assert (f"failed: ValueError: Point 1 is visible in frame 7, and its true position there is ({value:g}, 20) "
            "(1 such positions); mend the true tracks, or mark it as hidden.\n") in printed.out
    assert "1 of 1 clips failed; the means leave them out." in printed.err
    report, = json.loads((tmp_path / "out.json").read_text())["sets"].values()
    assert report["mean"] is None and not toy  # no tracker was given what is not known
    visibility = np.ones((12, 2), bool)
    visibility[7, 1] = False
    known(tracks=tracks, visibility=visibility)
    assert run(*flags) == 0


@pytest.mark.parametrize(("changes", "cause"), [
    ({"query_points": np.array([[0, np.nan, 6], [2, 30, 31]], np.float32), "visibility": np.zeros((12, 2), bool)},
     "Point 0 is asked for in frame 0, and its true position there is (nan, 6)"),
    ({"query_points": np.array([[-1, 5, 6], [2, 30, 31]], np.float32)}, "a query frame is not among the 12 frames"),
    ({"query_points": np.array([[np.nan, 5, 6], [2, 30, 31]], np.float32)}, "a query frame is not among"),
    ({"visibility": np.where(np.arange(24).reshape(12, 2) == 5, np.nan, 1.0)}, "visibility is not finite everywhere"),
])
def test_truth_that_is_none_is_named(toy, known, changes, cause, capsys):
    assert run("--tracker", "toy", "--truth", known(**changes)) == 1
    assert cause in capsys.readouterr().out


def test_unknown_positions_in_a_pickle_of_tapvid_are_named(toy, tmp_path, capsys):
    record = tapvid_record()
    record["points"][0, 4] = np.nan  # visible
    record["points"][1, 0] = np.nan  # hidden
    clean = tapvid_record()
    clean["points"][2] = np.nan  # hidden throughout
    blurred = tapvid_record()
    blurred["occluded"] = np.where(np.arange(18).reshape(3, 6) == 9, np.nan, record["occluded"])
    path = dump(tmp_path / "set.pkl", {"bad": record, "good": clean, "blurred": blurred})
    assert run("--tracker", "toy", "--truth", path, "--query_mode", "first", "--json", tmp_path / "out.json") == 1
    report = json.loads((tmp_path / "out.json").read_text())["sets"][path]
    assert list(report["clips"]) == ["good"]
    assert "Point 0 is visible in frame 4, and its true position there is (nan, nan)" in report["failures"]["bad"]
    assert "visibility is not finite everywhere" in report["failures"]["blurred"]


def test_positions_that_a_tracker_loses_are_said(known, tmp_path, capsys):
    @TRACKERS.register("lost_test")
    class Lost:
        def track(self, frames, query_points, cluster=None):
            xy = query_points[:, 1:].expand(len(frames), -1, -1).clone()
            xy[3:6, 0] = float("nan")
            return TrackResult(xy, torch.ones(xy.shape[:2], dtype=torch.bool), torch.ones(xy.shape[:2]))

    try:
        path = known()
        assert run("--tracker", "lost_test", "--truth", path, "--json", tmp_path / "out.json") == 0
    finally:
        del TRACKERS._entries["lost_test"]
    assert capsys.readouterr().err == "a: 3 visible positions of the tracker are not finite, and count as misses.\n"
    report, = json.loads((tmp_path / "out.json").read_text())["sets"].values()
    assert report["lost"] == {"a": 3}
