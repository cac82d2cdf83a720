"""The command `trokens table` on the runs of real, tiny sweeps."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import tiny
from processes import TIMEOUT, wait_for

from trokens.cli import sweep, table

SWEEP = "output/sweeps/mine"


def text_of(capfd, *arguments: str) -> str:
    capfd.readouterr()
    assert table.main([*arguments]) == 0
    return capfd.readouterr().out


def test_a_sweep_killed_in_the_middle_and_resumed_gives_the_same_table(write, capfd):
    options = tiny.RANDOM | {"TEST.ENABLE": True, "SOLVER.MAX_EPOCH": 4, "FEW_SHOT.TRAIN_EPISODES": 20}
    file = write(seeds=(1, 2), options=options, baseline="narrow")
    assert sweep.main([file, "--out", "whole", "--jobs", "2"]) == 0
    folder, records = Path("broken/narrow/seed1"), 0
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = subprocess.Popen([sys.executable, "-m", "trokens", "sweep", file, "--out", "broken"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: tiny.records(folder) > records, "further training")  # noqa: B023
        process.send_signal(number)
        process.wait(TIMEOUT)
        wait_for(lambda: not (folder / "run.lock").exists(), "the end of its run")
        records = tiny.records(folder)
    assert not (folder / "results.json").exists() and Path("broken/wide/seed2/results.json").exists()
    assert sweep.main([file, "--out", "broken", "--jobs", "2"]) == 0
    for form in ("markdown", "latex", "csv"):
        assert text_of(capfd, "broken", "--format", form) == text_of(capfd, "whole", "--format", form)


def test_a_table_has_a_row_a_setting_in_the_order_of_the_sweep(write, capfd):
    assert sweep.main([write(seeds=(1, 2), baseline="wide"), "--jobs", "2"]) == 0
    done = [json.loads(Path(SWEEP, row, f"seed{seed}/results.json").read_text())
            for row in ("wide", "narrow") for seed in (1, 2)]
    wide, narrow = csv.DictReader(text_of(capfd, SWEEP, "--format", "csv").splitlines())
    assert (wide["setting"], narrow["setting"], wide["seeds"], wide["shots"]) == ("wide", "narrow", "2", "1")
    mean = [50 * (done[k]["accuracy"] + done[k + 1]["accuracy"]) for k in (0, 2)]
    assert (wide["accuracy"], narrow["accuracy"]) == (f"{mean[0]:.2f}", f"{mean[1]:.2f}")
    assert wide["gain"] == "" and abs(float(narrow["gain"]) - (mean[1] - mean[0])) < 0.011

    other = list(csv.DictReader(text_of(capfd, SWEEP, "--format", "csv", "--baseline", "narrow").splitlines()))
    assert other[1]["gain"] == "" and (other[0]["won"], other[0]["lost"]) == (narrow["lost"], narrow["won"])

    # Runs may be given one by one, and a run that is not done is told.
    runs = [f"{SWEEP}/{row}/seed{seed}" for row in ("wide", "narrow") for seed in (2, 1)]
    assert text_of(capfd, *runs, "--baseline", "wide") == text_of(capfd, SWEEP)
    shutil.copytree(runs[0], "alone")
    assert "\n| alone | 1 | " in text_of(capfd, "alone") and "narrow" not in text_of(capfd, "alone")
    os.remove(f"{runs[0]}/results.json")
    capfd.readouterr()
    assert table.main([SWEEP, "--out", "table.md"]) == 0
    printed = capfd.readouterr()
    assert not printed.out and "| wide | 1 | " in Path("table.md").read_text()
    assert printed.err == f"Not done, and so not in the table: {SWEEP}/wide/seed2 (1 of the sweep's runs).\n"

    for arguments, message in (
            ([SWEEP, "--baseline", "no"], "baseline is no, which has no finished run; there are wide, narrow."),
            ([SWEEP, f"{SWEEP}/wide/seed1"], f"{SWEEP}/wide/seed1 and {SWEEP}/wide/seed1 are both runs of 'wide' with "
             "seed 1; give one.")):
        assert table.main(arguments) == 2
        assert capfd.readouterr().err == f"ValueError: {message}\n"


def test_a_folder_without_runs_is_told_in_one_sentence(tmp_path, capfd):
    assert table.main([str(tmp_path)]) == 2
    message = "holds no finished run; give the folder of a sweep or the OUTPUT_DIR of a run."
    assert capfd.readouterr().err == f"FileNotFoundError: {tmp_path} {message}\n"
