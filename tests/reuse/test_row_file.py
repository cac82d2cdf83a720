"""Banks on disk: kept for later tests, never used half-written, shared by processes."""

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from processes import in_processes
from tiny import clip_embedder, points_dir, tiny_cfg

from trokens import build_model
from trokens.clips.split import build_split
from trokens.engine import evaluator as evaluator_module
from trokens.engine.evaluator import BankOptions, Evaluator
from trokens.runtime.files import WriteError
from trokens.runtime.machine import available_memory


class Seen:
    """Counts the clips that a model is shown; more than ``most`` of them are an error."""

    def __init__(self, model, most: int = 10**9):
        self.count = 0

        def look(_model, args):
            self.count += len(args[0])
            if self.count > most:
                raise InterruptedError("seen enough")

        self.hook = model.register_forward_pre_hook(look)


def evaluate(root: Path, folder: Path, seed: int = 0, most: int = 10**9, split: str = "test", **changes):
    """The results of the numbers of shots, and how many clips were embedded; a run of its own, but for the process."""
    changes = {"TEST__BANK": "disk", "FEW_SHOT__TEST_EPISODES": 40, "MODEL__NUM_CLASSES": 6} | changes
    cfg = tiny_cfg(root, folder, **changes)
    torch.manual_seed(seed)
    model = build_model(cfg)
    seen = Seen(model, most)
    shots = cfg.TEST.K_SHOTS or [cfg.FEW_SHOT.K_SHOT]
    clips = build_split(cfg, split)
    evaluator = Evaluator.from_config(cfg, clips, split=split, k_shots=shots)
    answered = evaluator.answer(clip_embedder(cfg, model, clips, split), shots)
    results = [evaluator.result(outcomes) for outcomes in answered]
    return results, seen.count


def banks(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "bank").iterdir())


@pytest.mark.parametrize("changes", [
    {}, {"FEW_SHOT__K_SHOT": 2}, {"FEW_SHOT__K_SHOT": 2, "TEST__BANK_DTYPE": "half"},
    {"TEST__K_SHOTS": [1, 2]}, {"FEW_SHOT__PATCH_TOKENS_AGG": "no_agg", "FEW_SHOT__K_SHOT": 2}])
def test_a_bank_on_disk_gives_what_one_in_memory_gives(tiny_data, tmp_path, changes):
    disk, memory = (evaluate(tiny_data, tmp_path, TEST__BANK=where, **changes) for where in ("disk", "memory"))
    assert disk == memory and disk[1] == 15
    shots = changes.get("TEST__K_SHOTS") or [changes.get("FEW_SHOT__K_SHOT", 1)]
    assert [result["k_shot"] for result in disk[0]] == shots


@pytest.mark.parametrize("changes", [{}, {"FEW_SHOT__K_SHOT": 2}])
@pytest.mark.parametrize("where", ["disk", "memory"])
def test_half_precision_keeps_accuracy_within_its_interval_and_half_the_room(tiny_data, tmp_path, changes, where):
    (whole,), (half,) = (evaluate(tiny_data, tmp_path / dtype, TEST__BANK=where, TEST__BANK_DTYPE=dtype,
                                  FEW_SHOT__TEST_EPISODES=500, **changes)[0] for dtype in ("float", "half"))
    assert 0.1 < whole["accuracy"] < 0.95 and abs(whole["accuracy"] - half["accuracy"]) < whole["interval"] / 4
    sizes = [path.stat().st_size for dtype in ("float", "half") for path in tmp_path.glob(f"{dtype}/bank/*.bank")]
    assert sizes == ([15 * 4 * 8 * 16 * 4, 15 * 4 * 8 * 16 * 2] if where == "disk" else [])


def test_a_second_test_looks_at_no_clip_again(tiny_data, tmp_path):
    evaluate(tiny_data, tmp_path)
    before = banks(tmp_path)
    for changes in ({}, {"FEW_SHOT__K_SHOT": 2}, {"FEW_SHOT__N_WAY": 4}, {"RNG_SEED": 5},
                    {"FEW_SHOT__PATCH_TOKENS_AGG": "temporal", "FEW_SHOT__DIST_NORM": "max_sub"},
                    {"FEW_SHOT__PROTOTYPE": "per_clip", "FEW_SHOT__K_SHOT": 2}):
        again, count = evaluate(tiny_data, tmp_path, **changes)
        anew, _ = evaluate(tiny_data, tmp_path, TEST__BANK="memory", **changes)
        assert count == 0 and again == anew
    assert banks(tmp_path) == before


def test_clips_that_the_first_test_had_not_drawn_are_added(tiny_data, tmp_path):
    _, first = evaluate(tiny_data, tmp_path, FEW_SHOT__TEST_EPISODES=1)
    _, second = evaluate(tiny_data, tmp_path, FEW_SHOT__TEST_EPISODES=2)
    whole, third = evaluate(tiny_data, tmp_path)
    assert first == 6 and 0 < second < 9 and first + second + third == 15
    assert whole == evaluate(tiny_data, tmp_path, TEST__BANK="memory")[0]


@pytest.mark.parametrize("changes", [{"seed": 1}, {"POINT_INFO__COORDS": "centered"}, {"TEST__BANK_DTYPE": "half"},
                                     {"MF__NUM_HEADS": 1}])
def test_a_bank_of_other_weights_or_options_is_replaced(tiny_data, tmp_path, changes):
    evaluate(tiny_data, tmp_path)
    evaluate(tiny_data, tmp_path, split="val")  # has a bank of its own
    before = banks(tmp_path)
    other, count = evaluate(tiny_data, tmp_path, **changes)
    assert count == 15 and other == evaluate(tiny_data, tmp_path, TEST__BANK="memory", **changes)[0]
    after = banks(tmp_path)
    assert len(after) == len(before) == 4 and len(set(after) - set(before)) == 2


def test_a_clip_whose_files_changed_is_embedded_again(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    evaluate(data, tmp_path / "out")
    one, other = sorted(points_dir(data).glob("test__*"))[:2]
    other.write_bytes(one.read_bytes())
    os.utime(other, (0, 0))
    again, count = evaluate(data, tmp_path / "out", FEW_SHOT__K_SHOT=2)
    assert count == 1 and again == evaluate(data, tmp_path / "out", FEW_SHOT__K_SHOT=2, TEST__BANK="memory")[0]


def test_a_half_written_bank_is_never_used(tiny_data, tmp_path):
    with pytest.raises(InterruptedError):
        evaluate(tiny_data, tmp_path, most=8, MODEL__BACKBONE_BATCH=2)
    assert evaluate(tiny_data, tmp_path)[1] == 15
    data = next((tmp_path / "bank").glob("*.bank"))
    os.truncate(data, data.stat().st_size - 1)
    with pytest.raises(InterruptedError):
        evaluate(tiny_data, tmp_path, most=8)
    assert evaluate(tiny_data, tmp_path)[1] == 15


def damage(path: Path, row: int, what: str) -> None:
    """Spoil a row of a bank of 15 rows as a disk might."""
    size = path.stat().st_size // 15
    content = bytearray(path.read_bytes())
    one, other = slice(row * size, (row + 1) * size), slice((row + 1) * size, (row + 2) * size)
    if what == "zeros":
        content[one] = bytes(size)
    elif what == "bit":
        content[row * size + 77] ^= 1
    else:
        content[one], content[other] = content[other], content[one]
    path.write_bytes(content)


@pytest.mark.parametrize(("what", "count"), [("zeros", 1), ("bit", 1), ("swapped", 2)])
@pytest.mark.parametrize("dtype", ["float", "half"])
def test_damaged_rows_are_never_scored_but_made_again(tiny_data, tmp_path, caplog, what, count, dtype):
    want, _ = evaluate(tiny_data, tmp_path, TEST__BANK_DTYPE=dtype)
    data = next((tmp_path / "bank").glob("*.bank"))
    whole = data.read_bytes()
    damage(data, 4, what)
    assert evaluate(tiny_data, tmp_path, TEST__BANK_DTYPE=dtype) == (want, count)
    assert data.read_bytes() == whole
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"{data}: {count} of 15 rows do not match their check sums, so they are made again."]
    assert evaluate(tiny_data, tmp_path, TEST__BANK_DTYPE=dtype)[1] == 0


@pytest.mark.parametrize("content", ["", "[", "{}", "[1, 2]", "null", '["a"]', "[" * 100000])
def test_a_damaged_index_is_made_anew(tiny_data, tmp_path, caplog, content):
    want, _ = evaluate(tiny_data, tmp_path)
    index = next((tmp_path / "bank").glob("*.json"))
    whole = index.read_bytes()
    index.write_text(content)
    assert evaluate(tiny_data, tmp_path) == (want, 15) and index.read_bytes() == whole
    assert caplog.messages.count(f"{index} is damaged: its rows are made again.") == 1


def test_a_pipe_in_a_banks_place_is_never_opened(tiny_data, tmp_path):
    evaluate(tiny_data, tmp_path)
    data = next((tmp_path / "bank").glob("*.bank"))
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(WriteError, match=rf"{data} cannot be written \(it is a device or a pipe\); move the file"):
        evaluate(tiny_data, tmp_path)


def test_rows_of_an_index_without_check_sums_do_not_count(tiny_data, tmp_path):
    evaluate(tiny_data, tmp_path)
    index = next((tmp_path / "bank").glob("*.json"))
    index.write_text(json.dumps([stamp for stamp, _ in json.loads(index.read_text())]))  # as it once was
    assert evaluate(tiny_data, tmp_path)[1] == 15


def test_a_bank_of_another_list_of_clips_is_replaced(tiny_data, tmp_path):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    evaluate(data, tmp_path / "out", FEW_SHOT__N_WAY=2)
    shutil.rmtree(next(path for path in (data / "test").iterdir()))
    less, count = evaluate(data, tmp_path / "out", FEW_SHOT__N_WAY=2)
    assert count == 12 and less == evaluate(data, tmp_path / "out", TEST__BANK="memory", FEW_SHOT__N_WAY=2)[0]
    assert len(banks(tmp_path / "out")) == 2


def test_a_full_disk_is_told_before_any_clip_is_read(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(10))
    with pytest.raises(ValueError, match=r"\.bank needs 0\.0 GB of a disk that has 0\.0 GB free; set TEST\.BANK_DIR"):
        evaluate(tiny_data, tmp_path, most=0)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot take room on a disk")
def test_all_of_a_banks_room_is_taken_before_any_clip_is_read(tiny_data, tmp_path, monkeypatch):
    take, refusal, taken = os.posix_fallocate, errno.EDQUOT, []

    def allocate(file, *extent):
        if refusal:
            raise OSError(refusal, os.strerror(refusal))
        taken.append(extent)
        take(file, *extent)

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    with pytest.raises(ValueError, match=r"needs 0\.0 GB, which its disk refuses \(.*quota.*\); set TEST\.BANK_DIR"):
        evaluate(tiny_data, tmp_path, most=0)
    refusal = errno.EOPNOTSUPP  # a disk that cannot do it: then there is no more to do
    assert evaluate(tiny_data, tmp_path, FEW_SHOT__TEST_EPISODES=1)[1] == 6
    refusal = 0
    evaluate(tiny_data, tmp_path)
    assert taken == [(0, 15 * 4 * 8 * 16 * 4)]


def test_a_bank_goes_to_disk_where_memory_is_short(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluator_module, "available_memory", lambda: 1000)
    where = {name: BankOptions(name, tmp_path) for name in ("auto", "memory", "disk")}
    assert not where["auto"].is_on_disk(499) and where["auto"].is_on_disk(500)
    assert not where["memory"].is_on_disk(500) and where["disk"].is_on_disk(1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # each would hold all of it
    assert not where["auto"].is_on_disk(249) and where["auto"].is_on_disk(250)


def test_available_memory_heeds_the_limits_of_a_job(tmp_path):
    def put(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert available_memory(str(tmp_path)) > 2**20  # no /proc: half of what there is
    put("proc/meminfo", "MemTotal:       9000 kB\nMemFree:      10 kB\nMemAvailable:   8000 kB\n")
    assert available_memory(str(tmp_path)) == 8000 * 1024
    put("proc/self/cgroup", "0::/job/step\n")
    put("sys/fs/cgroup/job/step/memory.max", "max\n")
    put("sys/fs/cgroup/job/step/memory.current", "100\n")
    assert available_memory(str(tmp_path)) == 8000 * 1024
    put("sys/fs/cgroup/job/memory.max", "5000\n")
    put("sys/fs/cgroup/job/memory.current", "2000\n")
    assert available_memory(str(tmp_path)) == 3000
    put("sys/fs/cgroup/job/memory.stat", "anon 900\nfile 1100\ninactive_file 800\nactive_file 100\nshmem 200\n")
    assert available_memory(str(tmp_path)) == 3900  # what is kept of files gives way
    assert available_memory() > 2**20


def share(own: int, root: Path, folder: Path, where: str, nodes: int):
    if nodes == 2:
        os.environ.update(LOCAL_RANK="0", LOCAL_WORLD_SIZE="1")
        folder = folder / str(own)
    return evaluate(root, folder, TEST__BANK=where, TEST__K_SHOTS=[1, 2], MODEL__BACKBONE_BATCH=2)


@pytest.mark.parametrize(("where", "nodes"), [("memory", 1), ("disk", 1), ("disk", 2)])
def test_two_processes_embed_half_of_the_clips_each(tiny_data, tmp_path, where, nodes):
    (one, first), (two, second) = in_processes(2, share, tiny_data, tmp_path, where, nodes)
    assert (first, second) == (8, 7)  # batches of 2, in turns
    assert one == two == evaluate(tiny_data, tmp_path / "alone", TEST__K_SHOTS=[1, 2], MODEL__BACKBONE_BATCH=2)[0]
    files = sorted(tmp_path.glob("**/*.bank"))
    assert len(files) == 1 + (where == "disk") * nodes
    assert len({path.read_bytes() for path in files}) == 1


def test_two_processes_look_for_damage_in_half_of_the_rows_each(tiny_data, tmp_path):
    in_processes(2, share, tiny_data, tmp_path, "disk", 1)
    data, = tmp_path.glob("bank/*.bank")
    whole = data.read_bytes()
    for row in (3, 8):
        damage(data, row, "zeros")
    (one, first), (two, second) = in_processes(2, share, tiny_data, tmp_path, "disk", 1)
    assert first + second == 2 and one == two and data.read_bytes() == whole
