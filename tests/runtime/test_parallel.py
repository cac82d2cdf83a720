import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import popen_spawn_posix
from pathlib import Path

import pytest
from processes import ROOT, descendants, wait_for, wait_until_gone

from trokens.runtime import parallel
from trokens.runtime.files import whole_file
from trokens.runtime.parallel import parallel_map
from trokens.runtime.signals import Stopped, handled, raise_stop


def test_every_item_has_its_result_and_an_error_ends_the_map():
    assert list(parallel_map(abs, [-1, 2], 0)) == [(-1, 1), (2, 2)]
    assert list(parallel_map(abs, [], 4)) == []
    assert sorted(parallel_map(abs, range(-20, 0), 2)) == [(i, -i) for i in range(-20, 0)]
    results = parallel_map(abs, [-1, "x", *range(100)], 1)
    assert next(results) == (-1, 1)
    with pytest.raises(TypeError, match="str"):
        next(results)


def test_an_item_that_takes_its_process_with_it_is_the_only_one_lost(caplog):
    assert sorted(parallel_map(exit_at_seven, range(12), 2, if_died="died"), key=str) == sorted(
        ((i, "died" if i == 7 else i) for i in range(12)), key=str)
    assert "A worker process died" in caplog.text


def exit_at_seven(item: int) -> int:
    if item == 7:
        os._exit(1)
    return item


def stop_at_seven(item: int) -> int:
    if item == 7:
        os.kill(os.getpid(), signal.SIGSTOP)
    return item


def test_an_item_that_stops_its_process_is_the_only_one_lost(monkeypatch):
    monkeypatch.setattr(parallel, "LOOK_SECONDS", 0.1)
    assert sorted(parallel_map(stop_at_seven, range(12), 2, if_died="died"), key=str) == sorted(
        ((i, "died" if i == 7 else i) for i in range(12)), key=str)


def write_half_or_fail(path: Path) -> None:
    """Fail when the other item is half written; that one never ends."""
    if path.name == "fails":
        while not list(path.parent.glob(".half.*.tmp")):
            time.sleep(0.01)
        raise ValueError("the disk is full")
    with whole_file(path) as unfinished:
        unfinished.write_text("half")
        signal.pause()


def test_an_error_ends_the_others_who_leave_nothing_half_written(tmp_path):
    with pytest.raises(ValueError, match="the disk is full"):
        list(parallel_map(write_half_or_fail, [tmp_path / "half", tmp_path / "fails"], 2))
    assert not list(tmp_path.iterdir())


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = ("import os, signal, sys\nfrom trokens.runtime.parallel import parallel_map\n"
            "results = parallel_map(os.mkdir, sys.argv[1:], 2)\nnext(results), next(results), signal.pause()")
    made = [tmp_path / name for name in "abc"]
    script = subprocess.Popen([sys.executable, "-c", code, *made], cwd=ROOT)
    try:
        wait_for(lambda: all(path.exists() for path in made), "the work")
        workers = descendants(script.pid)
        assert len(workers) >= 2
        script.kill()
        script.wait()
        for worker in workers:
            wait_until_gone(worker)
    finally:
        script.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_a_worker_starts_waits_until_it_has_started(number, monkeypatch, capfd):
    """Else the worker, which has not been told yet what it is for, ends in a traceback."""
    start, started = popen_spawn_posix.util.spawnv_passfds, []
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)

    def interrupted(path, arguments, fds):
        pid = start(path, arguments, fds)
        if "spawn_main" in " ".join(map(str, arguments)):
            started.append(pid)
            os.kill(os.getpid(), number)
            os.read(ear, 1)  # some thread has heard it
        return pid

    monkeypatch.setattr(popen_spawn_posix.util, "spawnv_passfds", interrupted)
    over = threading.Event()
    listener = threading.Thread(target=over.wait)  # as this process's main thread does not hear Ctrl-C meanwhile
    listener.start()
    before = signal.set_wakeup_fd(mouth)
    try:
        with handled(raise_stop), pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Stopped):
            list(parallel_map(abs, [-1], 1))
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        listener.join()
        os.close(ear)
        os.close(mouth)
    with contextlib.suppress(ChildProcessError):  # it has been waited for
        os.waitpid(started[0], 0)
    assert len(started) == 1 and capfd.readouterr().err == ""
