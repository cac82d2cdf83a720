"""Building trackers by name, `trokens.track`, and the recipe that adds a tracker."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cotracker_stand_in import Predictor
from videos import panned

import trokens
from trokens.trackers import TRACKERS, build_tracker, default_tracker

RECIPE = Path(__file__).resolve().parents[2] / "point_tracking" / "README.md"


def test_track_takes_arrays_and_tensors():
    frames, query = panned(), torch.tensor([[4., 40, 30], [0, 25, 40]])
    tracks, visibility = trokens.track(frames, query)
    expected = query[:, 1:] + (torch.arange(8)[:, None, None] - query[:, :1]) * torch.tensor([3., -2])
    assert (tracks - expected).abs().max() < 0.2 and visibility.all()
    assert tracks.dtype == torch.float32 and visibility.dtype == torch.bool
    reversed_frames = np.ascontiguousarray(frames.numpy()[::-1])[::-1]  # torch takes no such array by itself
    reversed_frames.flags.writeable = False
    again = trokens.track(reversed_frames, query.long().numpy(), cluster=np.array([3, 3]))
    assert torch.equal(again[0], tracks) and torch.equal(again[1], visibility)


def test_track_hands_on_tracker_options_and_clusters():
    frames, query = panned(), torch.tensor([[0., 40, 30], [2, 20, 20]])
    cluster = torch.tensor([0, 1])
    expected = build_tracker("lucas_kanade", max_side=40).track(frames, query, cluster)
    tracks, _ = trokens.track(frames, query, "lucas_kanade", cluster=cluster, max_side=40)
    assert torch.equal(tracks, expected.tracks)
    assert not torch.equal(tracks, trokens.track(frames, query, "lucas_kanade")[0])


@pytest.mark.parametrize(("arguments", "options", "message"), [
    ({}, {"max_sid": 3}, r"'flow' has no option 'max_sid'. Known: max_side\."),
    ({"tracker": "flwo"}, {}, "Did you mean 'flow'"),
    ({}, {"max_side": 0}, "max_side is 0"),
    ({}, {"max_side": "abc"}, "Option max_side of tracker 'flow' is 'abc'; it takes a whole number, by default 512"),
    ({}, {"max_side": float("nan")}, "max_side of tracker 'flow' is nan"),
    ({}, {"max_side": True}, "max_side of tracker 'flow' is True"),
    ({}, {"name": "x"}, "'flow' has no option 'name'"), ({}, {"device": "abacus"}, "device is 'abacus'"),
    ({"tracker": "cotracker3_offline"}, {"weights": 3}, "weights of tracker 'cotracker3_offline' is 3; it takes text"),
    ({"frames": panned().float()}, {}, r"torch\.float32; expected \(T, H, W, 3\) uint8"),
    ({"frames": panned()[0]}, {}, r"\(64, 80, 3\) torch\.uint8; expected"),
    ({"query_points": [[8, 1, 1]]}, {}, "frame 8; 8 frames"),
    ({}, {"cluster": torch.zeros(2)}, r"cluster is \(2,\); expected one number for each of 1")])
def test_what_does_not_fit_is_named(arguments, options, message):
    given = {"frames": panned(), "query_points": [[0, 5, 6]]} | arguments
    with pytest.raises(ValueError, match=message):
        trokens.track(**given, **options)


@pytest.mark.parametrize(("level", "accuracy", "near"), [("easy", 0.93, 0.94), ("medium", 0.87, 0.88),
                                                         ("hard", 0.75, 0.73)])
def test_lucas_kanade_follows_rendered_shapes(real_clips, level, accuracy, near):
    truth = np.load(real_clips / "tap" / f"{level}_0.npz")
    frames = trokens.read_video(real_clips / "tap" / f"{level}_0.mp4")
    tracks, visibility = trokens.track(frames, truth["query_points"], "lucas_kanade")
    error = np.linalg.norm(tracks.numpy() - truth["tracks"], axis=-1)[truth["visibility"]]
    assert (visibility.numpy() == truth["visibility"]).mean() > accuracy
    assert (error < 3).mean() > near


@pytest.mark.parametrize(("device", "gpu", "name"), [(None, False, "flow"), (None, True, "cotracker3_offline"),
                                                     ("cpu", True, "flow"), ("cuda:1", False, "cotracker3_offline")])
def test_auto_depends_on_the_device(monkeypatch, device, gpu, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert default_tracker(device) == name


def test_auto_is_built():
    assert build_tracker("auto", "cpu", max_side=100).metadata["tracker"] == "flow"


def test_the_device_reaches_trackers_that_have_one():
    assert build_tracker("cotracker3_offline", "meta", model=Predictor()).device == torch.device("meta")


def test_a_tracker_is_given_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(TRACKERS, "_entries", dict(TRACKERS._entries))
    TRACKERS.register("toy")(lambda device: device)
    assert build_tracker("toy") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert build_tracker("toy").type == "cuda" and build_tracker("toy", "cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", list(TRACKERS))
def test_metadata_names_the_tracker_and_its_visibility_rule(name):
    metadata = build_tracker(name, **({"model": Predictor()} if name.startswith("cotracker") else {})).metadata
    assert metadata["tracker"] == name and "visibility_rule" in metadata
    assert all(isinstance(text, str) for text in metadata.values())


def test_the_recipe_of_the_documentation_adds_a_tracker(monkeypatch, tmp_path):
    monkeypatch.setattr(TRACKERS, "_entries", dict(TRACKERS._entries))
    (tmp_path / "still.py").write_text(re.search(r"## Add a tracker.*?```python\n(.*?)```", RECIPE.read_text(),
                                              re.DOTALL)[1])
    spec = importlib.util.spec_from_file_location("still", tmp_path / "still.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    query = torch.tensor([[1, 5, 6], [0, 7.5, 8]])
    tracks, visibility = trokens.track(torch.zeros(3, 20, 20, 3, dtype=torch.uint8), query, tracker="still")
    assert torch.equal(tracks, query[:, 1:].expand(3, -1, -1)) and visibility.all()
    tracker = trokens.build_tracker("still", "cpu", visible=False)
    assert tracker.metadata == {"tracker": "still", "visibility_rule": "query frames"}
    result = tracker.track(torch.zeros(3, 20, 20, 3, dtype=torch.uint8), query)
    assert result.visibility.sum() == 2 and result.visibility[[1, 0], [0, 1]].all()
    with pytest.raises(ValueError, match=r"no option 'max_side'\. Known: visible\."):
        build_tracker("still", max_side=3)
