"""Extract point trajectories from videos: `point_tracking/extract_points.py --videos FOLDER --base_feat_path OUT`.

Writes ``OUT/<name>/<dataset>/feat_dump/<clip id>.safetensors``, and ``OUT/<name>/failures.csv`` where a video could not
be read. Started again it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import glob
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout runs without being installed

QUIET_SECONDS = 15  # between two lines of progress where the output is no terminal


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
    parser.add_argument("--tracker", default="flow", help="who follows the points (%(default)s)")
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
    parser.add_argument("--use_grid", action="store_true", help="uniform grids of query points instead of clusters")
    parser.add_argument("--cotracker_grid_size", type=int, default=16, help="points along a side of it (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--rerun", action="store_true", help="extract again what is there already")
    args = parser.parse_args(argv)
    for flag in ("num_frames_clustering", "n_clusters", "num_points_per_entity", "cotracker_grid_size", "workers"):
        if getattr(args, flag) < 1:
            parser.error(f"--{flag} is {getattr(args, flag)}; it must be at least 1.")
    if args.fps is not None and args.fps < 0:
        parser.error(f"--fps is {args.fps}; it must not be negative.")
    return args


def find_videos(args: argparse.Namespace) -> tuple[list[tuple[Path, str]], Path]:
    """The (path, dataset) pairs asked for, and the folder that ids start from.

    Raises:
        FileNotFoundError: There is no such CSV.
        ValueError: The CSV lacks a column.
    """
    from trokens.data.datasets import VIDEO_SUFFIXES

    if args.csv_path:
        root = args.root or args.csv_path.parent
        with open(args.csv_path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows, 2):
            if not row.get("video_path") or not row.get("dataset"):
                raise ValueError(f"Line {number} of {args.csv_path} lacks video_path or dataset.")
        return [(root / row["video_path"], row["dataset"]) for row in rows], root
    if os.path.isdir(args.videos):
        root = args.root or Path(args.videos)
        found = [Path(folder, file) for folder, _, files in os.walk(args.videos, followlinks=True) for file in files]
    else:
        fixed = Path(args.videos).parts
        wild = next((i for i, part in enumerate(fixed) if glob.has_magic(part)), len(fixed) - 1)
        root = args.root or Path(*fixed[:wild])
        found = [Path(path) for path in glob.glob(args.videos, recursive=True) if os.path.isfile(path)]
    found = [p for p in found if p.suffix.lower() in VIDEO_SUFFIXES
             and not any(part.startswith(".") for part in Path(os.path.relpath(p, root)).parts if part != "..")]
    return [(path, "folder") for path in sorted(found)], root


class Progress:
    """A bar on a terminal, else a line now and then."""

    def __init__(self, total: int):
        from tqdm import tqdm

        self.total, self.done, self.start = total, 0, time.monotonic()
        self.last = self.start
        self.bar = tqdm(total=total, unit="video") if sys.stderr.isatty() else None

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if self.bar:
            self.bar.update()
        elif now - self.last > QUIET_SECONDS or self.done == self.total:
            self.last = now
            pace = self.done / (now - self.start)
            print(f"{self.done} of {self.total} videos, {60 * pace:.0f} a minute, "
                  f"{(self.total - self.done) / pace / 60:.1f} min left", flush=True)

    def close(self) -> None:
        if self.bar:
            self.bar.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Extract; the exit code is 1 when a video failed, 2 for a problem before any work."""
    args = parse_args(argv)
    # What is heavy to import comes after the command line was found to be sound.
    from trokens.extraction import Options, VideoList, extract_list

    options = Options(
        tracker=args.tracker, backbone=args.backbone, backbone_weights=args.backbone_weights,
        clustering=args.clustering_method, num_clusters=args.n_clusters, num_frames=args.num_frames_clustering,
        merge_ratio=args.merge_ratio, num_iters=args.num_iters, points_per_entity=args.num_points_per_entity,
        connected_components=args.use_connected_components, use_grid=args.use_grid,
        grid_size=args.cotracker_grid_size)
    out = args.base_feat_path / (args.name or options.name)
    try:
        jobs = VideoList(*find_videos(args)).jobs(out, args.fps)
        todo = [job for job in jobs if args.rerun or not job.points.exists()]
        print(f"{len(jobs)} videos, {len(jobs) - len(todo)} of them done before; writing to {out}", flush=True)
        failed = run(extract_list(todo, options, min(args.workers, len(todo))), len(todo), out) if todo else 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(f"{len(jobs) - failed} of {len(jobs)} videos have points."
          + (f" {failed} failed; their causes are in {out / 'failures.csv'}." if failed else ""))
    return int(failed > 0)


def run(outcomes, total: int, out: Path) -> int:
    """Go through the outcomes, note the failures in ``failures.csv`` as they come, and count them."""
    out.mkdir(parents=True, exist_ok=True)
    report, failed, progress = out / "failures.csv", 0, Progress(total)
    report.unlink(missing_ok=True)
    for outcome in outcomes:
        if outcome.failure:
            with open(report, "a", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                if not failed:
                    writer.writerow(("video_path", "cause"))
                writer.writerow((outcome.job.video, outcome.failure))
            failed += 1
        progress.step()
    progress.close()
    return failed


if __name__ == "__main__":
    sys.exit(main())
