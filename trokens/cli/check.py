"""Open every video and point file of every split of a config and list what is wrong.

    trokens check --cfg hmdb DATA.PATH_TO_DATA_DIR $DATA_DIR \\
      DATA.PATH_TO_TROKEN_PT_DATA $TROKENS_PT_DATA --workers 8 --csv findings.csv

The exit code is 0 when nothing was found, 1 for warnings alone (the run copes), 2 for errors (the run would stop, or
read something wrong) and where nothing could be checked, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from trokens.runtime.command import check_at_least, run_command
from trokens.runtime.files import write_csv


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("--cfg", required=True, help="a config by its name, such as hmdb, or the path of a YAML file")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (%(default)s); 0 works in this one, "
                        "which a crashing decoder ends")
    parser.add_argument("--quick", action="store_true",
                        help="read what files say of themselves, without decoding the frames that a run would read")
    parser.add_argument("--csv", type=Path, help="CSV to write all findings to")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="options, see docs/CONFIG.md")
    args = parser.parse_intermixed_args(argv)
    check_at_least(parser, args, workers=0)
    return args


def find(cfg, quick: bool, workers: int) -> tuple[list, int]:
    """All findings, and the number of clips.

    Raises:
        ValueError, FileNotFoundError: A split list is missing or broken.
        RuntimeError: The worker processes cannot start.
    """
    from trokens.clips.checks import as_warnings
    from trokens.clips.clip_check import ClipCheck, check_job, crashed
    from trokens.clips.dataset import SPLITS
    from trokens.engine.data import read_data
    from trokens.runtime.parallel import parallel_map
    from trokens.runtime.progress import progress

    data = read_data(cfg, SPLITS)
    jobs = [(ClipCheck.from_config(cfg, split, quick=quick), clip)
            for split in SPLITS for clip in data.lists[split]]
    findings = list(data.findings)
    for job, found in progress(parallel_map(check_job, jobs, workers), len(jobs), "Clips"):
        found = crashed(job) if found is None else found
        findings += found if job[0].split in data.splits else as_warnings(found)
    return findings, len(jobs)


def show(findings: Sequence) -> None:
    """Print one line for each kind of finding in a split: how many, and the first."""
    print(f"{'severity':<10}{'split':<7}{'finding':<25}{'count':>6}  first")
    groups: dict[tuple, list] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.split, finding.kind), []).append(finding)
    for (severity, split, kind), found in sorted(groups.items(), key=lambda group: group[0][0]):
        first = ": ".join(filter(None, (found[0].clip, found[0].detail)))
        print(f"{severity:<10}{split:<7}{kind:<25}{len(found):>6}  {first}")


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Check; the exit code is 0 without findings, 1 with warnings alone, 2 with errors or when nothing was checked, 130
    when interrupted."""
    args = parse_args(argv, prog)
    return run_command(lambda: check(args), "Interrupted before all clips were checked.")


def check(args: argparse.Namespace) -> int:
    """Check, and tell what was found."""
    from trokens.config import load_cfg

    findings, num_clips = find(load_cfg(args.cfg, args.overrides), args.quick, args.workers)
    if args.csv:
        write_csv(args.csv, [("severity", "split", "finding", "clip", "detail", "file"), *findings])
    errors = sum(finding.severity == "error" for finding in findings)
    if findings:
        show(findings)
    print(f"{num_clips} clips checked: {errors} errors, {len(findings) - errors} warnings.")
    return 2 if errors else int(bool(findings))
