"""scripts/slurm.sbatch: two nodes on this machine, told to stop, start again, and end like an undisturbed run."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from processes import ROOT, TIMEOUT, finish, free_port, in_processes, wait_for
from tiny import LONGER, arguments, assert_same_run, records, run

SCRIPT = ROOT / "scripts/slurm.sbatch"
# Long enough that a signal comes in time on a busy machine.
STEPS = LONGER | {"SOLVER.MAX_EPOCH": 12, "TRAIN.EVAL_PERIOD": 6, "WANDB.ENABLE": False}

# Both nodes of a job, as processes of this machine.
SRUN = """
while [[ "$1" == --* ]]; do shift; done
"$@" & "$@" & echo $(jobs -p) > {folder}/nodes
wait $(jobs -p)
"""
SCANCEL = "echo $* >> {folder}/told; kill -TERM $(cat {folder}/nodes)"
SCONTROL = '[ "$1" = requeue ] && echo $2 >> {folder}/requeued || echo localhost'

# Debian's SLURM as whoever runs the tests: two nodes, no keys, no groups of processes that need rights.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(localhost)
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
SchedulerType=sched/builtin
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=localhost Port={ports[1]}
NodeName=n2 NodeHostname={host} NodeAddr=localhost Port={ports[2]}
PartitionName=all Nodes=ALL Default=YES
"""


def train(rank: int, root: Path, folder: Path) -> None:
    run(root, folder, STEPS)


@pytest.fixture(scope="module")
def undisturbed(tiny_data, tmp_path_factory) -> Path:
    """The folder of a run of two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    in_processes(2, train, tiny_data, folder)
    return folder


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """Variables of scripts/trokens.sh, and a folder ``bin`` for commands, with this Python's torchrun in it."""
    (tmp_path / "bin").mkdir()
    write_command(tmp_path, "torchrun", f'exec {sys.executable} -m torch.distributed.run "$@"')
    names = ("TORCH_HOME", "DATA_DIR", "TROKENS_PT_DATA", "BASE_OUTPUT_DIR", "EXP_NAME", "SECONDAY_EXP_NAME")
    return {**os.environ, **dict.fromkeys(names, "unused"), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
            "NUM_GPUS": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}


def write_command(folder: Path, name: str, text: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def wait_for_training(folder: Path, is_alive) -> None:
    """Return as soon as a run that was started (again) has trained a step."""
    before = records(folder)
    wait_for(lambda: records(folder) > before or not is_alive(), "training", every=0.05)


def test_a_job_that_is_told_to_stop_waits_for_its_next_turn_and_goes_on(tiny_data, tmp_path, undisturbed, environment):
    for name, text in (("srun", SRUN), ("scancel", SCANCEL), ("scontrol", SCONTROL)):
        write_command(tmp_path, name, text.format(folder=tmp_path))
    command = ["bash", str(SCRIPT), "folder", *arguments(tiny_data, tmp_path / "out", STEPS)]
    environment |= {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "n[1-2]"}
    del environment["MASTER_ADDR"]  # the job's first node is taken
    for is_first in (True, False):
        job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
        try:
            if is_first:
                wait_for_training(tmp_path / "out", lambda job=job: job.poll() is None)
                job.send_signal(signal.SIGUSR1)
            code, out, err = finish(job)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)  # both nodes
        assert code == 0, err
        assert ("the same command goes on from there." in err) == ("waits for its next turn" in out) == is_first
        assert (tmp_path / "told").read_text() == "--signal=TERM 7\n" and (tmp_path / "requeued").read_text() == "7\n"
    assert_same_run(undisturbed, tmp_path / "out")


def test_a_job_that_fails_by_itself_is_not_started_again(tmp_path, environment):
    write_command(tmp_path, "srun", "exit 3")
    environment |= {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}
    assert subprocess.run(["bash", SCRIPT, "folder"], cwd=ROOT, env=environment).returncode == 3


def test_a_job_from_another_folder_is_answered_in_one_sentence(tmp_path):
    done = subprocess.run(["bash", SCRIPT, "folder"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"{tmp_path} is not the top folder of a checkout of Trokens: submit "
                                                 "scripts/slurm.sbatch from there.\n")


@pytest.fixture
def slurm(tmp_path, environment):
    """Call commands of a SLURM of two nodes on this machine, which is gone after the test with all that it started."""
    if not all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch")):
        pytest.skip("needs a SLURM of its own (Debian: apt-get install slurm-wlm)")
    folder = tmp_path / "slurm"
    (folder / "state").mkdir(parents=True)
    config, ports = folder / "slurm.conf", [free_port() for _ in range(3)]
    config.write_text(CONFIG.format(host=socket.gethostname(), user=getpass.getuser(), folder=folder, ports=ports))
    environment["SLURM_CONF"] = str(config)

    def call(*command: str) -> str:
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=TIMEOUT, capture_output=True, text=True,
                              check=True).stdout.strip()

    daemons = []
    try:
        commands = {"c": ["slurmctld", "-c"], "n1": ["slurmd", "-N", "n1"], "n2": ["slurmd", "-N", "n2"]}
        for name, command in commands.items():
            with open(folder / f"{name}.log", "w") as log:
                daemons.append(subprocess.Popen([*command, "-D"], env=environment, stdout=log, stderr=log))

        def is_ready() -> bool:
            assert all(daemon.poll() is None for daemon in daemons), (folder / "c.log").read_text()
            with suppress(subprocess.CalledProcessError):
                return call("sinfo", "-h", "-o", "%D %t") == "2 idle"

        wait_for(is_ready, "the start of SLURM", every=0.2)
        yield call
    finally:
        for pid in carrying(f"SLURM_CONF={config}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for daemon in daemons:
            daemon.wait(TIMEOUT)


def carrying(variable: str) -> list[int]:
    """Processes with that in their environment, this one's children or not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@pytest.mark.slurm
def test_a_job_of_a_real_slurm_that_is_requeued_ends_like_an_undisturbed_run(tiny_data, tmp_path, undisturbed, slurm):
    log = tmp_path / "job.log"
    job = slurm("sbatch", "--parsable", "--nodes=2", f"--output={log}", str(SCRIPT), "folder",
                *arguments(tiny_data, tmp_path / "out", STEPS))

    def state() -> str:
        return slurm("squeue", "-h", "-o", "%T", "-t", "all", "-j", job)

    def is_alive() -> bool:
        return state() in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")

    # What SLURM does two minutes before the time is over; and what whoever needs the nodes does.
    for ask in (["scancel", "--batch", "--signal=USR1"], ["scontrol", "requeue"]):
        wait_for_training(tmp_path / "out", is_alive)
        slurm(*ask, job)
        wait_for(lambda: state() == "PENDING" or not is_alive(), "the end of the job's turn", every=0.2)
        # SLURM itself waits two minutes: nodes take a job that starts in the second of its end for the one that ended.
        slurm("scontrol", "update", f"JobId={job}", "StartTime=now+3")
    wait_for(lambda: not is_alive(), "the end of the job", every=0.2)
    said = log.read_text()
    assert state() == "COMPLETED" and said.count("the same command goes on from there.") == 2, said
    assert_same_run(undisturbed, tmp_path / "out")
