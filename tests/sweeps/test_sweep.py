"""The command `trokens sweep` on tiny runs: what it runs, skips, refuses, and how it ends."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from processes import TIMEOUT, descendants, wait_for, wait_until_gone

from trokens.cli import sweep
from trokens.sweeps.runs import plan
from trokens.sweeps.sweep_file import read_sweep

ROWS = ("wide", "narrow")  # of conftest.py


def results(row: str, seed: int = 1, out: str = "output/sweeps/mine") -> dict:
    return json.loads(Path(out, row, f"seed{seed}", "results.json").read_text())


def test_every_row_is_run_with_every_seed_and_then_skipped(write, capfd):
    file = write(seeds=(1, 2))
    assert sweep.main([file, "--jobs", "2"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[-1] == "4 of 4 runs are done. Their table: trokens table output/sweeps/mine"
    told = {tuple(re.fullmatch(r"(wide  |narrow)  seed (\d)  ( *[\d.]+) %  0 min \d\d s", line).groups())
            for line in lines[:-1]}
    assert told == {(f"{row:6}", str(seed), f"{100 * results(row, seed)['accuracy']:6.2f}")
                    for row in ROWS for seed in (1, 2)}
    assert results("wide", 2)["seed"] == 2 and results("wide")["config_hash"] != results("narrow")["config_hash"]
    assert len({path.read_bytes() for path in Path("output").glob("**/episodes.jsonl")}) == 1  # shared by all
    before = Path("output/sweeps/mine/wide/seed1/results.json").stat().st_mtime_ns
    assert sweep.main([file]) == 0
    assert capfd.readouterr().out.count("done before") == 4
    assert Path("output/sweeps/mine/wide/seed1/results.json").stat().st_mtime_ns == before


def test_a_failed_run_does_not_stop_the_others(write, capfd):
    file = write({"bad": {"DATA.PATH_TO_TROKEN_PT_DATA": "nowhere"}, "good": {}})
    assert sweep.main([file, "--out", "out"]) == 1
    bad, good, last = capfd.readouterr().out.splitlines()
    assert bad.startswith("bad   seed 1  failed (exit code 2) after 0 min ") and "No tracks for" in bad
    assert bad.endswith(" See out/bad/seed1/console.txt.") and good.startswith("good  seed 1  ")
    assert last.startswith("1 of 2 runs are done.") and results("good", out="out")


def test_a_run_whose_results_are_broken_is_tested_again(write, capfd):
    file = write({"a": {}}, seeds=(1, 2))
    assert sweep.main([file]) == 0
    before = results("a")
    Path("output/sweeps/mine/a/seed1/results.json").write_text("{")
    assert sweep.main([file]) == 0
    assert results("a") == before and capfd.readouterr().out.count("done before") == 1


def test_options_of_a_run_that_lies_there_are_not_mixed(write, capfd):
    assert sweep.main([write({"a": {}})]) == 0
    assert sweep.main([write({"a": {"SOLVER.BASE_LR": 0.5}}), "--dry-run"]) == 2
    error = capfd.readouterr().err
    assert error == ("ConfigError: a, seed 1: output/sweeps/mine/a/seed1 holds a run with SOLVER.BASE_LR 0.001, not "
                     "0.5; choose another --out, or move that folder away.\n")


def test_all_mistakes_in_options_come_before_the_first_run(write, capfd):
    file = write({"a": {"FEW_SHOT.NWAY": 3}, "b": {}, "c": {"SOLVER.BASE_LR": "fast"}})
    assert sweep.main([file]) == 2
    error = capfd.readouterr().err
    assert error.startswith("ConfigError: a, seed 1: Unknown option 'FEW_SHOT.NWAY'. Did you mean 'FEW_SHOT.N_WAY'?")
    assert "\nc, seed 1: SOLVER.BASE_LR = 'fast'" in error and not Path("output").exists()
    assert sweep.main([write(), "RNG_SEED", "3"]) == 2
    assert "RNG_SEED is what seeds of a sweep sets" in capfd.readouterr().err


def test_a_dry_run_tells_the_commands_and_runs_nothing(write, capfd):
    file = write(seeds=(1, 2))
    assert sweep.main([file, "--dry-run", "SOLVER.MAX_EPOCH", "3", "--seeds", "5,7"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines] == [
        ["0", "wide", "seed", "5"], ["1", "wide", "seed", "7"], ["2", "narrow", "seed", "5"],
        ["3", "narrow", "seed", "7"]]
    command = shlex.split(lines[2])
    assert command[4:9] == ["new", "python", "-m", "trokens", "train"] and command[-6:] == [
        "SOLVER.MAX_EPOCH", "3", "RNG_SEED", "5", "OUTPUT_DIR", "output/sweeps/mine/narrow/seed5"]
    assert not Path("output").exists()


@pytest.mark.parametrize(("which", "names"), [("1", ["wide/seed2"]), ("narrow", ["narrow/seed1", "narrow/seed2"]),
                                             ("narrow/seed2", ["narrow/seed2"])])
def test_some_runs_can_be_chosen(write, capfd, which, names):
    assert sweep.main([write(seeds=(1, 2)), "--dry-run", "--only", which]) == 0
    told = capfd.readouterr().out.splitlines()
    assert [line.rpartition("OUTPUT_DIR output/sweeps/mine/")[2] for line in told] == names


@pytest.mark.parametrize("which", ["4", "nothing", "wide/seed3"])
def test_a_run_that_is_not_there_is_answered_with_those_there_are(write, capfd, which):
    assert sweep.main([write(seeds=(1, 2)), "--only", which]) == 2
    assert capfd.readouterr().err == (f"ConfigError: --only {which} is no run; it is a number below 4, or one of wide, "
                                      "narrow, which /seed1 may follow.\n")


def test_several_gpus_are_started_by_torchrun(write):
    [run] = plan(read_sweep(write({"a": {"NUM_GPUS": 2}})), Path("out"))
    assert run.command[1:7] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "trokens"]


@pytest.mark.parametrize("flags", [["--jobs", "0"], ["--seeds", "1;2"]])
def test_a_flag_that_makes_no_sense_is_refused(write, capfd, flags):
    with pytest.raises(SystemExit) as ended:
        sweep.main([write(), *flags])
    assert ended.value.code == 2 and f"{flags[0]} is {flags[1]}; it" in capfd.readouterr().err


# Interruptions

def start(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "trokens", "sweep", *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_what_ends_a_sweep_ends_its_runs_and_the_same_command_goes_on(write, number, code):
    file = write({"a": {}, "b": {}, "c": {}}, options=tiny.ENDLESS)
    process = start(file, "--jobs", "2")
    folders = [Path("output/sweeps/mine", row, "seed1") for row in "abc"]
    wait_for(lambda: all(tiny.records(folder) for folder in folders[:2]), "the training of two runs")
    children = descendants(process.pid)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=TIMEOUT)
    for child in children:
        wait_until_gone(child)
    assert process.returncode == code and not out
    if number != signal.SIGKILL:
        assert err == f"{sweep.INTERRUPTED}\n"
    assert not folders[2].exists()
    for folder in folders[:2]:
        assert (folder / "checkpoints/checkpoint_interrupted.pyth").is_file() and not (folder / "run.lock").exists()
    states = [run.state for run in plan(read_sweep(file), Path("output/sweeps/mine"))]
    assert states == ["begun", "begun", "new"]


# SLURM

def test_a_slurm_array_does_the_runs_that_are_not_done(write, tmp_path, capfd):
    file = write()
    assert sweep.main([file, "--only", "wide"]) == 0
    assert sweep.main([file, "--slurm", "--jobs", "3", "LOG_PERIOD", "1"]) == 0
    script = tmp_path / "output/sweeps/mine/array.sbatch"
    assert capfd.readouterr().out.splitlines()[-1] == f"Written. Start it with: sbatch {script}"
    text = script.read_text()
    assert "#SBATCH --array=1%3\n" in text and "--gres" not in text  # NUM_GPUS is 0 here
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "bin/srun").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "1"}
    done = subprocess.run(["bash", script], cwd="/", env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0 and done.stdout.startswith("narrow  seed 1  "), done.stderr
    assert results("narrow")["seed"] == 1
    assert sweep.main([file, "--slurm"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "All 2 runs are done already."


def test_a_slurm_array_asks_for_the_gpus_of_a_run(write, tmp_path):
    assert sweep.main([write({"a": {"NUM_GPUS": 2}}), "--slurm"]) == 0
    assert "#SBATCH --gres=gpu:2\n" in (tmp_path / "output/sweeps/mine/array.sbatch").read_text()
