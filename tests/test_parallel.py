import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trokens.parallel import parallel_map

ROOT = Path(__file__).resolve().parents[1]


def test_every_item_has_its_result_and_an_error_ends_the_map():
    assert list(parallel_map(abs, [-1, 2], 0)) == [(-1, 1), (2, 2)]
    assert list(parallel_map(abs, [], 4)) == []
    assert sorted(parallel_map(abs, range(-20, 0), 2)) == [(i, -i) for i in range(-20, 0)]
    results = parallel_map(abs, [-1, "x", *range(100)], 1)
    assert next(results) == (-1, 1)
    with pytest.raises(TypeError, match="str"):
        next(results)


def test_an_item_that_takes_its_process_with_it_is_the_only_one_lost(caplog):
    assert sorted(parallel_map(exit_at_seven, range(12), 2, died="died"), key=str) == sorted(
        ((i, "died" if i == 7 else i) for i in range(12)), key=str)
    assert "A worker process died" in caplog.text


def exit_at_seven(item: int) -> int:
    if item == 7:
        os._exit(1)
    return item


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = ("import os, sys, time\nfrom trokens.parallel import parallel_map\n"
            "results = parallel_map(os.mkdir, sys.argv[1:], 2)\nnext(results), time.sleep(60)")
    made = [tmp_path / name for name in "abc"]
    script = subprocess.Popen([sys.executable, "-c", code, *made], cwd=ROOT, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not all(path.exists() for path in made):
            assert script.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        script.kill()
        script.wait()
        with pytest.raises(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(script.pid, 0)  # its session still has a process
                time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)
