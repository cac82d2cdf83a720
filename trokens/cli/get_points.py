"""Get the published points and split lists from the Hugging Face hub, unpack them, and check them against the lists.

    trokens points get --out $TROKENS_PT_DATA --dataset ssv2
    trokens points get --out $TROKENS_PT_DATA --from_dir already_downloaded

Writes ``OUT/few_shot_info`` and ``OUT/<name>/<dataset>/feat_dump``. Started again it goes on where it stopped. The exit
code is 1 when something is missing or an archive is broken, 2 when nothing could be done, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from trokens.clips.dataset import LISTS
from trokens.clips.published_points import PUBLISHED, REPOSITORY, coverage, may_hold, published_path
from trokens.points import POINT_SUFFIXES
from trokens.runtime.command import run_command
from trokens.runtime.files import whole_file, write_csv, write_text
from trokens.runtime.folders import walk


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True,
                        help="folder to write into, training's DATA.PATH_TO_TROKEN_PT_DATA")
    parser.add_argument("--dataset", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED),
                        help="datasets to get (all)")
    parser.add_argument("--name", default="cotracker3_bip_fr_32", help="set of point files (%(default)s)")
    parser.add_argument("--repo", default=REPOSITORY, help="data set on the hub (%(default)s)")
    parser.add_argument("--from_dir", type=Path, help="folder with the repository's files, in place of the hub")
    parser.add_argument("--delete_zips", action="store_true", help="delete every downloaded zip once it is unpacked")
    parser.add_argument("--rerun", action="store_true", help="unpack again what is there already")
    parser.add_argument("--csv", type=Path, help="CSV to write every missing clip to")
    args = parser.parse_args(argv)
    if args.delete_zips and args.from_dir:
        parser.error("--delete_zips is for downloaded zips; those of --from_dir are not touched.")
    return args


class Files(NamedTuple):
    """The files of a repository: their paths, and what brings one of them to this machine and says where it lies."""

    names: list[str]
    fetch: Callable[[str], Path]


def hub_files(repo: str, folder: Path) -> Files:
    """The files of a data set on the Hugging Face hub, fetched below a folder; its client resumes what was interrupted.

    Raises:
        ConnectionError: The hub cannot be reached; ``fetch`` raises it too.
    """
    import huggingface_hub

    def ask(function: Callable, *args, **options):
        try:
            return function(*args, repo_type="dataset", **options)
        except Exception as error:  # whatever its client's network library raises
            cause = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
            raise ConnectionError(f"{repo} cannot be had from the Hugging Face hub: {cause}. Check the network, or "
                                  "give a folder with its files, --from_dir.") from error

    return Files(ask(huggingface_hub.list_repo_files, repo),
                 lambda name: Path(ask(huggingface_hub.hf_hub_download, repo, name, local_dir=folder)))


def local_files(folder: Path) -> Files:
    """The same files in a local folder.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} (--from_dir).")
    return Files(sorted(Path(file).as_posix() for file in walk(folder).files), lambda name: folder / name)


class Mark:
    """The file that stands for a zip that was deleted: what was wanted of it, and which files that gave.

    Args:
        path: The file.
        name: Set of point files; a mark of another one stands for nothing.
    """

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        said = json.loads(path.read_text(encoding="utf-8") or "{}") if path.exists() else {}
        self.datasets, self.files = (said["datasets"], said["files"]) if said.get("name") == name else ([], [])

    def stands_for(self, datasets: Sequence[str], root: Path) -> bool:
        """Whether the zip was unpacked for these datasets, and all of its files are still there, in either format."""
        paths = (root / file for file in self.files)
        return set(datasets) <= set(self.datasets) and all(
            any(path.with_suffix(suffix).is_file() for suffix in (path.suffix, *POINT_SUFFIXES)) for path in paths)

    def write(self, datasets: Sequence[str], files: Sequence[str]) -> None:
        """Add what was unpacked just now."""
        said = {"name": self.name, "datasets": sorted({*self.datasets, *datasets}),
                "files": sorted({*self.files, *files})}
        write_text(self.path, json.dumps(said))


def get(source: Files, args: argparse.Namespace) -> int:
    """Bring every wanted file to its place; returns the number of broken archives.

    Raises:
        FileNotFoundError: There is nothing of what is wanted.
    """
    from trokens.points.archives import unpack
    from trokens.runtime.progress import progress  # heavy to import, and not for --help

    place = partial(published_path, name=args.name, datasets=args.dataset)
    names = source.names
    plain = {name: target for name in names if (target := place(name))}
    zips = [name for name in names if name.lower().endswith(".zip") and may_hold(name, args.name, args.dataset)]
    if all(LISTS in Path(name).with_suffix("").parts for name in (*plain, *zips)):  # or nothing at all
        raise FileNotFoundError(f"Nothing of {args.name} for {', '.join(args.dataset)} is among the {len(names)} files "
                                f"of {args.from_dir or args.repo}; check --name and --dataset.")
    for name, target in progress(plain.items(), len(plain), "Files"):
        path, target = source.fetch(name), args.out / target
        there = target.is_file() and target.stat().st_size == path.stat().st_size
        if path.resolve() != target.resolve() and (args.rerun or not there):
            with whole_file(target) as unfinished:
                shutil.copyfile(path, unfinished)
    broken = 0
    for name in zips:
        mark = Mark(args.out / f"{name}.unpacked", args.name)
        if not args.rerun and mark.stands_for([d for d in args.dataset if may_hold(name, args.name, [d])], args.out):
            continue
        path, stem, files = source.fetch(name), Path(name).with_suffix("").as_posix(), []

        def placed(entry: str, stem=stem, files=files) -> str | None:
            target = place(f"{stem}/{entry}")
            files += [target] * (target is not None)
            return target

        try:
            done = unpack(path, args.out, placed, rerun=args.rerun, progress=partial(progress, title=name))
        except ValueError as error:
            print(error, file=sys.stderr)
            broken += 1
            continue
        print(f"{name}: {done.written} files unpacked, {done.present} were there before", flush=True)
        if args.delete_zips:
            mark.write(args.dataset, files)
            path.unlink()
    return broken


def check(args: argparse.Namespace) -> int:
    """Print what the lists ask for and what is missing of it; returns the number of missing clips and lists."""
    rows, lacking = [], 0
    for dataset in args.dataset:
        try:
            rows += coverage(args.out, args.name, dataset)
        except (FileNotFoundError, ValueError) as error:
            print(error, file=sys.stderr)
            lacking += 1
    print(f"{'list':<12}{'split':<7}{'clips':>8}{'missing':>9}  first missing")
    for row in rows:
        print(f"{row.list:<12}{row.split:<7}{row.num_clips:>8}{len(row.missing):>9}  {', '.join(row.missing[:3])}")
    if args.csv:
        missing = ((row.list, row.split, id) for row in rows for id in row.missing)
        write_csv(args.csv, [("list", "split", "id"), *missing])
    return lacking + len([id for row in rows for id in row.missing])


def get_and_check(args: argparse.Namespace) -> int:
    """Get and check, and tell whether all is there."""
    broken = get(local_files(args.from_dir) if args.from_dir else hub_files(args.repo, args.out), args)
    lacking = check(args)
    print("Something is missing: see above." if broken or lacking else "All is there.")
    return int(broken + lacking > 0)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Get and check; the exit code is 1 when something is missing or broken, 2 when nothing could be done, 130 when
    interrupted."""
    args = parse_args(argv, prog)
    logging.getLogger("huggingface_hub").propagate = False  # it speaks for itself
    return run_command(lambda: get_and_check(args),
                       "Interrupted. Finished files are kept: the same command goes on from here.")
