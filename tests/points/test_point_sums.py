"""A damaged point file is never read as whole."""

import json
import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from damaged import assert_same
from safetensors.torch import save_file

from trokens.cli import convert_points
from trokens.points.io import read_metadata, read_point_file, read_tracks, write_tracks
from trokens.structures import Tracks

SUFFIXES = pytest.mark.parametrize("suffix", [".safetensors", ".pkl"])


def as_one(file) -> tuple:
    """All that a point file holds, to be compared with ==."""
    tensors = [*(getattr(file.tracks, name) for name in ("xy", "visibility", "query_frame", "cluster", "frame")),
               file.times]
    return file.tracks.size, file.metadata, *(None if x is None else (x.dtype, x.shape, x.numpy().tobytes())
                                              for x in tensors)


@SUFFIXES
def test_no_damaged_byte_is_read_as_sound(tmp_path, tracks, suffix):
    path = tmp_path / f"a{suffix}"
    write_tracks(path, tracks, {"tracker": "flow", "fps": "10"}, times=torch.arange(5).double())
    whole, sound = path.read_bytes(), as_one(read_point_file(path))
    draw, refused = random.Random(0), 0
    for number in range(len(whole)):
        damaged = bytearray(whole)
        damaged[number] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            read = as_one(read_point_file(path))
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:  # such as the number of the pickle's protocol, or the name of the sum itself
            assert read[0] == sound[0] and read[2:] == sound[2:], f"byte {number}"
            assert sound[1].items() <= read[1].items(), f"byte {number}"
    assert refused > 0.7 * len(whole)


@SUFFIXES
def test_zeros_in_place_of_numbers_are_noticed(tmp_path, tracks, suffix):
    path = tmp_path / f"a{suffix}"
    write_tracks(path, tracks)
    numbers = tracks.xy[2].numpy().tobytes()
    data = path.read_bytes()
    assert data.count(numbers) == 1
    path.write_bytes(data.replace(numbers, bytes(len(numbers))))
    with pytest.raises(ValueError, match=rf"a\{suffix} is damaged: its content does not match its check sum; delete it "
                                         "and extract its video again, or fetch it again"):
        read_tracks(path)


@SUFFIXES
def test_the_sum_stays_in_the_file(tmp_path, tracks, suffix):
    path = tmp_path / f"a{suffix}"
    write_tracks(path, tracks, {"tracker": "flow", "sum": "of somebody else"})
    assert read_point_file(path).metadata == {"tracker": "flow"}
    assert read_metadata(path).keys() == {"tracker", "schema", "height", "width", "sum"}


def test_files_of_earlier_versions_are_read_as_before(tmp_path, tracks):
    tensors = {"xy": tracks.xy, "visibility": tracks.visibility, "query_frame": tracks.query_frame,
               "cluster": tracks.cluster, "frame": tracks.frame}
    text = json.dumps({"schema": "1", "height": "48", "width": "64"})
    save_file(tensors, tmp_path / "a.safetensors", {"trokens": text})
    assert_same(read_tracks(tmp_path / "a.safetensors"), tracks)
    save_file(tensors | {"xy": tracks.xy.bfloat16()}, tmp_path / "b.safetensors")
    assert_same(read_tracks(tmp_path / "b.safetensors"), replace(tracks, xy=tracks.xy.bfloat16().float()))
    with open(tmp_path / "a.pkl", "wb") as file:
        pickle.dump({"pred_tracks": tracks.xy, "pred_visibility": tracks.visibility, "obj_ids": tracks.cluster,
                     "point_queries": tracks.query_frame, "trokens": '{"schema": "1"}'}, file)
    assert_same(read_tracks(tmp_path / "a.pkl"), tracks)
    assert read_metadata(tmp_path / "a.pkl") == {"schema": "1"} and read_metadata(tmp_path / "b.safetensors") == {}


def test_a_pickle_of_ours_may_be_read_with_clusters_of_another_key(tmp_path, tracks):
    write_tracks(tmp_path / "a.pkl", tracks)
    content = pickle.loads((tmp_path / "a.pkl").read_bytes())
    content["mine"] = np.arange(7)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert read_tracks(tmp_path / "a.pkl", "mine").cluster.tolist() == list(range(7))
    content["pred_tracks"] += 1
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="one that was changed on purpose has to lose its 'trokens' text"):
        read_tracks(tmp_path / "a.pkl")
    del content["trokens"]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert torch.equal(read_tracks(tmp_path / "a.pkl").xy, tracks.xy + 1)


def test_sums_survive_conversion_there_and_back(tmp_path, tracks):
    write_tracks(tmp_path / "a" / "x.safetensors", tracks, {"tracker": "flow"})
    for source, to in (("a", "pkl"), ("b", "safetensors")):
        assert convert_points.main([str(tmp_path / source), str(tmp_path / chr(ord(source) + 1)), "--to", to]) == 0
    assert (tmp_path / "c/x.safetensors").read_bytes() == (tmp_path / "a/x.safetensors").read_bytes()


def test_empty_files_have_a_sum_too(tmp_path):
    none = Tracks(torch.zeros(0, 0, 2), torch.zeros(0, 0).bool(), torch.zeros(0).long(), torch.zeros(0).long())
    write_tracks(tmp_path / "a.safetensors", none)
    assert read_tracks(tmp_path / "a.safetensors").num_points == 0
