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


def test_items_come_in_their_order_and_an_error_ends_the_map():
    assert list(parallel_map(abs, [-1, 2], 1)) == [1, 2] and list(parallel_map(abs, [], 4)) == []
    results = parallel_map(abs, [-1, -2, "x", 4], 2)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(TypeError, match="str"):
        next(results)


def test_a_process_that_dies_is_named():
    with pytest.raises(RuntimeError, match="A process died"):
        list(parallel_map(os._exit, [1, 1], 2))


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
