"""Train and test a model: `trokens train --cfg hmdb KEY VALUE ...`, alone or under torchrun."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from contextlib import suppress
from datetime import timedelta

from trokens.runtime.command import EndedElsewhere
from trokens.runtime.files import WriteError, in_words
from trokens.runtime.lock import OTHER_FOLDER, InUse, refuse_if_locked
from trokens.runtime.machine import LostProcess
from trokens.runtime.signals import Stopped, ends_on_signals

KEPT = "Checkpoints and caches are kept: the same command goes on from them."
MORE_MEMORY = ("lower FEW_SHOT.TRAIN_QUERY_PER_CLASS, MODEL.BACKBONE_BATCH, POINT_INFO.NUM_POINTS_TO_SAMPLE or "
               "DATA.NUM_FRAMES, or set MODEL.ACT_CHECKPOINT True")
SAYS_NO_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # of a GPU, of the machine
# What is wrong with a path that the user named, for reading or writing.
PATH_ERRORS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


def parse_args(argv: list[str] | None = None, prog: str | None = None, *, trains: bool = True) -> argparse.Namespace:
    """Read the command line; of a command that only tests where ``trains`` is false."""
    parser = argparse.ArgumentParser(prog=prog, description=f"{'Train and test' if trains else 'Test'} few-shot action "
                                     "recognition with trajectory tokens.")
    parser.add_argument("--cfg", "--cfg_file", dest="cfg", required=True,
                        help="a config by its name, such as hmdb, or the path of a YAML file")
    parser.add_argument("--init_method", default="env://", help="how processes meet, as in torch.distributed")
    parser.add_argument("--new_dist_init", action="store_true", help="accepted for published commands; always on")
    parser.add_argument("--num_shards", type=int, default=1, help="accepted for published commands: torchrun starts "
                        "the processes of several machines, and says how many there are")
    parser.add_argument("--shard_id", "--local_rank", "--local-rank", type=int, default=0,
                        help="accepted for published commands: torchrun says which process this is")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="the same options")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="options, see docs/CONFIG.md")
    args = parser.parse_args(argv)
    args.overrides += args.opts
    if late := [key for key in args.overrides[::2] if key.startswith("--")]:
        parser.error(f"{late[0]} stands behind KEY VALUE pairs; flags come before them.")
    if args.num_shards > 1 and "WORLD_SIZE" not in os.environ:
        parser.error(f"--num_shards is {args.num_shards}, and this process was not started by torchrun, which joins "
                     f"machines here: torchrun --nnodes={args.num_shards} ... "
                     f"{f'-m {prog}' if prog else 'tools/run_net.py'}, without --num_shards.")
    if not trains:
        given = dict(zip(args.overrides[::2], args.overrides[1::2], strict=False))
        if given.get("TRAIN.ENABLE", "False").lower() != "false":
            parser.error(f"TRAIN.ENABLE is {given['TRAIN.ENABLE']}, and this command only tests; use trokens train.")
        args.overrides[:0] = ["TRAIN.ENABLE", "False"]
    return args


def main(argv: list[str] | None = None, prog: str | None = None, *, trains: bool = True) -> int:
    """Run one experiment; the exit code is 2 for a config or data problem, 143 for a training that was stopped and
    saved, and for SIGTERM or SIGHUP at another time, 130 for Ctrl-C then, 1 for a failure."""
    args = parse_args(argv, prog, trains=trains)
    try:
        with ends_on_signals(f"Ended at once. {KEPT}"):
            return run(args)
    except KeyboardInterrupt:
        return end(f"Interrupted. {KEPT}", 130)
    except Stopped:
        return end(f"Stopped. {KEPT}", 143)


def speaks() -> bool:
    """Whether this is the one process of a run that tells what all of them know."""
    return os.environ.get("RANK", "0") == "0"


def end(sentence: object, code: int, *, known_to_all: bool = True) -> int:
    """Say on standard error why the process ends, if it can be written to: it may be a terminal that was closed.

    Returns the exit code; of a sentence that is ``known_to_all`` processes of a run, one alone speaks."""
    if speaks() or not known_to_all:
        with suppress(OSError):
            print(sentence, file=sys.stderr)
    return code


def run(args: argparse.Namespace) -> int:
    """Load what is heavy only for a config that is sound, and run it."""
    from trokens.config import ConfigError, load_cfg

    logging.basicConfig(format="%(message)s", level=logging.WARNING if speaks() else logging.ERROR)
    try:
        cfg = load_cfg(args.cfg, args.overrides)
    except ConfigError as error:
        return end(f"ConfigError: {error}", 2)
    try:
        refuse_if_locked(cfg.OUTPUT_DIR, remedy=OTHER_FOLDER)
    except InUse as error:
        return end(f"InUse: {error}", 2)

    from trokens.engine.console import note, setup_logging
    from trokens.engine.output import own_output
    from trokens.engine.run import run_experiment
    from trokens.engine.trainer import Interrupted
    from trokens.runtime.distributed import pick_device, process_group

    setup_logging()
    try:
        device = pick_device(cfg.NUM_GPUS)
        with process_group(device, backend=cfg.DIST_BACKEND, init_method=args.init_method, master_port=cfg.MASTER_PORT,
                           silence=timedelta(minutes=cfg.DIST_TIMEOUT)), own_output(cfg.OUTPUT_DIR):
            run_experiment(cfg, device)
    except EndedElsewhere:
        return 2
    except Interrupted as stopped:
        note(str(stopped))
        return end(stopped, 143)
    except Exception as error:  # caught, so that what it holds is let go: the loader's processes then end at once
        return fail(error)
    return 0


def fail(error: Exception) -> int:
    """Say what ended the run, in one line where its cause is known; returns the exit code."""
    from trokens.engine.console import note
    from trokens.runtime.workers import lost_worker

    error = lost_worker(error) or out_of_memory(error) or error
    can_be_mended = isinstance(error, (MemoryError, ValueError, FloatingPointError, WriteError, *PATH_ERRORS))
    if not can_be_mended and not isinstance(error, LostProcess):
        logging.getLogger("trokens").error("The run failed.", exc_info=error)
        return 1
    text = in_words(error)
    if text.startswith("Caught "):  # in a loader's process: torch gives its traceback, with the error last
        text = text.rstrip().rpartition("\n")[2].partition(": ")[2]
    sentence = f"{type(error).__name__}: {text}"
    code = end(sentence, 2 if can_be_mended else 1, known_to_all=False)
    note(sentence)
    return code


def out_of_memory(error: BaseException) -> MemoryError | None:
    """The error in one sentence with its remedies; None for one that is about something else."""
    import torch

    text = str(error)
    is_torch = isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and SAYS_NO_MEMORY.search(text) is not None)
    if not is_torch and (not isinstance(error, MemoryError) or text.endswith(".")):  # the latter is a sentence of ours
        return None
    where = "The GPU has" if "CUDA" in text or "GPU" in text else "The machine has"
    amount = re.search(r"allocate ([\d.]+ ?\w+)", text)
    return MemoryError(f"{where} no memory for {amount[1] if amount else 'what the run takes'} more; {MORE_MEMORY}.")
