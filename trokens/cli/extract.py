"""Extract point trajectories from videos: `trokens extract --videos FOLDER --base_feat_path OUT`.

Writes ``OUT/<name>/<dataset>/feat_dump/<clip id>.safetensors``, and ``OUT/<name>/failures.csv`` where a video could not
be read. Started again it goes on where it stopped. Several processes (torchrun, one a GPU) and several machines
(``--shard i/n``) share the list of videos.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from trokens.cli.tracker_options import add_tracker_options
from trokens.points import POINT_SUFFIXES
from trokens.runtime.command import check_at_least, run_command
from trokens.runtime.files import WriteError

SILENCE = timedelta(hours=1)  # after which a process that was stopped ends the others: the same command goes on
QUIET_SECONDS = 15  # between two lines of progress where the output is no terminal


def part(text: str) -> tuple[int, int]:
    """``i/n`` with 0 <= i < n."""
    numbers = text.split("/")
    if len(numbers) != 2 or not all(n.isdecimal() for n in numbers) or not int(numbers[0]) < int(numbers[1]):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form I/N with I from 0 to N - 1, such as 0/4")
    return int(numbers[0]), int(numbers[1])


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--csv_path", type=Path, help="CSV of the videos with the columns video_path, dataset")
    source.add_argument("--videos", help="folder of one's own videos, at any depth, or a glob pattern (in quotes)")
    parser.add_argument("--root", type=Path, help="folder that ids of own clips and relative paths in the "
                        "CSV start from; by default that of --videos, or of the CSV")
    parser.add_argument("--base_feat_path", type=Path, required=True, help="folder to write into")
    parser.add_argument("--name", default="", help="folder of this extraction, training's POINT_INFO.NAME; by default "
                        "it tells tracker and clustering: flow_bip_fr_32")
    parser.add_argument("--fps", type=float, help="frames a second, by time stamps; 0: every frame of a video; by "
                        "default 10, for Something-Something its own 12")
    parser.add_argument("--format", choices=[suffix[1:] for suffix in POINT_SUFFIXES], default="safetensors",
                        help="of the point files: %(default)s, or pickles as the published code reads them")
    parser.add_argument("--tracker", default="auto", help="who follows the points; by default cotracker3_offline with "
                        "a GPU, flow without")
    add_tracker_options(parser)
    parser.add_argument("--backbone", default="dinov2_vitb14", help="features to cluster: a DINOv2 (default "
                        "%(default)s), or timm:NAME[:STAGE]")
    parser.add_argument("--backbone_weights", default="", help="local file, or package:NAME; downloaded by default")
    parser.add_argument("--clustering_method", choices=("bipartite", "kmeans"), default="bipartite")
    parser.add_argument("--n_clusters", type=int, default=12, help="clusters of k-means (%(default)s)")
    parser.add_argument("--num_frames_clustering", type=int, default=32, help="frames that are clustered (%(default)s)")
    parser.add_argument("--merge_ratio", type=int, default=25, help="percent of tokens merged in a round (%(default)s)")
    parser.add_argument("--num_iters", type=int, default=11, help="rounds of merging (%(default)s)")
    parser.add_argument("--num_points_per_entity", type=int, default=16, help="query points on a cluster (%(default)s)")
    parser.add_argument("--use_connected_components", action="store_true",
                        help="each connected part of a cluster becomes a cluster")
    parser.add_argument("--queries", choices=("semantic", "uniform"), default="semantic", help="query points: on "
                        "clusters of patches (%(default)s), or uniform: the same grid in each of four evenly spaced "
                        "frames, without a backbone")
    parser.add_argument("--use_grid", dest="queries", action="store_const", const="uniform",
                        help="the same as --queries uniform")
    parser.add_argument("--grid_size", "--cotracker_grid_size", dest="grid_size", type=int, default=16,
                        help="points along a side of the grid (%(default)s)")
    parser.add_argument("--damaged_video", choices=("refuse", "warn"), default="refuse", help="leave out a video in "
                        "which the decoder meets damage (%(default)s), or name it and take what the decoder makes up")
    parser.add_argument("--short_video", choices=("refuse", "warn"), default="refuse", help="leave out a video that "
                        "has less than it promises (%(default)s), or name it and take what is there")
    parser.add_argument("--make_vis", action="store_true", help="draw the trails of each video")
    parser.add_argument("--vis_format", choices=("gif", "mp4"), default="gif", help="of the trails (%(default)s)")
    parser.add_argument("--debug_mode", action="store_true", help="draw the clusters of each query frame too")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of this process (%(default)s); 0 "
                        "works in this one, which a crashing decoder ends")
    parser.add_argument("--shard", type=part, default=(0, 1), metavar="I/N", help="do part I of N, from 0: each of N "
                        "machines gets another I")
    parser.add_argument("--rerun", action="store_true", help="extract again what is there already")
    args = parser.parse_args(argv)
    check_at_least(parser, args, num_frames_clustering=1, n_clusters=1, num_points_per_entity=1, grid_size=1,
                   num_iters=0, workers=0)
    if not 0 <= args.merge_ratio <= 50:
        parser.error(f"--merge_ratio is {args.merge_ratio}; a round can merge 0 to 50 percent of the tokens.")
    if args.fps is not None and not 0 <= args.fps < math.inf:
        parser.error(f"--fps is {args.fps}; it must be a number from 0 on.")
    return args


def find_videos(args: argparse.Namespace) -> tuple[list[tuple[Path, str]], Path]:
    """The (path, dataset) pairs asked for, and the folder that ids start from.

    Raises:
        FileNotFoundError: There is no such CSV.
        ValueError: The CSV lacks a column, or there are no videos in the folder.
    """
    from trokens.clips.records import read_records
    from trokens.clips.walk import find_videos as search
    from trokens.clips.walk import videos_on_disk

    if args.csv_path:
        root = args.root or args.csv_path.parent
        rows = read_records(args.csv_path, ("video_path", "dataset"), raw=lambda text: (root / text).is_file())
        paths = videos_on_disk([os.path.join(root, str(row["video_path"])) for row in rows])
        return [(Path(path), str(row["dataset"])) for path, row in zip(paths, rows, strict=True)], root
    found, root = search(args.videos)
    if not found:
        raise ValueError(f"There are no videos in '{args.videos}' (--videos); name a folder, or a pattern in quotes.")
    return [(path, "folder") for path in found], args.root or root


def progress(outcomes: Iterator, total: int, name: str = "") -> Iterator:
    """Iterate with a bar on a terminal, else with a line now and then.

    The pace is that after the first video, which waits for processes to start and for models to be read.
    """
    from tqdm import tqdm

    if sys.stderr.isatty() and not name:
        yield from tqdm(outcomes, total=total, unit="video")
        return
    start = last = time.monotonic()
    for done, outcome in enumerate(outcomes, 1):
        yield outcome
        now = time.monotonic()
        if done == 1 < total:
            start = now
        elif now - last > QUIET_SECONDS or done == total:
            last, pace = now, max(1, done - 1) / (now - start)
            print(f"{name}{done} of {total} videos, {60 * pace:.0f} a minute, "
                  f"{(total - done) / pace / 60:.1f} min left", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Extract; the exit code is 1 when a video failed, 2 for a problem before any work, 130 when interrupted."""
    args = parse_args(argv, prog)
    return run_command(lambda: launch(args), "Interrupted. Finished files are kept: the same command"
                       + " without --rerun" * args.rerun + " goes on from here.")


def launch(args: argparse.Namespace) -> int:
    """Join the other processes of a launcher, and extract."""
    import torch  # what is heavy to import comes after the command line was found to be sound

    from trokens.runtime.distributed import is_main, process_group, sum_over_processes

    options = build_options(args)
    out = args.base_feat_path / (args.name or options.name)
    # Some processes have longer videos than others. None leaves before all are through: a launcher would take an
    # exit code of 1 for a crash, and end the rest.
    with process_group(torch.device("cpu"), timeout=timedelta(days=365), silence=SILENCE), ExitStack() as owned:
        videos, failed = sum_over_processes(torch.tensor(extract(args, options, out, owned))).tolist()
        if is_main():
            print(f"{videos - failed} of {videos} videos have points."
                  + (f" {failed} failed; their causes are in {out / 'failures.csv'}." if failed else ""))
    return int(failed > 0)


def extract(args: argparse.Namespace, options, out: Path, owned: ExitStack) -> tuple[int, int]:
    """Do this process's part; return how many videos that is, and how many of them failed.

    Nobody else extracts this list until ``owned`` is left.
    """
    from trokens.extraction.jobs import list_jobs, own_list
    from trokens.extraction.run import extract_list, jobs_to_do, write_failures
    from trokens.extraction.settings import compare_settings, keep_settings
    from trokens.runtime.distributed import in_main, local_world_size, rank, world_size

    if rank():
        logging.getLogger("trokens.clips").setLevel(logging.WARNING)  # what is passed over is said once
    videos, root = find_videos(args)
    own = os.path.abspath(out) + os.sep  # pictures of an earlier run are no videos
    videos = [(path, dataset) for path, dataset in videos if not os.path.abspath(path).startswith(own)]
    jobs = list_jobs(videos, root, out, fps=args.fps, suffix=f".{args.format}", clusters=args.debug_mode,
                     pictures=f".{args.vis_format}" if args.make_vis or args.debug_mode else "",
                     damaged=args.damaged_video, short=args.short_video)
    settings = {"fps": args.fps, "format": args.format, **asdict(options)}
    compare_settings(out, settings, jobs, rerun=args.rerun)
    in_main(lambda: owned.enter_context(own_list(out, jobs, args.shard)))
    number, count = args.shard[0] * world_size() + rank(), args.shard[1] * world_size()
    mine = jobs[number::count]  # every count-th video: the list alone decides who does what
    todo = jobs_to_do(mine, rerun=args.rerun)
    outcomes = extract_list(todo, options, min(args.workers, len(todo)), processes_here=local_world_size())
    keep_settings(out, settings)
    name = f"Part {number} of {count}: " if count > 1 else ""
    print(f"{name}{len(mine)} videos, {len(mine) - len(todo)} of them done before; writing to {out}", flush=True)
    try:
        failed = sum(outcome.failure is not None for outcome in progress(outcomes, len(todo), name))
    except BaseException:
        with suppress(WriteError):  # a full disk is what ended the work
            write_failures(out)
        raise
    write_failures(out)
    return len(mine), failed


def build_options(args: argparse.Namespace):
    """The extraction's options, as the command line says; those that nothing would read keep their defaults."""
    from trokens.extraction.extractor import Options
    from trokens.trackers import default_tracker

    tracker = Options(default_tracker() if args.tracker == "auto" else args.tracker, dict(args.tracker_options))
    if args.queries == "uniform":
        return replace(tracker, use_grid=True, grid_size=args.grid_size)
    options = replace(
        tracker, backbone=args.backbone, backbone_weights=args.backbone_weights, clustering=args.clustering_method,
        num_frames=args.num_frames_clustering, points_per_entity=args.num_points_per_entity,
        connected_components=args.use_connected_components)
    if args.clustering_method == "kmeans":
        return replace(options, num_clusters=args.n_clusters)
    return replace(options, merge_ratio=args.merge_ratio, num_iters=args.num_iters)
