import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import TIMEOUT

from trokens.config import load_cfg

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ("ssv2_small", "ssv2_full", "hmdb", "k400", "ucf", "finegym")
VARIABLES = {"TORCH_HOME": "/weights", "DATA_DIR": "/data dir", "TROKENS_PT_DATA": "/points", "BASE_OUTPUT_DIR": "/out",
             "EXP_NAME": "my exp", "SECONDAY_EXP_NAME": "first"}


@pytest.fixture
def run(tmp_path):
    """Run a script with a torchrun that records what it is given, and a python3 that counts three GPUs."""
    (tmp_path / "torchrun").write_text(f'#!/bin/sh\necho "$TORCH_HOME" > {tmp_path}/home\n'
                                       f'for a in "$@"; do printf "%s\\n" "$a"; done > {tmp_path}/arguments\n')
    (tmp_path / "python3").write_text("#!/bin/sh\necho 3\n")
    for name in ("torchrun", "python3"):
        (tmp_path / name).chmod(0o755)

    def run(*command: str, cwd: Path = ROOT, without: tuple[str, ...] = (), **variables: str):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **VARIABLES, **variables}
        environment = {name: value for name, value in environment.items() if name not in without}
        done = subprocess.run(["bash", *command], cwd=cwd, env=environment, capture_output=True, text=True,
                              timeout=TIMEOUT)
        recorded = tmp_path / "arguments"
        return done, recorded.read_text().splitlines() if recorded.exists() else None

    return run


def test_the_script_types_the_published_command(run, tmp_path):
    done, arguments = run("scripts/trokens.sh", "ssv2_small", "FEW_SHOT.K_SHOT", "5", NUM_GPUS="4", MASTER_PORT="1234",
                          NUM_WORKERS="7")
    assert done.returncode == 0, done.stderr
    assert arguments == [
        "--nproc_per_node=4", "--master_port=1234", "tools/run_net.py", "--init_method", "env://", "--new_dist_init",
        "--cfg", "configs/trokens/ssv2_small.yaml", "WANDB.ID", "ssv2_small_my_exp_first", "WANDB.EXP_NAME", "my exp",
        "MASTER_PORT", "1234", "OUTPUT_DIR", "/out/ssv2_small/my exp/first", "NUM_GPUS", "4",
        "DATA_LOADER.NUM_WORKERS", "7", "DATA.PATH_TO_DATA_DIR", "/data dir", "DATA.PATH_TO_TROKEN_PT_DATA", "/points",
        "FEW_SHOT.K_SHOT", "5"]
    assert (tmp_path / "home").read_text() == "/weights\n"


def test_its_options_load_and_leave_the_paper_alone(run):
    arguments = run("scripts/trokens.sh", "hmdb", NUM_GPUS="0")[1]
    assert arguments[0] == "--nproc_per_node=1"
    cfg, paper = load_cfg(ROOT / arguments[7], arguments[8:]), load_cfg(ROOT / arguments[7])
    assert (cfg.NUM_GPUS, cfg.DATA.PATH_TO_DATA_DIR, cfg.OUTPUT_DIR) == (0, "/data dir", "/out/hmdb/my exp/first")
    for section in ("MODEL", "MF", "AUG", "FEW_SHOT", "POINT_INFO", "SOLVER", "TRAIN", "TEST"):
        assert cfg[section] == paper[section]


def test_two_benchmarks_share_neither_folder_nor_run_id(run):
    first, second = (run(f"scripts/{name}.sh", NUM_GPUS="1")[1] for name in ("ssv2_small", "ssv2_full"))
    for key in ("OUTPUT_DIR", "WANDB.ID"):
        assert first[first.index(key) + 1] != second[second.index(key) + 1]


def test_a_run_begun_without_the_benchmark_in_its_path_is_named(run, tmp_path):
    (tmp_path / "out/my exp/first/checkpoints").mkdir(parents=True)
    done, arguments = run("scripts/hmdb.sh", NUM_GPUS="1", BASE_OUTPUT_DIR=str(tmp_path / "out"))
    assert f"OUTPUT_DIR {tmp_path}/out/hmdb/my exp/first" in " ".join(arguments)
    assert done.returncode == 0 and done.stderr.count("\n") == 1
    assert f"to go on with it, add OUTPUT_DIR '{tmp_path}/out/my exp/first'." in done.stderr
    (tmp_path / "out/hmdb/my exp/first/checkpoints").mkdir(parents=True)
    assert not run("scripts/hmdb.sh", NUM_GPUS="1", BASE_OUTPUT_DIR=str(tmp_path / "out"))[0].stderr


def test_it_counts_the_gpus_where_none_are_named(run):
    assert run("scripts/trokens.sh", "hmdb")[1][0] == "--nproc_per_node=3"


def test_it_runs_from_any_folder(run, tmp_path):
    arguments = run(str(ROOT / "scripts/trokens.sh"), "hmdb", cwd=tmp_path, NUM_GPUS="1")[1]
    assert arguments[2] == str(ROOT / "tools/run_net.py") and arguments[7] == str(ROOT / "configs/trokens/hmdb.yaml")


@pytest.mark.parametrize("name", DATASETS)
def test_every_benchmark_has_a_script_of_its_own(run, name):
    done, arguments = run(f"scripts/{name}.sh", "TRAIN.ENABLE", "False", NUM_GPUS="1")
    assert done.returncode == 0, done.stderr
    assert f"configs/trokens/{name}.yaml" in arguments and arguments[-2:] == ["TRAIN.ENABLE", "False"]


@pytest.mark.parametrize("name", VARIABLES)
def test_an_unset_variable_is_named(run, name):
    done, arguments = run("scripts/trokens.sh", "hmdb", without=(name,))
    assert done.returncode == 2 and arguments is None
    assert f"Not set: {name}." in done.stderr


def test_an_environment_without_torch_is_named(run):
    system = "/usr/bin:/bin"
    if shutil.which("torchrun", path=system):
        pytest.skip("the system's own Python has torch")
    done, _ = run("scripts/trokens.sh", "hmdb", PATH=system)
    assert done.returncode == 2 and done.stderr.startswith("No torchrun on PATH") and done.stderr.count("\n") == 1


def test_all_unset_variables_are_named_at_once(run):
    done, _ = run("scripts/trokens.sh", "hmdb", without=tuple(VARIABLES))
    assert all(name in done.stderr for name in VARIABLES)


@pytest.mark.parametrize("arguments", [(), ("ssv2",), ("../base",)])
def test_an_unknown_dataset_is_answered_with_the_known_ones(run, arguments):
    done, recorded = run("scripts/trokens.sh", *arguments)
    assert done.returncode == 2 and recorded is None
    assert all(name in done.stderr for name in DATASETS) and " base " not in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_valid_bash_and_hold_no_paper_values(path):
    subprocess.run(["bash", "-n", path], check=True)
    if path.stem in (*DATASETS, "trokens"):
        assert not any(key in path.read_text() for key in ("FEW_SHOT.", "SOLVER.", "MF.", "POINT_INFO.", "MODEL."))


@pytest.mark.parametrize("command", ["tools/run_net.py", "tools/check_data.py", "tools/convert_points.py",
                                     "tools/get_points.py", "tools/make_splits.py", "point_tracking/extract_points.py"])
def test_help_comes_before_anything_heavy_is_imported(command):
    done = subprocess.run([sys.executable, "-X", "importtime", ROOT / command, "--help"], capture_output=True,
                          text=True, timeout=TIMEOUT, check=True)
    modules = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.stdout.startswith("usage") and "argparse" in modules and not modules & {"torch", "av", "cv2", "timm"}


@pytest.mark.parametrize("name", ["base", "../trokens/hmdb", "hmdb k400", "hmdb.yaml", "*"])
def test_what_is_no_benchmark_is_never_part_of_the_output_path(run, name):
    done, recorded = run("scripts/trokens.sh", name)
    assert done.returncode == 2 and recorded is None and f"No config for dataset '{name}'; it is one of" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("NUM_GPUS", "two"), ("NUM_GPUS", "-1"), ("MASTER_PORT", "x")])
def test_a_number_that_is_none_is_named(run, name, value):
    done, recorded = run("scripts/trokens.sh", "hmdb", **{"NUM_GPUS": "0", name: value})
    assert done.returncode == 2 and recorded is None
    assert done.stderr == (f"{name} is '{value}', which is no whole number; correct it, or unset it for its "
                           "default.\n")
