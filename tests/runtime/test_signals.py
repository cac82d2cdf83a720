"""How commands end when they are asked to: in order at the first signal, at once at the second."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, TIMEOUT, wait_until_gone

from trokens.runtime.signals import Requests

# Works until it is stopped, in a child too; or waits where no handler of Python's is called, as in a collective.
WORKS = """
import time
from multiprocessing import get_context
from trokens.runtime.command import end_with, run_command
from trokens.runtime.signals import handled

def work():
    child = get_context("fork").Process(target=time.sleep, args=(1000,), daemon=True)
    child.start()
    print(child.pid, flush=True)
    {wait}

end_with(lambda: run_command(work, "Interrupted. It goes on from here."))
"""
IN_PYTHON = "time.sleep(1000)"
IN_C = """
    import ctypes
    mutex, lock = ctypes.create_string_buffer(128), ctypes.CDLL(None).pthread_mutex_lock
    with handled(lambda *signal: None):  # as in training, which ends after its step
        lock(mutex), print("waits", flush=True), lock(mutex)
"""


def start(wait: str, **options) -> subprocess.Popen:
    run = subprocess.Popen([sys.executable, "-c", WORKS.format(wait=wait)], cwd=ROOT, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    run.child = int(run.stdout.readline())
    return run


def send(run: subprocess.Popen, number: int) -> None:
    """Send a signal and wait until it has come: two equal ones that wait are one."""
    run.send_signal(number)
    waiting = 1 << (number - 1)
    while waiting:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{run.pid}/status").read_text().splitlines())
        waiting &= int(status["ShdPnd"], 16)


@pytest.mark.parametrize(("number", "code"), [
    (signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_signal_ends_a_command_in_one_line_with_its_children(number, code):
    run = start(IN_PYTHON)
    run.send_signal(number)
    assert run.communicate(timeout=TIMEOUT)[1] == "Interrupted. It goes on from here.\n"
    assert run.returncode == code
    wait_until_gone(run.child)


@pytest.mark.parametrize(("first", "second"), [
    (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_a_second_signal_ends_what_hears_no_first_one(first, second):
    run = start(IN_C)
    assert run.stdout.readline() == "waits\n"
    send(run, first)
    run.send_signal(second)
    assert run.communicate(timeout=TIMEOUT)[1] == "Interrupted. It goes on from here.\n"
    assert run.returncode in (130, 143)  # two threads may note the two at the same time
    wait_until_gone(run.child)


def test_nohup_lets_a_command_outlive_its_terminal():
    run = start(IN_PYTHON, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    send(run, signal.SIGHUP)
    run.send_signal(signal.SIGTERM)
    assert run.communicate(timeout=TIMEOUT)[1] == "Interrupted. It goes on from here.\n"
    assert run.returncode == 143


def test_a_command_that_is_started_with_closed_streams_has_others():
    """Else its first file would be what libraries write their complaints into."""
    code = ("import sys; from trokens.runtime.command import end_with; end_with(lambda: "
            "3 if open('/dev/null').fileno() > 2 and not sys.stderr.isatty() and not sys.stdout.isatty() else 4)")
    assert subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code],
                          cwd=ROOT).returncode == 3


def test_a_child_that_is_stopped_does_not_hold_its_command_up():
    run = start(IN_PYTHON)
    subprocess.run(["kill", "-STOP", str(run.child)], check=True)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=TIMEOUT)
    assert run.returncode == 143
    wait_until_gone(run.child)


def test_a_launcher_and_a_scheduler_may_both_ask(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("trokens.runtime.signals.time.monotonic", lambda: now[0])

    def answers(*signals: tuple[float, int]) -> list[bool]:
        requests = Requests()
        found = []
        for now[0], number in signals:
            found.append(requests.is_second(number))
        return found

    term, interrupt = signal.SIGTERM, signal.SIGINT
    assert answers((0, term), (0.5, term), (1.9, term), (2.1, term)) == [False, False, False, True]
    assert answers((0, interrupt), (0.1, interrupt)) == [False, True]
    assert answers((0, term), (0.1, interrupt)) == [False, True]
    monkeypatch.setenv("RANK", "0")  # the launcher passes on what the terminal sends to all
    assert answers((0, interrupt), (0.1, interrupt), (2.1, interrupt)) == [False, False, True]
