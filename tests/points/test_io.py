import codecs
import io
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from damaged import assert_same
from safetensors.torch import save_file

from trokens.points import pickles
from trokens.points.io import read_point_file, read_tracks, write_tracks
from trokens.structures import Tracks


def published(tracks: Tracks, **changes) -> dict:
    return {"pred_tracks": tracks.xy, "pred_visibility": tracks.visibility, "obj_ids": tracks.cluster,
            "point_queries": tracks.query_frame} | changes


def dump(path: Path, content, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl"])
def test_all_survives_a_file_of_ours(tmp_path, tracks, suffix):
    path, times = tmp_path / "feat_dump" / f"a{suffix}", torch.arange(5, dtype=torch.float64) / 10
    write_tracks(path, tracks, {"tracker": "flow"}, times=times)
    read = read_point_file(path)
    assert_same(read.tracks, tracks)
    assert read.tracks.size == (48, 64) and torch.equal(read.tracks.frame, tracks.frame)
    assert torch.equal(read.times, times) and read.metadata == {"tracker": "flow"}


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl"])
def test_size_frame_and_times_are_optional_in_a_file_of_ours(tmp_path, tracks, suffix):
    path = tmp_path / f"a{suffix}"
    write_tracks(path, Tracks(tracks.xy, tracks.visibility, tracks.query_frame, tracks.cluster))
    read = read_point_file(path)
    assert read.tracks.size is None and read.tracks.frame is None and read.times is None and read.metadata == {}


def test_the_published_loader_finds_tensors_by_name_in_a_pickle_of_ours(tmp_path, tracks):
    write_tracks(tmp_path / "a.pkl", tracks, times=torch.arange(5))
    with open(tmp_path / "a.pkl", "rb") as file:
        content = pickle.load(file)
    for key, want in published(tracks).items():
        assert type(content[key]) is torch.Tensor and torch.equal(content[key], want) and content[key].is_contiguous()
        assert content[key].dtype == want.dtype
    assert "per_point_queries" not in content  # that name would change what the published loader computes
    content["pred_tracks"] += 1  # as any tensor


def test_a_pickle_without_points_is_written_and_read(tmp_path, tracks):
    write_tracks(tmp_path / "a.pkl", tracks.select(torch.arange(0)))
    assert read_tracks(tmp_path / "a.pkl").xy.shape == (5, 0, 2)
    with open(tmp_path / "a.pkl", "rb") as file:
        assert pickle.load(file)["pred_tracks"].shape == (5, 0, 2)


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_a_published_file_says_of_its_video_becomes_metadata(tmp_path, tracks, protocol):
    info = {"fps": 10, "height": np.int64(240), "width": np.float32(320), "frames": None}
    read = read_point_file(dump(tmp_path / "a.pkl", published(tracks, vid_info=info), protocol))
    assert read.metadata == {"vid_info.fps": "10", "vid_info.height": "240", "vid_info.width": "320.0"}
    assert read.tracks.size is None  # tracks are divided by the size of the decoded frames, as published
    write_tracks(tmp_path / "b.pkl", read.tracks, read.metadata)
    assert read_point_file(tmp_path / "b.pkl").metadata == read.metadata


def test_names_of_ours_in_a_pickle_of_others_mean_nothing(tmp_path, tracks):
    read = read_point_file(dump(tmp_path / "a.pkl", published(tracks, frame=torch.zeros(3), times="noon")))
    assert read.tracks.frame is None and read.times is None


@pytest.mark.parametrize("changes", [
    {"trokens": 1}, {"trokens": "[]"}, {"trokens": "{"}, {"trokens": '{"schema": "2"}'},
    {"trokens": "{}", "times": torch.zeros(3)}, {"trokens": "{}", "frame": "x"}, {"trokens": "[" * 100_000},
    {"trokens": '{"schema": 1e999}'}, {"trokens": '{"schema": [1]}'}, {"vid_info": {str(i): i for i in range(101)}},
    {"vid_info": {"fps": "1" * 1001}}, {"vid_info": {"f" * 1001: 1}}])
def test_broken_additions_to_a_pickle_are_named(tmp_path, tracks, changes):
    with pytest.raises(ValueError, match=r"a\.pkl is no point file: "):
        read_tracks(dump(tmp_path / "a.pkl", published(tracks, **changes)))


@pytest.mark.parametrize("name", ["a.safetensors", "a.pkl"])
def test_writing_leaves_no_other_file_and_replaces_the_old_one(tmp_path, tracks, name):
    path = tmp_path / name
    path.write_text("old")
    write_tracks(path, tracks)
    assert os.listdir(tmp_path) == [name]
    assert_same(read_tracks(path), tracks)


def test_a_file_of_another_suffix_is_not_written(tmp_path, tracks):
    with pytest.raises(ValueError, match=r"a\.npz is no point file: its suffix"):
        write_tracks(tmp_path / "x" / "a.npz", tracks)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, tracks):
    path = tmp_path / "a.safetensors"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_tracks(path, tracks, {"fps": object()})
    assert os.listdir(tmp_path) == ["a.safetensors"] and path.read_text() == "old"


def test_a_newer_schema_is_refused(tmp_path, tracks):
    path = tmp_path / "a.safetensors"
    write_tracks(path, tracks)
    newer = {"xy": tracks.xy, "visibility": tracks.visibility, "query_frame": tracks.query_frame,
             "cluster": tracks.cluster}
    save_file(newer, path, {"trokens": '{"schema": "2"}'})
    with pytest.raises(ValueError, match=r"a\.safetensors.*schema is 2.*up to 1"):
        read_tracks(path)


def test_broken_files_of_ours_are_named(tmp_path, tracks):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match=r"a\.safetensors"):
        read_tracks(path)
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        read_tracks(path)
    save_file({"xy": tracks.xy}, path, {"trokens": '{"schema": "1"}'})
    with pytest.raises(ValueError, match="lacks 'visibility'"):
        read_tracks(path)
    save_file({"xy": tracks.xy, "visibility": tracks.visibility[:2], "query_frame": tracks.query_frame,
               "cluster": tracks.cluster}, path, {"trokens": '{"schema": "1"}'})
    with pytest.raises(ValueError, match=r"a\.safetensors.*visibility is \(2, 7\)"):
        read_tracks(path)
    with pytest.raises(ValueError, match=r"suffix is none of \.safetensors, \.pkl"):
        read_tracks(tmp_path / "a.npz")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_published_pickles_of_tensors_are_read(tmp_path, tracks, protocol):
    assert_same(read_tracks(dump(tmp_path / "a.pkl", published(tracks), protocol)), tracks)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_arrays_are_read(tmp_path, tracks, protocol):
    content = {key: value.numpy() for key, value in published(tracks).items()}
    content["pred_tracks"] = np.asfortranarray(content["pred_tracks"].astype(">f8"))
    assert_same(read_tracks(dump(tmp_path / "a.pkl", content, protocol)), tracks)


def test_views_and_storages_shared_by_tensors_are_read(tmp_path, tracks):
    padded = torch.zeros(5, 9, 3).index_copy_(2, torch.arange(2), torch.nn.functional.pad(tracks.xy, (0, 0, 1, 1)))
    shared = torch.stack([tracks.query_frame, tracks.cluster])
    content = published(tracks, pred_tracks=padded[:, 1:8, :2], point_queries=shared[0], obj_ids=shared[1],
                        pred_visibility=tracks.visibility.T.contiguous().T)
    assert_same(read_tracks(dump(tmp_path / "a.pkl", content)), tracks)


def test_a_batch_of_one_and_visibility_as_numbers_are_understood(tmp_path, tracks):
    content = published(tracks, pred_tracks=tracks.xy[None].double(), obj_ids=tracks.cluster.tolist(),
                        pred_visibility=tracks.visibility[..., None].float() * 0.9,
                        point_queries=tracks.query_frame[None])
    assert_same(read_tracks(dump(tmp_path / "a.pkl", content)), tracks)


def test_query_frames_have_two_names_and_may_be_absent(tmp_path, tracks):
    content = published(tracks)
    content["per_point_queries"] = content.pop("point_queries")
    assert_same(read_tracks(dump(tmp_path / "a.pkl", content)), tracks)
    del content["per_point_queries"]
    assert read_tracks(dump(tmp_path / "a.pkl", content)).query_frame.tolist() == [0] * 7


def test_positions_in_half_precision_stay_so(tmp_path, tracks):
    half = tracks.xy.half()
    first = read_tracks(dump(tmp_path / "a.pkl", published(tracks, pred_tracks=half)))
    assert first.dtype == torch.float16 and first.xy.dtype == torch.float32 and torch.equal(first.xy, half.float())
    for suffix in ("safetensors", "pkl"):
        write_tracks(tmp_path / f"b.{suffix}", first)
        again = read_tracks(tmp_path / f"b.{suffix}")
        assert again.dtype == torch.float16 and torch.equal(again.xy, first.xy)
    with open(tmp_path / "b.pkl", "rb") as file:
        assert torch.equal(pickle.load(file)["pred_tracks"], half)
    for other in (tracks.xy, tracks.xy.double(), half.numpy().astype(np.float64)):
        assert read_tracks(dump(tmp_path / "a.pkl", published(tracks, pred_tracks=other))).dtype == torch.float32
    assert read_tracks(dump(tmp_path / "a.pkl", published(tracks, pred_tracks=half.numpy()))).dtype == torch.float16
    assert first.select(torch.tensor([1])).dtype == torch.float16


def test_the_key_of_the_cluster_ids_is_an_option(tmp_path, tracks):
    content = published(tracks)
    content["ids"] = content.pop("obj_ids")
    path = dump(tmp_path / "a.pkl", content)
    assert_same(read_tracks(path, obj_id_key="ids"), tracks)
    with pytest.raises(ValueError, match=r"^obj_id_key is 'obj_ids', and .*a\.pkl has no such key, only pred_tracks"):
        read_tracks(path)


def test_of_many_keys_the_first_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no 'pred_tracks', only key0, .*, key9, \.\.\.;") as error:
        read_tracks(dump(tmp_path / "a.pkl", {f"key{i}": i for i in range(20_000)}))
    assert len(str(error.value)) < 500


def test_shapes_that_do_not_fit_are_named(tmp_path, tracks):
    for changes in ({"pred_visibility": tracks.visibility[:2]}, {"obj_ids": tracks.cluster[:3]},
                    {"pred_tracks": tracks.xy[..., :1]}, {"pred_tracks": tracks.xy[0, 0]}, {"pred_tracks": "no"},
                    {"obj_ids": ["a"] * 7}, {"pred_tracks": tracks.xy[None].expand(2, -1, -1, -1)}):
        path = dump(tmp_path / "a.pkl", published(tracks, **changes))
        with pytest.raises(ValueError, match=r"a\.pkl is no point file"):
            read_tracks(path)


class Reduced:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced


def legacy_storage(first: object = None) -> bytes:
    """What torch pickles of the storage of ``torch.arange(6.0)``, with ``first`` before it if given."""
    _rebuild, (storage, *_), *_ = torch.arange(6.0).__reduce_ex__(2)
    _load, (data,) = storage.__reduce__()
    return data if first is None else pickle.dumps(first) + data


def tensor(size, stride, offset=0, storage=None):
    load = Reduced(torch.storage._load_from_bytes, legacy_storage() if storage is None else storage)
    return Reduced(torch._utils._rebuild_tensor_v2, load, offset, size, stride, False, {})


def test_the_hand_made_tensor_of_these_tests_is_itself_readable(tmp_path, tracks):
    path = dump(tmp_path / "a.pkl", {"x": tensor((2, 3), (3, 1))})
    assert pickles.load_pickle(path)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


LONG_TEXT = "a" * 10_000


def hostile_objects(mark: Path) -> dict[str, object]:
    run = Reduced(os.system, f"touch {mark}")
    numpy_array = np._core.multiarray._reconstruct if hasattr(np, "_core") else np.core.multiarray._reconstruct
    return {
        "command": run,
        "eval": Reduced(eval, f"open({str(mark)!r}, 'w')"),
        "subprocess": Reduced(subprocess.Popen, ["touch", str(mark)]),
        "getattr": Reduced(getattr, Tracks, "select"),
        "torch load": Reduced(torch.load, io.BytesIO(b"")),
        "command in a storage": tensor((2, 3), (3, 1), storage=legacy_storage(run)),
        "command in bytes": tensor((2, 3), (3, 1), storage=pickle.dumps(run)),
        "command as a tensor's hook": Reduced(torch._utils._rebuild_tensor_v2, 0, 0, (), (), False, run),
        "tensor beyond its storage": tensor((2, 4), (3, 1)),
        "strides beyond its storage": tensor((2, 3), (10**12, 1)),
        "negative stride": tensor((2, 3), (-1, 1)),
        "negative offset": tensor((2,), (1,), offset=-4),
        "offset beyond its storage": tensor((2,), (1,), offset=5),
        "huge expanded tensor": tensor((10**6, 10**6), (0, 0)),
        "expanded tensor far beyond the file": tensor((2**10, 2**10), (0, 0)),
        "the same text as bytes again and again": [Reduced(codecs.encode, LONG_TEXT, "latin1") for _ in range(10)],
        "dtype of no name": Reduced(np.dtype, ("f4",), False, True),
        "storage of text": Reduced(torch._utils._rebuild_tensor_v2, "numbers", 0, (1,), (1,), False, {}),
        "shape of shapes": Reduced(numpy_array, np.ndarray, (1,), b"b",
                                   state=(1, ((1,),), np.dtype("f4"), False, b"1234")),
        "many expanded tensors": [tensor((2**9, 2**9), (0, 0)) for _ in range(3)],
        "size of no numbers": tensor((2.5,), (1,)),
        "cut storage": tensor((2, 3), (3, 1), storage=legacy_storage()[:-4]),
        "array of objects": np.array([run], dtype=object),
        "state of a tensor": Reduced(torch._utils._rebuild_tensor_v2,
                                     Reduced(torch.storage._load_from_bytes, legacy_storage()), 0, (6,), (1,), False,
                                     {}, state={"x": 1}),
        "huge array": Reduced(numpy_array, np.ndarray, (10**12,), b"b",
                              state=(1, (10**12,), np.dtype("f4"), False, b"")),
        "a class": Tracks,
        "an instance": Path("x"),
    }


NAMES = list(hostile_objects(Path("x")))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_hostile_pickles_are_refused_without_side_effect(tmp_path, tracks, name, protocol):
    mark = tmp_path / "executed"
    path = dump(tmp_path / "a.pkl", published(tracks, extra=hostile_objects(mark)[name]), protocol)
    before = dict(vars(pickles))
    with pytest.raises(ValueError, match=r"a\.pkl is no point file that is safe to read"):
        read_tracks(path)
    assert not mark.exists()
    assert dict(vars(pickles)) == before


@pytest.mark.parametrize("data", [
    b"",
    b"not a pickle",
    b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x.",  # bytes of a terabyte
    b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",  # a byte array of a terabyte
    b"\x80\x04\x8c\x01aQ.",  # a persistent id
    b"\x80\x02cposix\nsystem\n.",
    b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",  # the OBJ opcode
    b"(S'true'\nios\nsystem\n.",  # the INST opcode
    b"\x80\x02\x82\x01.",  # the extension registry
    b"\x80\x02ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
    b"\x80\x02ccollections\nOrderedDict\n}X\x04\x00\x00\x00nameK\x01sb.",  # the state of an allowed function
    b"\x80\x02]" + b"0" * 10 + b".",
    b"\x80\x02K\x01.",  # a number
], ids=range(13))
def test_hostile_opcodes_are_refused_without_side_effect(tmp_path, data):
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.pkl is no point file"):
        read_tracks(path)


def test_an_archive_of_torch_is_no_point_file(tmp_path, tracks):
    torch.save(published(tracks), tmp_path / "a.pkl")
    with pytest.raises(ValueError, match=r"a\.pkl is no point file"):
        read_tracks(tmp_path / "a.pkl")


def test_a_file_too_large_to_be_true_is_not_opened(tmp_path):
    path = tmp_path / "a.pkl"
    with open(path, "wb") as file:
        file.truncate(pickles.MAX_BYTES + 1)  # sparse
    with pytest.raises(ValueError, match="more than 1024 MiB"):
        read_tracks(path)


def test_a_hostile_memo_takes_no_memory(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04}r\xff\xff\xff\xff.")
    code = ("import resource, sys; from trokens.points.pickles import load_pickle\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "load_pickle(sys.argv[1])\n"
            "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 50_000")
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl"])
def test_the_same_content_is_the_same_bytes(tmp_path, tracks, suffix):
    metadata = {f"key{i}": str(i) for i in range(20)}
    write_tracks(tmp_path / f"a{suffix}", tracks, metadata)
    turned = Tracks(tracks.xy.transpose(0, 1).contiguous().transpose(0, 1), tracks.visibility.clone(),
                    tracks.query_frame.int(), tracks.cluster.clone(), tracks.size, tracks.frame.clone())
    write_tracks(tmp_path / f"b{suffix}", turned, dict(reversed(metadata.items())))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize(("content", "cause"), [
    (b"", "it ends too early"), (pickle.dumps({"a": 1})[:-1], "it ends too early"), (b"no points", "it is no pickle")])
def test_files_that_are_no_pickles_are_told_in_words(tmp_path, content, cause):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.pkl is no point file that is safe to read: {cause}\.$"):
        read_tracks(tmp_path / "a.pkl")


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl"])
@pytest.mark.parametrize("size", [(0, 40), (30, 0), (-30, 40), (30, -1)])
def test_a_frame_size_that_cannot_be_is_refused(tmp_path, tracks, suffix, size):
    path = tmp_path / f"x{suffix}"
    write_tracks(path, replace(tracks, size=size))
    with pytest.raises(ValueError, match=rf"x\{suffix} .*its frames are {size[1]} x {size[0]} pixels; extract it "):
        read_tracks(path)


@pytest.mark.parametrize(("key", "name"), [("point_queries", "query_frame"), ("obj_ids", "cluster")])
def test_numbers_of_points_that_are_not_finite_are_refused(tmp_path, key, name):
    content = {"pred_tracks": torch.zeros(3, 2, 2), "pred_visibility": torch.ones(3, 2), "obj_ids": torch.zeros(2),
               "point_queries": torch.zeros(2)}
    content[key][1] = float("nan")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"x\.pkl .*its {name} has numbers that are not finite"):
        read_tracks(tmp_path / "x.pkl")
