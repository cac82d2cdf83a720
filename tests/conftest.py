"""Fixtures shared by all tests."""

import logging
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import tiny
import torch
import videos

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"needs {name} numbers or clips, which are not part of the project")
    return SHARED / name


@pytest.fixture
def golden() -> Path:
    """The folder of all golden numbers."""
    return _shared("golden")


@pytest.fixture
def small_golden() -> Path:
    """The folder of those golden numbers that fit into the project; see its README."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The folder of real videos."""
    return _shared("clips")


@pytest.fixture
def few_shot_info() -> Path:
    """The folder of the benchmarks' real split lists."""
    return _shared("few_shot_info")


@pytest.fixture
def faults() -> Path:
    """The folder of inputs that once gave wrong results, tracebacks or hangs."""
    return _shared("faults")


@pytest.fixture
def clip(tmp_path) -> Path:
    """A sound H.264 file of ``videos.NUM_FRAMES`` frames, with B-frames."""
    return videos.encode(tmp_path / "clip.mp4", **{"x264-params": videos.X264})


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB, for who may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True).returncode:
        pytest.skip("no right to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def fill(small_disk):
    """Fill the disk up to so many bytes."""
    def fill(free: int) -> None:
        (small_disk / "fill").unlink(missing_ok=True)
        (small_disk / "fill").write_bytes(bytes(shutil.disk_usage(small_disk).free - free))

    return fill


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """A tiny data set of rendered clips with exact tracks, see ``tiny.render``."""
    return tiny.render(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Results and run times comparable between machines; on a busy one, threads wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _hears_signals():
    """A shell that starts the tests in the background makes them, and all that they start, ignore Ctrl-C; so does nohup
    with the end of the terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _logs_for_itself():
    """Each test logs as if it were the first: a command's handlers write to streams that its test closes."""
    yield
    root = logging.getLogger()
    for handler in list(root.handlers):
        if not type(handler).__module__.startswith("_pytest."):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(logging.WARNING)
    logging.getLogger("trokens").setLevel(logging.NOTSET)
