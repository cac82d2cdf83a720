"""One command in a folder at a time, whatever became of those before."""

import fcntl
import json
import multiprocessing
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from trokens.runtime import lock
from trokens.runtime.files import WriteError
from trokens.runtime.lock import InUse, Owner, folder_lock, refuse_if_locked

REMEDY = "take another folder"
CONTEXT = multiprocessing.get_context("fork")


def hold(folder: Path, pipe) -> None:
    with folder_lock(folder, remedy=REMEDY):
        pipe.send("held")
        pipe.recv()


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=hold, args=(tmp_path / "out", theirs), daemon=True)
    process.start()
    assert ours.recv() == "held"
    process.pipe = ours
    yield tmp_path / "out", process
    process.kill()


def take(folder: Path) -> None:
    with folder_lock(folder, remedy=REMEDY):
        assert Owner(**json.loads((folder / "run.lock").read_text())).pid == os.getpid()
    assert not (folder / "run.lock").exists()


@pytest.mark.parametrize(("make", "cause"), [
    (lambda path: path.mkdir(), "Is a directory"), (os.mkfifo, "it is a device or a pipe"),
    (lambda path: path.symlink_to("/nowhere/x"), "No such file or directory")])
def test_what_is_in_the_locks_place_is_named(tmp_path, make, cause):
    make(tmp_path / "run.lock")
    refuse_if_locked(tmp_path, remedy=REMEDY)
    with pytest.raises(WriteError, match=rf"^{tmp_path}/run.lock cannot be written \({cause}\); "):
        take(tmp_path)


def test_the_second_one_is_told_who_was_first(held):
    folder, process = held
    with pytest.raises(InUse) as error:
        take(folder)
    sentence = re.fullmatch(
        r"(.*) is in use by process (\d+) on (.*) since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \((.*)\); wait for it, end it "
        r"\(kill (\d+)\), or take another folder\.", str(error.value))
    assert sentence[1] == str(folder) and sentence[2] == sentence[5] == str(process.pid)
    assert sentence[3] == socket.gethostname() and "pytest" in sentence[4]
    process.pipe.send("end")
    process.join()
    take(folder)


def test_a_killed_one_holds_nothing(held):
    folder, process = held
    process.kill()
    process.join()
    assert (folder / "run.lock").exists()
    take(folder)


def child_of_holder(folder: Path, pipe) -> None:
    with folder_lock(folder, remedy=REMEDY):
        child = CONTEXT.Process(target=signal.pause)
        child.start()
        pipe.send(child.pid)
        signal.pause()


def test_a_killed_one_holds_nothing_though_its_child_lives(tmp_path):
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=child_of_holder, args=(tmp_path, theirs))
    process.start()
    child = ours.recv()
    try:
        process.kill()
        process.join()
        take(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)


def test_one_that_writes_itself_down_late_is_named_or_not(held):
    folder, _ = held
    (folder / "run.lock").write_text("")
    with pytest.raises(InUse, match=r"out is in use by another process; wait for it, or take another folder\.$"):
        take(folder)


def test_a_file_that_is_gone_is_no_lock(held):
    folder, process = held
    (folder / "run.lock").unlink()
    with folder_lock(folder, remedy=REMEDY):
        process.pipe.send("end")
        process.join()
        assert (folder / "run.lock").exists()  # it is not the other one's


@pytest.fixture
def far_away(tmp_path, monkeypatch):
    """A folder that another machine's command has left, on a file system whose locks are not seen here."""
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.3)
    owner = Owner("elsewhere", 7, "2024-01-01 00:00:00", "run_net.py")
    (tmp_path / "run.lock").write_text(json.dumps(owner._asdict()))
    return tmp_path


def test_another_machine_s_command_is_dead_without_a_sign_of_life(far_away, caplog):
    take(far_away)
    assert "run.lock was left by process 7 on elsewhere: waiting 0 s for a sign of life." in caplog.text


def test_another_machine_s_command_is_alive_with_one(far_away, monkeypatch):
    times = iter(range(100))
    monkeypatch.setattr(lock, "_changed", lambda path: next(times))
    with pytest.raises(InUse, match=r"by process 7 on elsewhere since .*; wait for it, end it there, or remove "
                                    r".*/run\.lock if that machine is gone, or take another folder\.$"):
        take(far_away)


def test_where_there_are_no_locks_a_sign_of_life_counts_on_the_same_machine_too(tmp_path, monkeypatch):
    def no_locks(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.3)
    take(tmp_path)
    (tmp_path / "run.lock").write_text(json.dumps(Owner.this()._asdict()))
    times = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(lock, "_changed", lambda path: next(times))
        with pytest.raises(InUse):
            take(tmp_path)
    take(tmp_path)


def test_an_owner_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    with folder_lock(tmp_path, remedy=REMEDY):
        first = lock._changed(tmp_path / "run.lock")
        while lock._changed(tmp_path / "run.lock") == first:
            pass


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"/file cannot be written \(File exists\); move the file that is in the way"):
        take(tmp_path / "file")
    with pytest.raises(WriteError, match=r"/proc/x cannot be written \(No such file or directory\); choose a folder"):
        take(Path("/proc/x"))
