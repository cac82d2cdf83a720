"""Pickles from strangers: refused in one sentence, soon, and in little memory, whoever reads them."""

import io
import json
import pickle
import random
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from pickle_bombs import BOMBS, TORCH_BOMBS, content, old, storage, tensor, zipped
from processes import TIMEOUT

from trokens.models.checkpoint import load_checkpoint, save_checkpoint
from trokens.models.weights import read_state_dict
from trokens.points.io import read_point_file
from trokens.points.pickles import load_pickle
from trokens.runtime import unpickle
from trokens.runtime.tensors import read_torch_file
from trokens.runtime.torch_pickle import check_torch_file

ROOT = Path(__file__).resolve().parents[2]

# Reads each file with the function that its name begins with, in a process of its own: what hangs does so in C.
READ = """
import json, resource, sys
from trokens.points.pickles import load_pickle as point
from trokens.runtime.tensors import read_torch_file as torch
def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, said = most(), {}
for path in sys.argv[1:]:
    try: globals()[path.rpartition("/")[2].partition("_")[0]](path)
    except ValueError as error: said[path.rpartition("/")[2]] = str(error)
print(json.dumps([said, most() - before]))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> tuple[dict[str, str], int]:
    """What was said of every bomb, and the kilobytes that all of them took."""
    folder, paths = tmp_path_factory.mktemp("bombs"), []
    for i, (data, _) in enumerate(BOMBS.values()):
        paths += [folder / f"point_{i}.pkl", zipped(folder / f"torch_zip_{i}.pth", data),
                  old(folder / f"torch_old_{i}.pth", data), folder / f"torch_bare_{i}.pth"]
        paths[-4].write_bytes(data)
        paths[-1].write_bytes(data)
    paths += [zipped(folder / f"torch_own_{i}.pth", data) for i, (data, _) in enumerate(TORCH_BOMBS.values())]
    done = subprocess.run([sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, cwd=ROOT,
                          timeout=TIMEOUT, check=True)
    return tuple(json.loads(done.stdout))


@pytest.mark.parametrize("reader", ["point_{}.pkl", "torch_zip_{}.pth", "torch_old_{}.pth", "torch_bare_{}.pth"])
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_one_sentence(said, name, reader):
    sentence = said[0][reader.format(list(BOMBS).index(name))]
    assert "\n" not in sentence and len(sentence) < 500
    if "bare" not in reader:
        assert BOMBS[name][1] in sentence


@pytest.mark.parametrize("name", TORCH_BOMBS)
def test_bombs_for_torch_are_refused_in_one_sentence(said, name):
    sentence = said[0][f"torch_own_{list(TORCH_BOMBS).index(name)}.pth"]
    assert TORCH_BOMBS[name][1] in sentence and "\n" not in sentence and len(sentence) < 500


def test_all_bombs_together_take_little_memory(said):
    assert said[1] < 400_000


def test_faulty_files_are_refused(faults):
    for name in ("nested_keys.pkl", "nested_dtype.pkl"):
        with pytest.raises(ValueError, match=r"\.pkl is no point file that is safe to read: it has a tuple"):
            read_point_file(faults / name)
    for read in (load_checkpoint, read_state_dict):
        with pytest.raises(ValueError, match=r"nested_keys\.pth .* a tuple that stands for more than 10000 values"):
            read(faults / "nested_keys.pth")


def test_a_file_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": list(range(5000))}))
    assert len(load_pickle(tmp_path / "a.pkl")["x"]) == 5000
    monkeypatch.setattr(unpickle, "_SECONDS", -1)
    with pytest.raises(ValueError, match="it takes longer than a file of its size may"):
        load_pickle(tmp_path / "a.pkl")


# Sound files

@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_python_reads_them(tmp_path, protocol):
    shared = ["a", 1.5]
    values = {"none": None, "yes": True, "no": False, "ints": [0, 1, -1, 255, 2**16, -2**31, 2**63, 2**100],
              "floats": [0.0, -1e300, 3.25], "text": "über\n'\"\\", "bytes": b"\0\xff",
              "tuples": ((), (1,), (1, (2, (3, 4)))), "shared": [shared, shared], "empty": [[], {}, ""],
              "deep": [[[[{"a": [1]}]]]]}
    if protocol < 3:
        values["bytes"] = "as text"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values, protocol=protocol))
    read = load_pickle(tmp_path / "a.pkl")
    assert read == values and read["shared"][0] is read["shared"][1]


def states() -> dict[str, dict]:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2, bias=False))
    optimizer = torch.optim.AdamW([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1:].parameters()}])
    model(torch.rand(5, 3)).sum().backward()
    optimizer.step()
    shared = torch.arange(12.0)
    return {
        "a checkpoint": {"model_state": model.state_dict(), "optimizer_state": optimizer.state_dict(), "epoch": 3,
                         "scaler_state": {"scale": 65536.0, "_growth_tracker": 0}, "cfg": "A: 1\n", "best": None,
                         "schedule": torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2]).state_dict()},
        "all kinds of numbers": {str(t): torch.ones(2, 3).to(t) for t in (
            torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
            torch.uint8, torch.bool, torch.complex64)},
        "views": {"all": shared, "part": shared[2:8:2], "turned": shared.view(3, 4).T, "wide": shared[:1].expand(5),
                  "none": shared[:0], "one": shared[3]},
        "other values": {"parameter": torch.nn.Parameter(torch.ones(2)), "size": torch.ones(2, 3).shape, "set": {1, 2},
                         "device": torch.device("cpu"), "dtype": torch.float32, "bytes": b"ab", "complex": 1j,
                         "empty": (), 5: [None, True]},
    }


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", states())
def test_what_torch_saves_passes(tmp_path, name, is_zip):
    torch.save(states()[name], tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
    check_torch_file(tmp_path / "a.pth")
    assert str(torch.load(tmp_path / "a.pth", weights_only=True)) == str(read_torch_file(tmp_path / "a.pth"))


def test_the_hand_made_tensor_of_these_tests_is_itself_readable(tmp_path):
    zipped(tmp_path / "a.pth", content(tensor(storage())), [("0", np.arange(4, dtype=np.float32).tobytes())])
    assert read_torch_file(tmp_path / "a.pth")["x"].tolist() == [0, 1, 2, 3]


def test_archives_that_torch_does_not_write_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"it is compressed, which torch\.save never does"):
        read_torch_file(zipped(tmp_path / "a.pth", content(b"N"), [("0", b"\0" * 10**6)], zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match="its records overlap"):
        read_torch_file(zipped(tmp_path / "a.pth", content(b"N"), [("0", b"a"), ("0", b"b")]))
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as file:
        file.writestr("hello.txt", "hello")
    with pytest.raises(ValueError, match=r"it was not written by torch\.save"):
        read_torch_file(tmp_path / "a.pth")
    save_checkpoint(tmp_path / "b.pth", {"model_state": {"w": torch.ones(100)}})
    (tmp_path / "b.pth").write_bytes((tmp_path / "b.pth").read_bytes()[:-50])
    with pytest.raises(ValueError, match="it is cut, or broken otherwise"):
        load_checkpoint(tmp_path / "b.pth")


# Damage

@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["point", "zip", "old"])
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    random.seed(0)
    state = {"pred_tracks": torch.rand(3, 4, 2), "pred_visibility": torch.ones(3, 4), "obj_ids": [0, 1, 1, 2]}
    whole, path = io.BytesIO(), tmp_path / ("a.pkl" if kind == "point" else "a.pth")
    pickle.dump(state, whole) if kind == "point" else torch.save(
        state, whole, _use_new_zipfile_serialization=kind == "zip")
    instructions = [bytes([number]) for number in pickle._Unpickler.dispatch]
    for _ in range(300):
        data = bytearray(whole.getvalue())
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(data))
            data[at:at + random.randint(0, 2)] = random.choice(instructions) * random.choice([1, 1, 1, 300])
        path.write_bytes(data)
        try:
            read_point_file(path) if kind == "point" else read_torch_file(path)
        except ValueError as error:
            assert len(str(error)) < 3000
