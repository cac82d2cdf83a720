"""The command `trokens` and the files of tools/ and point_tracking/, started as users start them."""

import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from processes import TIMEOUT, free_port

import trokens
from trokens.cli import COMMANDS, evaluate_tracker, points
from trokens.cli.train import parse_args
from trokens.points.tapvid import QUERIES
from trokens.runtime.command import run_command, written_out

ROOT = Path(__file__).resolve().parents[2]
TYPED = [(), *((command.name,) for command in COMMANDS), *(("points", command.name) for command in points.COMMANDS)]
HEAVY = ("torch", "torchvision", "timm", "av", "cv2", "numpy", "scipy", "sklearn", "matplotlib", "jinja2", "tqdm")
TOOLS = {"tools/run_net.py": "train", "tools/check_data.py": "check", "tools/make_splits.py": "splits",
         "tools/get_points.py": "get_points", "tools/convert_points.py": "convert_points",
         "tools/make_moving_shapes.py": "moving_shapes",
         "tools/appearance_baseline.py": "appearance_baseline", "tools/descriptor_baseline.py": "descriptor_baseline",
         "tools/reproduce.py": "reproduce",
         "point_tracking/extract_points.py": "extract",
         "point_tracking/evaluate.py": "evaluate_tracker"}


def python(*arguments, cwd=None, **options) -> subprocess.CompletedProcess:
    """Run Python with this checkout's package."""
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False, cwd=cwd, env=environment(), **options)


def environment() -> dict[str, str]:
    """That of this process, for one that finds this checkout's package and buffers its output."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def trokens_command(*arguments, **options) -> subprocess.CompletedProcess:
    return python("-m", "trokens", *arguments, **options)


# Help

@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
def test_help_answers_within_half_a_second_of_cpu(typed, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = trokens_command(*typed, "--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.startswith(" ".join(("usage: trokens", *typed, "[-h]")))
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
def test_help_comes_before_anything_heavy_is_imported(typed):
    code = ("import sys; from trokens.cli import run; from trokens.runtime.command import written_out; "
            "written_out(lambda: run(sys.argv[1:])); print([*sys.modules], file=sys.stderr)")
    done = python("-c", code, *typed, "--help")
    assert "'argparse'" in done.stderr and not [name for name in HEAVY if f"'{name}'" in done.stderr]


def test_a_mistake_in_the_command_line_comes_before_anything_heavy_is_imported():
    code = ("import sys; from trokens.cli import run; from trokens.runtime.command import written_out; "
            "print(written_out(lambda: run(sys.argv[1:])), [*sys.modules])")
    for arguments in (["train"], ["extract", "--videos", "x"], ["evaluate-tracker"], ["train", "--cfg", "nowhere"]):
        done = python("-c", code, *arguments)
        assert done.stdout.startswith("2 ") and not [name for name in HEAVY if f"'{name}'" in done.stdout], arguments


def test_without_a_command_it_tells_what_there_is():
    done = trokens_command()
    assert done.returncode == 0 and not done.stderr and done.stdout == trokens_command("--help").stdout
    assert all(re.search(rf"^    {command.name}\s", done.stdout, re.MULTILINE) for command in COMMANDS)
    done = trokens_command("points")
    assert done.returncode == 0 and "    get  " in done.stdout and "    convert  " in done.stdout


def test_the_version_is_that_of_the_package():
    done = trokens_command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"trokens {trokens.__version__}\n", "")


@pytest.mark.parametrize(("typed", "message"), [
    (["trian"], "trokens: error: Unknown command 'trian'. Did you mean 'train'? Known: "),
    (["points", "covnert"], "trokens points: error: Unknown command 'covnert'. Did you mean 'convert'? Known: get, "),
    (["--trian"], "trokens: error: unrecognized arguments: --trian"),
    (["splits"], "trokens splits: error: the following arguments are required: root, --out"),
    (["evaluate-tracker", "--moving_shapes", "esay"],
     "'esay' is no level of Moving Shapes, which has easy, medium, hard"),
])
def test_what_is_not_a_command_is_answered_with_what_is(typed, message):
    done = trokens_command(*typed)
    assert done.returncode == 2 and not done.stdout and message in done.stderr and "Traceback" not in done.stderr


def test_the_query_modes_offered_are_those_there_are():
    assert set(evaluate_tracker.QUERY_MODES) == set(QUERIES)


# As typed in a checkout

@pytest.mark.parametrize("path", TOOLS)
def test_the_files_of_a_checkout_call_the_functions_of_the_command(path, tmp_path):
    source = (ROOT / path).read_text()
    assert f"from trokens.cli.{TOOLS[path]} import main\n" in source and len(source.splitlines()) < 15
    assert callable(importlib.import_module(f"trokens.cli.{TOOLS[path]}").main)
    if path == "tools/make_moving_shapes.py":
        return  # whose --help takes seconds
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, ROOT / path, "--help"], capture_output=True, text=True, timeout=TIMEOUT,
                          check=True, cwd=tmp_path, env=bare)
    assert done.stdout.startswith(f"usage: {Path(path).name} ")


def test_every_file_of_tools_and_point_tracking_is_thin():
    found = {path.relative_to(ROOT).as_posix() for folder in ("tools", "point_tracking")
             for path in (ROOT / folder).glob("*.py")}
    assert found == {*TOOLS, "tools/config_reference.py", "tools/benchmark.py"}  # which the package does without


# Train and test

def test_a_config_is_found_by_its_name_from_any_folder(tiny_data, tmp_path):
    (tmp_path / "folder").mkdir()  # no config, though it has the name of one
    done = trokens_command("test", "--cfg", "folder", *tiny.arguments(tiny_data, tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 0 and "epoch" not in done.stdout and "test: 3-way 1-shot accuracy" in done.stdout
    assert json.loads((tmp_path / "out/results.json").read_text())["checkpoint"] == "none (initial weights)"


def test_a_name_that_no_config_has_is_answered_with_those_there_are(tmp_path):
    for command in (["train"], ["test"], ["check"]):
        done = trokens_command(*command, "--cfg", "hmbd", cwd=tmp_path)
        assert done.returncode == 2 and not done.stdout
        assert done.stderr == ("ConfigError: hmbd cannot be read (No such file or directory); give the path of a YAML "
                               "file, or the name of one that comes with Trokens: finegym, folder, folder_small, "
                               "folder_untrained, hmdb, k400, moving_shapes, ssv2_full, ssv2_small, ucf, "
                               + ", ".join(f"tats/{name}" for name in ("finegym", "hmdb", "k400", "moving_shapes",
                                                                       "ssv2_full", "ssv2_small", "ucf"))
                               + ". Did you mean 'hmdb'?\n")


def test_a_test_never_trains(capsys):
    assert parse_args(["--cfg", "x", "A", "1"], trains=False).overrides == ["TRAIN.ENABLE", "False", "A", "1"]
    assert parse_args(["--cfg", "x", "TRAIN.ENABLE", "false"], trains=False).overrides[-1] == "false"
    with pytest.raises(SystemExit, match="2"):
        parse_args(["--cfg", "x", "A", "1", "TRAIN.ENABLE", "True"], "trokens test", trains=False)
    assert "error: TRAIN.ENABLE is True, and this command only tests; use trokens train." in capsys.readouterr().err


def test_it_runs_under_torchrun(tiny_data, tmp_path):
    port = free_port()
    options = tiny.arguments(tiny_data, tmp_path / "out", MASTER_PORT=port)
    done = python("-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}", "-m", "trokens",
                  "train", "--cfg", "folder", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/results.json").read_text())["processes"] == 2


# How it ends

PRINTS = """
from trokens.runtime.command import end_with, run_command

def work():
    for number in range({lines}):
        print(number, flush={flush})
    return 3

end_with(lambda: run_command(work, "Interrupted."))
"""


def reader_gone(code: str, *options: str) -> subprocess.CompletedProcess:
    """Run code whose output has no reader any more from the start."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run([sys.executable, *options, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=TIMEOUT, env=environment())
    finally:
        os.close(write)


@pytest.mark.parametrize("options", [(), ("-u",)])
@pytest.mark.parametrize(("lines", "flush", "code"), [(10, True, 141), (100_000, False, 141), (10, False, 3)])
def test_output_that_nobody_reads_ends_it_without_a_word(lines, flush, code, options):
    done = reader_gone(PRINTS.format(lines=lines, flush=flush), *options)
    assert done.stderr == "" and done.returncode == (141 if options else code)


def test_help_that_nobody_reads_is_no_trouble():
    done = reader_gone("import sys; from trokens.cli import main; sys.argv[1:] = ['train', '--help']; main()")
    assert (done.returncode, done.stderr) == (0, "")


def test_another_broken_pipe_is_not_taken_for_it(capfd):
    def work() -> int:
        raise BrokenPipeError("the pipe to a worker")

    assert written_out(lambda: run_command(work, "")) == 2
    assert capfd.readouterr().err == "BrokenPipeError: the pipe to a worker\n"


def test_output_that_cannot_be_written_is_said():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "trokens", "--version"], stdout=full, stderr=subprocess.PIPE,
                              text=True, check=False, timeout=TIMEOUT, env=environment())
    assert done.returncode == 2
    assert done.stderr == "OSError: The output cannot be written (No space left on device).\n"


def test_a_training_that_nobody_listens_to_goes_on(tiny_data, tmp_path):
    arguments = ["train", "--cfg", "folder", *tiny.arguments(tiny_data, tmp_path)]
    done = reader_gone(f"import sys; from trokens.cli import main; sys.argv[1:] = {arguments}; main()")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "results.json").is_file() and "Results: " in (tmp_path / "log.txt").read_text()


def test_ctrl_c_before_the_work_begins_ends_it_without_a_traceback():
    code = ("import os, signal, time\nfrom trokens import cli\n"
            "def choose(*_):\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n"
            "cli.choose = choose\ncli.main()")
    done = python("-c", code, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
