"""A run's folder on a disk that is full, limited, read-only or no folder at all: one sentence, and nothing is lost."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import TIMEOUT, limited
from tiny import APPEARANCE, command, figures, main, tiny_cfg

from trokens.engine.loggers import RunLog
from trokens.engine.run import run_experiment
from trokens.models.checkpoint import checkpoint_dir, find_last, load_checkpoint
from trokens.runtime.files import in_words

FULL = "(No space left on device); free some space there, or choose another folder.\n"


def left(folder: Path) -> set[str]:
    """What lies in a folder, without what every run leaves."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"checkpoints", "config.yaml", "log.txt"}


def test_a_disk_that_is_full_from_the_start_is_one_sentence(tiny_data, small_disk, fill, capsys):
    fill(4096)  # a page for run.lock
    assert main(command(tiny_data, small_disk)) == 2
    captured = capsys.readouterr()
    assert captured.err == f"WriteError: {small_disk}/config.yaml cannot be written {FULL}"
    assert left(small_disk) == {"fill"}
    fill(0)
    assert main(command(tiny_data, small_disk)) == 2
    assert capsys.readouterr().err == f"WriteError: {small_disk}/run.lock cannot be written {FULL}"
    assert left(small_disk) == {"fill"}


def test_a_disk_without_room_for_a_checkpoint_is_refused_before_training(tiny_data, small_disk, fill, capsys):
    fill(40000)
    assert main(command(tiny_data, small_disk)) == 2
    assert capsys.readouterr().err == (
        f"WriteError: {small_disk}/checkpoints has room for 0.0 MB, and a checkpoint takes 0.1 MB; free some space "
        "there, or choose another OUTPUT_DIR.\n")


def test_a_disk_that_fills_up_in_training_leaves_the_last_checkpoint(tiny_data, tmp_path, small_disk, fill, capsys):
    run_experiment(tiny_cfg(tiny_data, tmp_path / "whole"), torch.device("cpu"))
    size = find_last(tmp_path / "whole").path.stat().st_size
    fill(2 * size + 60000)  # the best one and that of the first epoch
    assert main(command(tiny_data, small_disk)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"WriteError: {small_disk}/checkpoints/checkpoint_") and error.endswith(FULL)
    assert error.count("\n") == 1
    assert load_checkpoint(find_last(small_disk).path)["epoch"] == 0
    assert not {name for name in left(small_disk) if name.endswith(("tmp", "partial", "lock"))}
    (small_disk / "fill").unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert main(command(tiny_data, small_disk)) == 0
    assert figures(small_disk) == figures(tmp_path / "whole")


@pytest.mark.parametrize("limit", [2000, 30000])
def test_a_limit_of_the_size_of_files_is_one_sentence(tiny_data, tmp_path, capsys, limit):
    with limited(limit):
        assert main(command(tiny_data, tmp_path)) == 2
    error = capsys.readouterr().err
    name = "config.yaml" if limit == 2000 else "checkpoints/checkpoint_best.pyth"
    assert error == (f"WriteError: {tmp_path}/{name} cannot be written (File too large); raise the limit of a file's "
                     "size (ulimit -f), or choose a folder on another file system.\n")
    assert left(tmp_path) <= {"metrics.jsonl"}


def test_a_read_only_disk_is_one_sentence(tiny_data, small_disk, capsys):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for folder in (small_disk, small_disk / "out"):
        assert main(command(tiny_data, folder)) == 2
        assert capsys.readouterr().err == (f"WriteError: {folder} cannot be written (Read-only file system); choose a "
                                           "folder that can be written to.\n")


def test_a_folder_that_cannot_be_is_one_sentence(tiny_data, tmp_path, capsys):
    (tmp_path / "file").touch()
    for folder, cause in (("/proc/out", "No such file or directory"), (tmp_path / ("x" * 300), "File name too long"),
                          (f"/{'/'.join(['y' * 250] * 17)}", "File name too long"), (tmp_path / "file", "File exists"),
                          (tmp_path / "file" / "out", "Not a directory")):
        assert main(command(tiny_data, folder)) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"WriteError: {folder} cannot be written ({cause}); ") and error.count("\n") == 1
        assert "choose a" in error


@pytest.mark.parametrize("name", ["config.yaml", "results.json", "metrics.jsonl", "log.txt", "checkpoints"])
def test_something_in_the_way_is_named_before_training(tiny_data, tmp_path, capsys, name):
    if name == "checkpoints":
        (tmp_path / name).touch()
    else:
        (tmp_path / name / "x").mkdir(parents=True)
    assert main(command(tiny_data, tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"WriteError: {tmp_path}/{name}") and " in the way" in error and error.count("\n") == 1


def test_a_place_for_the_results_that_cannot_be_is_named_before_any_work(tiny_data, tmp_path, capsys):
    path = tmp_path / "file" / "results.json"
    path.parent.touch()
    assert main(command(tiny_data, tmp_path / "out", TEST__SAVE_RESULTS_PATH=path)) == 2
    assert capsys.readouterr().err.startswith(f"WriteError: {path} cannot be written (")
    assert left(tmp_path / "out") == set()


def test_results_that_cannot_be_written_leave_the_old_ones(tiny_data, tmp_path, capsys, monkeypatch):
    assert main(command(tiny_data, tmp_path, TRAIN__ENABLE=False)) == 0
    before = (tmp_path / "results.json").read_bytes()
    results = sys.modules["trokens.engine.output"]
    write = results.write_json

    def limited_write(path, value):
        with limited(100):
            write(path, value)

    monkeypatch.setattr(results, "write_json", limited_write)
    assert main(command(tiny_data, tmp_path, TRAIN__ENABLE=False)) == 2
    assert capsys.readouterr().err.startswith(f"WriteError: {tmp_path}/results.json cannot be written (File too large)")
    assert (tmp_path / "results.json").read_bytes() == before


def test_a_log_that_takes_no_lines_is_said_once_and_the_run_goes_on(tiny_data, tmp_path, capfd):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    assert main(command(tiny_data, tmp_path)) == 0
    out, err = capfd.readouterr()
    assert err == "" and out.count("log.txt takes no more lines (No space left on device); the console goes on.") == 1
    assert "Results: " in out


def test_a_console_that_takes_no_lines_does_not_end_the_run(tiny_data, tmp_path):
    code = (f"import sys; sys.path[:0] = {sys.path!r}\nfrom trokens.runtime.command import end_with\n"
            "from trokens.cli.train import main\nend_with(lambda: main(sys.argv[1:]))")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code, *command(tiny_data, tmp_path)], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Results: " in (tmp_path / "log.txt").read_text()


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    log = RunLog(tmp_path)
    record = {"phase": "train", "epoch": 0, "step": 1, "global_step": 1}
    log.write(record)
    with limited(len(json.dumps(record)) + 20), pytest.raises(OSError, match=r"metrics.jsonl cannot be written \(File"):
        log.write(record)
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [record]


def test_leftovers_of_killed_runs_are_removed(tiny_data, tmp_path):
    folder = checkpoint_dir(tmp_path)
    folder.mkdir()
    for path in (folder / "checkpoint_best.pyth.partial", folder / ".checkpoint_best.pyth.00112233.tmp",
                 tmp_path / ".results.json.00112233.tmp"):
        path.write_bytes(b"half")
    assert main(command(tiny_data, tmp_path, TRAIN__ENABLE=False)) == 0
    assert left(tmp_path) == {"episodes.jsonl", "predictions.jsonl", "results.json"} and not os.listdir(folder)


@pytest.mark.parametrize("kind", ["bank", "features", "clips"])
def test_a_cache_without_room_is_one_sentence_or_stays_empty(tiny_data, tmp_path, small_disk, fill, capsys, kind):
    options = {"bank": {"TEST__BANK": "disk", "TEST__BANK_DIR": small_disk, "TRAIN__ENABLE": False},
               "features": {"MODEL__FEATURE_CACHE": small_disk},
               "clips": {"DATA__CLIP_CACHE": small_disk, "TRAIN__ENABLE": False}}[kind]
    fill(2000)
    code = main(command(tiny_data, tmp_path, APPEARANCE, **options))
    captured = capsys.readouterr()
    if kind == "clips":  # it takes no part in the result
        assert code == 0 and captured.err == "" and captured.out.count("takes no more clips") == 1
    else:
        assert code == 2 and captured.err.startswith(f"ValueError: {small_disk}/") and captured.err.count("\n") == 1
        assert {"bank": "set TEST.BANK_DIR", "features": "set MODEL.FEATURE_CACHE"}[kind] in captured.err
    assert not [path.name for path in small_disk.rglob("*") if path.suffix in (".bank", ".json", ".tmp", ".raw")]
    (small_disk / "fill").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code = main(command(tiny_data, tmp_path, APPEARANCE, **options))
    captured = capsys.readouterr()
    if kind == "clips":
        assert code == 0 and captured.out.count("takes no more clips") == 1
    else:
        assert code == 2 and captured.err.startswith(f"WriteError: {small_disk}/") and captured.err.count("\n") == 1
        assert captured.err.endswith("cannot be written (Read-only file system); choose a folder that can be written "
                                     "to.\n")


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/nowhere/x")])
def test_what_is_in_the_checkpoints_way_is_found_before_training(tiny_data, tmp_path, capsys, make):
    make(tmp_path / "checkpoints")
    assert main(command(tiny_data, tmp_path)) == 2
    assert capsys.readouterr().err == (f"WriteError: {tmp_path}/checkpoints/checkpoint_best.pyth cannot be written "
                                       "(File exists); move the file that is in the way, or choose another folder.\n")
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_limit_of_a_files_size_is_found_before_training(tiny_data, tmp_path, capsys):
    with limited(50_000):
        assert main(command(tiny_data, tmp_path)) == 2
    assert "checkpoint_best.pyth cannot be written (File too large); raise the limit" in capsys.readouterr().err
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_bank_that_has_no_place_is_found_before_training(tiny_data, tmp_path, capsys):
    (tmp_path / "bank").touch()
    for folder in ("bank", "bank/below"):
        assert main(command(tiny_data, tmp_path, TEST__BANK="disk", TEST__BANK_DIR=tmp_path / folder)) == 2
        assert capsys.readouterr().err.startswith(f"WriteError: {tmp_path / folder}/test.bank cannot be written (")
    assert not (tmp_path / "metrics.jsonl").exists()


def test_records_of_other_json_are_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('[1]\n5\nnull\n"x"\n{"phase": "val", "epoch": null, "step": 0}\n'
                                            '{"phase": "train", "epoch": 0, "step": 1}\n')
    RunLog(tmp_path).begin((1, 0))
    assert figures(tmp_path) == [{"phase": "train", "epoch": 0, "step": 1}]


@pytest.mark.parametrize(("option", "value"), [
    ("TEST__TEST_EPOCH_NUM", 9), ("TEST__CHECKPOINT_FILE_PATH", "checkpoint_epoch_00009.pyth"),
    ("TEST__CHECKPOINT_FILE_PATH", "my_checkpoint.pyth"), ("TEST__TEST_EPOCH_NUM", 1)])
def test_a_test_of_what_training_will_not_write_is_refused_before_it(tiny_data, tmp_path, capsys, option, value):
    path = checkpoint_dir(tmp_path) / (value if isinstance(value, str) else f"checkpoint_epoch_{value:05d}.pyth")
    changes = {option: path if isinstance(value, str) else value}
    assert main(command(tiny_data, tmp_path, TRAIN__CHECKPOINT_PERIOD=2, SOLVER__MAX_EPOCH=3, **changes)) == 2
    option = option.replace("__", ".")
    assert capsys.readouterr().err == (
        f"FileNotFoundError: {option} asks for {path}, which is not there, and which this training does not write "
        f"(SOLVER.MAX_EPOCH 3, TRAIN.CHECKPOINT_PERIOD 2); correct {option}.\n")
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("number", [2, 3])
def test_a_test_of_what_training_will_write_is_taken(tiny_data, tmp_path, number):
    cfg = tiny_cfg(tiny_data, tmp_path, TRAIN__CHECKPOINT_PERIOD=2, SOLVER__MAX_EPOCH=3, TEST__TEST_EPOCH_NUM=number)
    assert run_experiment(cfg, torch.device("cpu"))["checkpoint"].endswith(f"checkpoint_epoch_0000{number}.pyth")


def test_a_matcher_that_is_not_there_is_found_before_anything_is_computed(tiny_data, tmp_path, capsys):
    assert main(command(tiny_data, tmp_path, FEW_SHOT__MATCHER="otamm", TRAIN__ENABLE=False)) == 2
    assert capsys.readouterr().err == (
        "ValueError: Unknown matcher 'otamm'. Did you mean 'otam'? Known: bi_mhm, hyrsm, otam, prototype_cosine, "
        "prototype_squared, team, trx, tsn.\n")
    assert not (tmp_path / "config.yaml").exists()


@pytest.mark.parametrize("text", [
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.2 GiB is free.",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "16000000000000 bytes. Error code 12 (Cannot allocate memory)", ""])
def test_too_little_memory_is_one_sentence(tiny_data, tmp_path, capsys, monkeypatch, text):
    def fails(run, model, log):
        raise RuntimeError(text) if text else MemoryError

    monkeypatch.setattr("trokens.engine.run.train", fails)
    assert main(command(tiny_data, tmp_path)) == 2
    captured = capsys.readouterr()
    what = ("The GPU has no memory for 2.50 GiB more" if "GPU" in text else
            f"The machine has no memory for {'16000000000000 bytes' if text else 'what the run takes'} more")
    assert captured.err.startswith(f"MemoryError: {what}; lower FEW_SHOT.TRAIN_QUERY_PER_CLASS")
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.out


@pytest.mark.parametrize(("error", "sentence"), [
    (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a/b"),
     "/a/b cannot be used (Permission denied); change its permissions, or give another path."),
    (IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), b"/a"),
     "/a cannot be used (Is a directory); correct its path, or what lies there."),
    (FileNotFoundError("No checkpoint at x."), "No checkpoint at x."), (ValueError("x"), "x")])
def test_what_the_system_says_of_a_path_is_told_in_words(error, sentence):
    assert in_words(error) == sentence
