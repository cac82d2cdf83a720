"""The command `trokens`: each of its commands is a file of this room, imported when it is asked for.

A file's parser needs nothing that is heavy to import, so that --help is quick; what is heavy comes once the command
line was found to be sound. The files of tools/ and point_tracking/ call the same functions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from trokens import __version__
from trokens.cli.choose import Command, choose
from trokens.runtime.command import end_with

COMMANDS = (
    Command("predict", "predict", "tell which action each clip shows, from a few examples of each"),
    Command("train", "train", "train a model and test it: one GPU or CPU, or several under torchrun"),
    Command("test", "test", "test a trained model, or an untrained one"),
    Command("sweep", "sweep", "train and test several settings with several seeds"),
    Command("table", "table", "make a table of a sweep's runs, with intervals and differences"),
    Command("score", "score", "score answers to listed episodes, whoever gave them, with honest intervals"),
    Command("compare", "compare", "tell how much better one test is than another, episode by episode"),
    Command("report", "report", "show in one page what a run did and found, or compare several"),
    Command("publish", "publish", "write a trained model as a folder for the Hugging Face hub, or upload it"),
    Command("extract", "extract", "follow points through videos, for train and test"),
    Command("check", "check", "list what is wrong with the videos, points and lists of a config"),
    Command("splits", "splits", "divide class folders into splits to train, validate and test on"),
    Command("points", "points", "get published points, or convert point files"),
    Command("evaluate-tracker", "evaluate_tracker", "measure a point tracker on clips whose tracks are known"),
    Command("demo", "demo", "render clips of a few actions, and predict some of them"),
)


def main() -> NoReturn:
    """Run the command that this process was started as."""
    end_with(lambda: run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Run a command; the exit code is its own, 2 where there is none of that name."""
    return choose(COMMANDS, argv, "trokens", "Few-shot action recognition with trajectory tokens.", __version__)
