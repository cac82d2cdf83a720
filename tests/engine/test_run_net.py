"""tools/run_net.py as users and machines treat it: started, killed, started again, and under torchrun."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from multiprocessing import get_context, set_start_method
from pathlib import Path

import pytest
import torch
from processes import PRELOAD, RUN_NET, TIMEOUT, descendants, finish, free_port, start, wait_for, wait_until_gone
from tiny import APPEARANCE, ENDLESS, LONGER, assert_same_run, command, figures, records, tiny_cfg

from trokens.cli.train import main
from trokens.engine.run import run_experiment
from trokens.models.checkpoint import INTERRUPTED, checkpoint_dir, load_checkpoint
from trokens.runtime.command import end_with


def wait_for_lines(process, folder: Path, count: int) -> None:
    """Return as soon as the run has logged so many lines of training, or has ended."""
    log = folder / "log.txt"
    is_alive = process.is_alive if hasattr(process, "is_alive") else lambda: process.poll() is None

    def lines() -> int:
        return len(log.read_text().partition("Memory ")[2].splitlines()) if log.is_file() else 0

    wait_for(lambda: lines() > count or not is_alive(), f"line {count} of the log")


@pytest.fixture(scope="module")
def undisturbed(tiny_data, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    run_experiment(tiny_cfg(tiny_data, folder, LONGER), torch.device("cpu"))
    return folder


def test_a_run_killed_from_outside_ends_like_an_undisturbed_one(tiny_data, tmp_path, undisturbed):
    folder = tmp_path / "out"
    for number, lines, expected in ((signal.SIGKILL, 1, {-9, 0}), (signal.SIGTERM, 2, {143, 0})):
        run = start(command(tiny_data, folder, LONGER, DATA_LOADER__NUM_WORKERS=2))
        wait_for_lines(run, folder, lines)
        (folder / "log.txt").unlink()  # of the run before the next one
        os.killpg(run.pid, number)  # the loader's processes too
        code, _, err = finish(run)
        assert code in expected and "Warning" not in err, err
        if code == 143:
            assert "the same command goes on from the" in err and "Traceback" not in err
            assert (checkpoint_dir(folder) / INTERRUPTED).is_file() or "and 0 steps" in err or "Stopped. " in err
    run_experiment(tiny_cfg(tiny_data, folder, LONGER), torch.device("cpu"))
    assert_same_run(undisturbed, folder)


def quick_start(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    set_start_method("fork", force=True)  # of the loader's workers, as outside of a fork server
    end_with(lambda: main(arguments))


def test_a_run_killed_again_and_again_ends_like_an_undisturbed_one(tiny_data, tmp_path, undisturbed):
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    arguments = command(tiny_data, tmp_path, LONGER)
    kill, term = signal.SIGKILL, signal.SIGTERM
    for number, lines in ((kill, 0), (term, 3), (kill, 2), (term, 0), (kill, 5), (term, 4), (None, 0)):
        process = context.Process(target=quick_start, args=(arguments,), daemon=True)
        process.start()
        if number is not None:
            wait_for_lines(process, tmp_path, lines)
            (tmp_path / "log.txt").unlink()  # of the run before the next one
            os.kill(process.pid, number)
        process.join(TIMEOUT)
        assert process.exitcode in {signal.SIGKILL: (-9, 0), signal.SIGTERM: (143, 0), None: (0,)}[number]
    assert_same_run(undisturbed, tmp_path)


def test_a_second_run_in_the_same_folder_ends_at_once(tiny_data, tmp_path, capsys):
    run = start(command(tiny_data, tmp_path, ENDLESS))
    try:
        wait_for(lambda: records(tmp_path), "training")
        names = sorted(path.name for path in tmp_path.rglob("*"))
        for changes in ({}, {"TRAIN__ENABLE": False}):
            assert main(command(tiny_data, tmp_path, ENDLESS, **changes)) == 2
            assert re.fullmatch(rf"InUse: {tmp_path} is in use by process {run.pid} on .* since .* \(.*run_net.py .*\);"
                                rf" wait for it, end it \(kill {run.pid}\), or choose another OUTPUT_DIR\.\n",
                                capsys.readouterr().err)
        assert sorted(path.name for path in tmp_path.rglob("*")) == names
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=TIMEOUT)
    finally:
        run.kill()
    assert main(command(tiny_data, tmp_path, SOLVER__MAX_EPOCH=2)) == 0
    assert not (tmp_path / "run.lock").exists()


def test_a_terminal_that_is_closed_stops_training_in_good_order(tiny_data, tmp_path):
    """Nothing can be said there any more, not even by a progress bar; log.txt tells."""
    ours, terminal = os.openpty()
    os.set_blocking(ours, False)
    run = subprocess.Popen([sys.executable, str(RUN_NET), *command(tiny_data, tmp_path, ENDLESS)], stdin=terminal,
                           stdout=terminal, stderr=terminal, start_new_session=True,
                           preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(terminal)

    def trains() -> int:
        with suppress(BlockingIOError):  # a terminal that nobody reads is full soon
            os.read(ours, 2**16)
        return records(tmp_path)

    try:
        wait_for(trains, "training")
        os.close(ours)
        assert run.wait(TIMEOUT) == 143
    finally:
        run.kill()
    assert (checkpoint_dir(tmp_path) / INTERRUPTED).is_file() and not (tmp_path / "run.lock").exists()
    log = (tmp_path / "log.txt").read_text()
    assert "SIGHUP: stopping after this step." in log and log.endswith("the same command goes on from there.\n")


def test_nothing_trains_on_where_torchrun_was_killed(tiny_data, tmp_path):
    port = free_port()
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    arguments = command(tiny_data, tmp_path, ENDLESS, DATA_LOADER__NUM_WORKERS=1)
    run = start(arguments, launcher)
    try:
        wait_for(lambda: records(tmp_path), "training")
        family = descendants(run.pid)
        assert len(family) >= 4  # two processes, each with one of a loader
        second = start(arguments, [*launcher[:-1], f"--master_port={free_port()}"])
        code, _, err = finish(second)
        assert code == 1 and err.count("is in use by process") == 1 and "run_net.py\", line" not in err
        run.send_signal(signal.SIGKILL)
        for pid in family:
            wait_until_gone(pid)
        _, err = run.communicate(timeout=TIMEOUT)
        assert "Traceback" not in err and err.count("the same command goes on from there.") == 1
    finally:
        run.kill()
    stopped = load_checkpoint(checkpoint_dir(tmp_path) / INTERRUPTED)
    assert (stopped["epoch"], stopped["step"]) > (-1, 0)  # it may have been between two epochs


def test_a_run_that_fails_ends_with_its_workers(tiny_data, tmp_path):
    process = get_context("forkserver").Process(target=quick_start, args=(command(
        tiny_data, tmp_path, DATA_LOADER__NUM_WORKERS=2, SOLVER__BASE_LR=1e38, SOLVER__OPTIMIZING_METHOD="sgd"),))
    process.start()
    process.join(TIMEOUT)
    assert process.exitcode == 2  # FloatingPointError
    log = (tmp_path / "log.txt").read_text()
    assert "epoch 1 step 3/3" in log and "FloatingPointError: Loss is" in log and "Traceback" not in log


def test_the_published_command_runs_under_torchrun(tiny_data, tmp_path):
    port = free_port()
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    published = ["--init_method", "env://", "--new_dist_init"]
    run = start([*published, *command(tiny_data, tmp_path / "two", APPEARANCE, MASTER_PORT=port, NUM_GPUS=2,
                                      MODEL__BACKBONE_BATCH=5)], launcher)
    code, out, err = finish(run)
    assert (code, err) == (0, "") and "Warning" not in out  # a normal run is quiet
    two = json.loads((tmp_path / "two/results.json").read_text())
    assert two["processes"] == 2 and out == (tmp_path / "two/log.txt").read_text()  # one process speaks
    assert f"Results: {tmp_path / 'two/results.json'}" in out
    assert len([r for r in figures(tmp_path / "two") if r["phase"] == "val"]) == 2
    cfg = tiny_cfg(tiny_data, tmp_path / "one", APPEARANCE, TRAIN__ENABLE=False, MODEL__BACKBONE_BATCH=5,
                   TEST__CHECKPOINT_FILE_PATH=two["checkpoint"])
    one = run_experiment(cfg, torch.device("cpu"))
    own = {key: one[key] for key in ("commit", "config_hash", "command")}
    assert {**two, "processes": 1, **own} == one
    assert load_checkpoint(two["checkpoint"])["best"]["accuracy"] > 0
