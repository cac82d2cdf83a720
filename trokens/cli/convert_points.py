"""Turn published point files (pickles) into safetensors, or back: a file, or a folder with all below it.

    trokens points convert points/cotracker3_bip_fr_32 converted/cotracker3_bip_fr_32 --workers 4
    trokens points convert points/flow_bip_fr_32 published/flow_bip_fr_32 --to pkl

A folder's layout is kept. Started again it goes on where it stopped. Nothing in a pickle is executed. The exit code is
1 when a file is broken, 2 when nothing could be done, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trokens.points import POINT_SUFFIXES
from trokens.runtime.command import check_at_least, run_command
from trokens.runtime.files import remove_unfinished
from trokens.runtime.folders import walk
from trokens.runtime.parallel import DIED, parallel_map


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="point file, or folder of point files at any depth")
    parser.add_argument("out", type=Path, help="folder to write into; SOURCE itself is possible")
    parser.add_argument("--to", choices=[suffix[1:] for suffix in POINT_SUFFIXES], default=POINT_SUFFIXES[0][1:],
                        help="format to write; files of the other one are read (%(default)s)")
    parser.add_argument("--obj_id_key", default="obj_ids", help="key of the cluster ids in a pickle (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (%(default)s); 0 works in this one")
    parser.add_argument("--rerun", action="store_true", help="convert again what is there already")
    args = parser.parse_args(argv)
    check_at_least(parser, args, workers=0)
    if args.out.suffix in POINT_SUFFIXES:
        parser.error(f"OUT is {args.out}, which is the name of a point file; give the folder to write it into.")
    return args


def find_pairs(source: Path, out: Path, to: str) -> list[tuple[Path, Path]]:
    """Each file to read with the file to write, in the order of the names.

    Raises:
        FileNotFoundError: There is nothing to convert.
        ValueError: The one file is of the other format.
    """
    read, write = (suffix for suffix in sorted(POINT_SUFFIXES, key=lambda suffix: suffix == f".{to}"))
    if source.is_file():
        if source.suffix != read:
            raise ValueError(f"{source} is no {read} file to turn into {write}; check the path and --to.")
        found, source = [source], source.parent
    else:
        found = [source / file for file in (walk(source).files if source.is_dir() else ()) if file.endswith(read)]
    if not found:
        raise FileNotFoundError(f"There are no {read} files in {source} to turn into {write}; check the path and --to.")
    return [(path, out / path.relative_to(source).with_suffix(write)) for path in sorted(found)]


def convert(pair: tuple[Path, Path], obj_id_key: str) -> str | None:
    """Convert one file; returns the cause where it cannot be read."""
    from trokens.points.io import read_point_file, write_tracks  # heavy to import, and not for --help

    path, target = pair
    try:
        file = read_point_file(path, obj_id_key)
    except Exception as error:  # one file must not end a run of thousands
        return str(error)
    write_tracks(target, file.tracks, file.metadata, times=file.times)
    return None


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Convert; the exit code is 1 for broken files, 2 for a problem that ends the run, 130 when interrupted."""
    args = parse_args(argv, prog)
    return run_command(lambda: convert_all(args),
                       "Interrupted. Finished files are kept: the same command goes on from here.")


def convert_all(args: argparse.Namespace) -> int:
    """Convert what is asked for and not there yet."""
    from trokens.runtime.progress import progress

    pairs = find_pairs(args.source, args.out, args.to)
    todo = [pair for pair in pairs if args.rerun or not pair[1].exists()]
    before = len(pairs) - len(todo)
    remove_unfinished(target for _, target in todo)
    print(f"{len(pairs)} files, {before} of them converted before; writing to {args.out}", flush=True)
    outcomes, broken = parallel_map(partial(convert, obj_id_key=args.obj_id_key), todo, args.workers, if_died=DIED), 0
    for (path, _), cause in progress(outcomes, len(todo), "Converted"):
        if cause:
            broken += 1
            print(f"{path} is broken: {cause.replace(f'{path} ', 'it ')}", file=sys.stderr)
    print(f"{len(pairs) - broken} of {len(pairs)} files are converted." + (f" {broken} are broken." if broken else ""))
    return int(broken > 0)
