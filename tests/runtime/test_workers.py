"""Loader processes that are stopped, killed or stuck, and shared memory that is full."""

import os
import re
import signal
import subprocess
import sys
from multiprocessing import active_children

import pytest
import torch
from processes import ROOT, TIMEOUT, wait_for, wait_until_gone
from tiny import APPEARANCE, command, main
from torch.utils.data import Dataset
from torch.utils.data._utils import MP_STATUS_CHECK_INTERVAL

from trokens.runtime import workers
from trokens.runtime.machine import LostProcess, state_of
from trokens.runtime.workers import SteadyLoader, check_shared_memory, kept_bytes, lost_worker


class Items(Dataset):
    """Reading a negative number does something to the reader."""

    def __getitem__(self, item: int) -> int:
        if item < 0:
            {-1: lambda: os.kill(os.getpid(), signal.SIGSTOP), -2: signal.pause,
             -3: lambda: os.kill(os.getpid(), signal.SIGKILL), -4: lambda: os._exit(3)}[item]()
        return item


@pytest.fixture
def loader(monkeypatch):
    """Makes loaders of some items that look often; what they leave is ended."""
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # for those that do not end
    before = set(active_children())
    yield lambda items, **options: SteadyLoader(Items(), sampler=items, batch_size=None, **{
        "num_workers": 1, "patience": 1000, **options})
    heard = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch raises an error at any line
    for child in set(active_children()) - before:
        child.kill()
        child.join()
    signal.signal(signal.SIGCHLD, heard)


def test_sound_workers_are_left_alone(loader):
    steady = loader(range(20), num_workers=2, persistent_workers=True)
    assert list(steady) == list(steady) == list(range(20))
    assert list(loader(range(5), num_workers=0)) == list(loader(range(5), patience=0)) == list(range(5))
    assert MP_STATUS_CHECK_INTERVAL == 5 == 100 * workers.LOOK_SECONDS


def test_a_worker_that_is_stopped_is_named(loader):
    with pytest.raises(LostProcess, match=r"^No batch came for 0 s, and loader process 0 \(pid \d+\) is stopped "
                                          r"\(SIGSTOP\); the same command goes on from the last checkpoint\.$"):
        list(loader([-1]))


def test_a_worker_that_was_stopped_between_two_epochs_is_named(loader):
    steady = loader([1, 2], persistent_workers=True)
    assert list(steady) == [1, 2]
    worker, = steady._iterator._workers
    os.kill(worker.pid, signal.SIGSTOP)
    wait_for(lambda: state_of(worker.pid) == "is stopped", "the stop")
    with pytest.raises(LostProcess, match=rf"loader process 0 \(pid {worker.pid}\) is stopped"):
        list(steady)


def test_a_worker_that_gives_nothing_in_time_is_named(loader):
    with pytest.raises(LostProcess, match=r"^No batch came for 0 s, the limit of DATA_LOADER\.TIMEOUT, while loader "
                                          r"process 0 \(pid \d+\) waits; check the disk of the videos, or raise DATA_"):
        list(loader([-2], patience=0.1))


@pytest.mark.parametrize(("item", "how"), [
    # at times torch's own handler is called where Python lets no error rise, and then it sees the end alone
    (-3, r"(has ended|was killed by a signal \(Killed\), as the system does where memory is short: lower DATA_LOADER\."
         r"NUM_WORKERS)"), (-4, "has ended")])
def test_a_worker_that_died_is_named(loader, item, how):
    with pytest.raises(RuntimeError) as error:
        list(loader([item]))
    assert re.fullmatch(rf"A loader process \(pid \d+\) {how}; the same command goes on from the last checkpoint\.",
                        str(lost_worker(error.value)))


def test_other_errors_are_no_worker_s():
    assert lost_worker(RuntimeError("DataLoader is fine")) is None and lost_worker(ValueError("x")) is None
    full = RuntimeError("DataLoader worker (pid 5) is killed by signal: Bus error. It is possible that dataloader's "
                        "workers are out of shared memory. Please try to raise your shared memory limit.")
    assert str(lost_worker(full)).startswith("A loader process (pid 5) found no room for its clips: shared memory (")


def test_a_worker_ends_with_its_main_process():
    code = ("import os, signal, sys\nsys.path[:0] = ['tests', 'tests/runtime', 'tests/engine']\n"
            "from test_workers import Items\n"
            "from trokens.runtime.workers import SteadyLoader\n"
            "batches = iter(SteadyLoader(Items(), sampler=[1, -2], batch_size=None, num_workers=1))\n"
            "next(batches), print(batches._workers[0].pid, flush=True), signal.pause()")
    script = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        worker = int(script.stdout.readline())
        script.kill()
        wait_until_gone(worker)
    finally:
        script.kill()


def test_what_workers_keep_is_compared_with_what_is_free(tmp_path, monkeypatch):
    free = [100 * 2**20]
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda path: type("", (), {"free": free[0]}))
    assert kept_bytes(2**20, 4) == 10 * 2**20 and kept_bytes(2**20, 0) == 0
    check_shared_memory(2**20, 49)
    check_shared_memory(2**30, 0)
    more = (r"MB of clips in shared memory, and /dev/shm has 100 MB free; give the container more \(docker run "
            r"--shm-size 8g, or --ipc=host\), or set DATA_LOADER\.NUM_WORKERS ")
    with pytest.raises(ValueError, match=rf"^Loader processes keep up to 102 {more}49\.$"):
        check_shared_memory(2**20, 50)
    with pytest.raises(ValueError, match=rf"^Loader processes keep up to 232 {more}17\.$"):
        check_shared_memory(2**20, 50, beside=10 * 2**20 + 2**22, processes=2)
    with pytest.raises(ValueError, match=rf"^Loader processes keep up to 240 {more}0\.$"):
        check_shared_memory(60 * 2**20, 1)
    monkeypatch.setattr(workers, "SHARED_MEMORY", tmp_path / "none")  # as on macOS
    check_shared_memory(60 * 2**20, 1)


def test_a_run_that_would_fill_shared_memory_is_refused(tiny_data, tmp_path, small_disk, monkeypatch, capsys):
    monkeypatch.setattr(workers, "SHARED_MEMORY", small_disk)
    options = APPEARANCE | {"DATA.TRAIN_CROP_SIZE": 128, "DATA_LOADER.NUM_WORKERS": 1, "MODEL.CACHE_GB": 0}
    assert main(command(tiny_data, tmp_path, options)) == 2
    size = 6 * 4 * (3 * 128 * 128 + 80) * 4 + 4 * (3 * 128 * 128 + 80) * 4  # episodes, clips of the validation
    assert capsys.readouterr().err == (
        f"ValueError: Loader processes keep up to {size / 2**20:.0f} MB of clips in shared memory, and {small_disk} "
        "has 1 MB free; give the container more (docker run --shm-size 8g, or --ipc=host), or set DATA_LOADER."
        "NUM_WORKERS 0.\n")
    assert main(command(tiny_data, tmp_path, options, DATA_LOADER__NUM_WORKERS=0)) == 0


@pytest.mark.parametrize("checked", [True, False])
def test_a_container_with_little_shared_memory_ends_in_one_sentence(tiny_data, tmp_path, checked):
    mount = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/dev/shm"]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a disk")
    late = "" if checked else (
        "import trokens.clips.loader as one, trokens.engine.run as two\n"
        "one.check_shared_memory = two.check_shared_memory = lambda *args, **options: None\n")
    code = (f"import sys\nsys.path[:0] = [{str(ROOT)!r}]\n{late}from trokens.runtime.command import end_with\n"
            "from trokens.cli.train import main\nend_with(lambda: main(sys.argv[1:]))")
    arguments = command(tiny_data, tmp_path, APPEARANCE | {"DATA.TRAIN_CROP_SIZE": 224, "MODEL.CACHE_GB": 0},
                        DATA_LOADER__NUM_WORKERS=1)
    script = 'mount -t tmpfs -o size=2m none /dev/shm && exec "$@"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code, *arguments],
                          capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("ValueError: Loader processes keep up to " if checked else
                                  "ValueError: A loader process found no room for its clips: shared memory (/dev/shm) ")
    assert "docker run --shm-size 8g, or --ipc=host), or set DATA_LOADER.NUM_WORKERS 0.\n" in done.stderr


def test_a_batch_of_the_main_process_is_not_shared():
    item = torch.zeros(3)
    assert workers.share(item) is item and not item.is_shared()
