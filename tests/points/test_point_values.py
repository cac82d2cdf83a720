"""Point files whose content nobody can have meant: what they say is refused where it is read, not made use of."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import APPEARANCE, MOTION
from tiny import clip_reader as reader

from trokens.clips.clip_check import ClipCheck
from trokens.points.io import read_metadata, read_point_file, read_tracks, write_tracks
from trokens.structures import Tracks

T, N = 6, 5
OWN = {"schema": "1", "height": "64", "width": "96"}


def content() -> dict[str, torch.Tensor]:
    return {"xy": torch.rand(T, N, 2) * 60, "visibility": torch.ones(T, N, dtype=torch.bool),
            "query_frame": torch.zeros(N, dtype=torch.long), "cluster": torch.arange(N), "frame": torch.arange(T),
            "times": torch.arange(T).double()}


def of(x: float, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.full(shape, x, dtype=dtype)


@pytest.mark.parametrize(("name", "value", "cause"), [
    ("visibility", of(torch.nan, T, N), "its visibility has numbers that are not finite"),
    ("query_frame", of(torch.nan, N), "its query_frame has numbers that are not finite"),
    ("query_frame", of(1.5, N), "its query_frame has numbers that are not whole"),
    ("cluster", of(0.5, N), "its cluster has numbers that are not whole"),
    ("cluster", of(1e30, N), "its cluster has numbers that are not whole"),
    ("frame", torch.arange(T) + 0.5, "its frame has numbers that are not whole"),
    ("frame", of(torch.inf, T), "its frame has numbers that are not finite"),
    ("xy", of(1, T, N, 2, dtype=torch.complex64), r"its xy has numbers of the type torch\.complex64"),
    ("xy", of(1, T, N, 2, dtype=torch.bool), r"its xy has numbers of the type torch\.bool"),
    ("visibility", of(1, T, N, dtype=torch.complex64), r"its visibility has numbers of the type torch\.complex64"),
])
def test_numbers_that_mean_nothing_are_refused(tmp_path, name, value, cause):
    save_file(content() | {name: value}, tmp_path / "x.safetensors", {"trokens": json.dumps(OWN)})
    with pytest.raises(ValueError, match=rf"x\.safetensors cannot be read: {cause}; extract it again\.$"):
        read_point_file(tmp_path / "x.safetensors")


@pytest.mark.parametrize("value", ["x", "64.5", "", None, True, [64], 1e400, "9" * 30, 9 * 10**30, "\u096c\u096a"])
@pytest.mark.parametrize("key", ["height", "width", "schema"])
def test_what_is_no_number_of_pixels_is_refused(tmp_path, key, value):
    save_file(content(), tmp_path / "x.safetensors", {"trokens": json.dumps(OWN | {key: value})})
    with pytest.raises(ValueError, match=rf"x\.safetensors cannot be read: its {key} is '.*'; expected a whole number"):
        read_point_file(tmp_path / "x.safetensors")


def test_frames_larger_than_any_are_refused(tmp_path):
    save_file(content(), tmp_path / "x.safetensors", {"trokens": json.dumps(OWN | {"width": "9600000000"})})
    with pytest.raises(ValueError, match="its frames are 9600000000 x 64 pixels; extract it again"):
        read_point_file(tmp_path / "x.safetensors")


def published(path, **changes) -> None:
    keys = {"xy": "pred_tracks", "visibility": "pred_visibility", "cluster": "obj_ids", "query_frame": "point_queries"}
    path.write_bytes(pickle.dumps({keys[name]: x for name, x in content().items() if name in keys} | changes))


@pytest.mark.parametrize(("changes", "cause"), [
    ({"pred_visibility": of(torch.nan, T, N)}, "its visibility has numbers that are not finite"),
    ({"obj_ids": of(0.5, N)}, "its cluster has numbers that are not whole"),
    ({"point_queries": np.full(N, 1.5)}, "its query_frame has numbers that are not whole"),
])
def test_the_same_of_pickles(tmp_path, changes, cause):
    published(tmp_path / "x.pkl", **changes)
    with pytest.raises(ValueError, match=rf"x\.pkl is no point file: {cause}; extract it again\.$"):
        read_point_file(tmp_path / "x.pkl")


def test_visibility_between_0_and_1_means_the_same_in_both_formats(tmp_path):
    shares = torch.linspace(0, 1, T * N).view(T, N)
    save_file(content() | {"visibility": shares}, tmp_path / "x.safetensors", {"trokens": json.dumps(OWN)})
    published(tmp_path / "x.pkl", pred_visibility=shares)
    for suffix in ("safetensors", "pkl"):
        assert torch.equal(read_tracks(tmp_path / f"x.{suffix}").visibility, shares > 0.5)


def test_numbers_of_other_machines_are_read(tmp_path):
    xy = np.random.default_rng(0).random((T, N, 2))
    published(tmp_path / "x.pkl", pred_tracks=xy.astype(">f4"), obj_ids=np.arange(N).astype(">i2"))
    tracks = read_tracks(tmp_path / "x.pkl")
    assert np.array_equal(tracks.xy.numpy(), xy.astype(np.float32)) and tracks.cluster.tolist() == list(range(N))


@pytest.mark.parametrize(("spoil", "cause"), [
    (lambda data: b"", "it is empty"), (lambda data: data[:5], "header too small"),
    (lambda data: data[:-10], "incomplete metadata, file not"), (lambda data: bytes(len(data)), "invalid"),
    (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "header too large")])
def test_a_file_that_is_not_whole_says_what_to_do(tmp_path, spoil, cause):
    path = tmp_path / "x.safetensors"
    save_file(content(), path)
    path.write_bytes(spoil(path.read_bytes()))
    for read in (read_point_file, read_metadata):
        with pytest.raises(ValueError, match=r"x\.safetensors cannot be read: it is no whole safetensors file "
                           rf"\({cause}.*\); delete it and extract its video again, or fetch it again\.$"):
            read(path)


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(FileNotFoundError, match=r"x\.safetensors is no file\."):
        read_point_file(tmp_path / "x.safetensors")


def changed(**changes):
    return lambda tracks: replace(tracks, **{name: change(getattr(tracks, name)) for name, change in changes.items()})


@pytest.mark.parametrize(("change", "cause"), [
    (changed(query_frame=lambda x: x - 1), "has points that were chosen at positions -1 to .* of 12; extract it again"),
    (changed(query_frame=lambda x: x + 100), "has points that were chosen at positions 1.. to 1.. of 12; extract"),
    (changed(frame=lambda x: x.flip(0)), "has positions at frames 11 to 0, not in their order; extract it again"),
    (changed(frame=lambda x: x * 0 + 3), "has positions at frames 3 to 3, not in their order; extract it again"),
    (lambda tracks: tracks.select(torch.arange(0)), "has 0 points at 12 positions; extract it again"),
    (lambda tracks: Tracks(tracks.xy[:0], tracks.visibility[:0], tracks.query_frame, tracks.cluster),
     r"has \d+ points at 0 positions; extract it again"),
])
@pytest.mark.parametrize("options", [APPEARANCE, MOTION])
def test_a_run_refuses_what_check_data_calls_an_error(tiny_data, tmp_path, change, cause, options):
    read = reader(tiny_data, options=options)
    clip = replace(read.clips[2], tracks=tmp_path / "x.safetensors")
    write_tracks(clip.tracks, change(read_tracks(read.clips[2].tracks)))
    with pytest.raises(ValueError, match=rf"x\.safetensors of clip '{clip.id}' {cause}"):
        replace(read, clips=[clip]).read(0, with_video=options is APPEARANCE)
    found = ClipCheck("train", replace(read, clips=()), 10.0, with_video=options is APPEARANCE)(clip)
    assert any(finding.severity == "error" for finding in found)


def test_points_of_frames_of_another_shape_are_another_video_s(tiny_data, tmp_path):
    read = reader(tiny_data, options=APPEARANCE)
    clip = replace(read.clips[2], tracks=tmp_path / "x.safetensors")
    tracks = read_tracks(read.clips[2].tracks)
    write_tracks(clip.tracks, replace(tracks, size=(32, 32)))  # scaled as a whole
    replace(read, clips=[clip]).read(0, with_video=True)
    write_tracks(clip.tracks, replace(tracks, size=(48, 64)))
    with pytest.raises(ValueError, match="its frames had 64 x 48 pixels then and have 64 x 64 now; restore it, or "):
        replace(read, clips=[clip]).read(0, with_video=True)
    replace(read, clips=[clip], source_check=type(read.source_check)("warn")).read(0, with_video=True)
