"""Measure a tracker on clips whose true tracks are known: `trokens evaluate-tracker --truth FOLDER`.

Prints TAP-Vid's average Jaccard (AJ), delta_avg and occlusion accuracy (OA), and the CPU time of tracking, of every
clip and their means over every set.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from trokens.cli.tracker_options import add_tracker_options
from trokens.runtime.command import check_at_least, run_command
from trokens.runtime.files import check_writable, write_json

QUERY_MODES = ("strided", "first")  # those of trokens.points.tapvid, which is heavy to import, and not for --help
COLUMNS = {"jaccard": "AJ", "delta": "delta_avg", "occlusion": "OA", "cpu_seconds": "CPU-s"}


def level(text: str) -> str:
    """The name of a level of Moving Shapes."""
    from trokens.moving_shapes.render import LEVELS

    if text not in LEVELS:
        raise argparse.ArgumentTypeError(f"'{text}' is no level of Moving Shapes, which has {', '.join(LEVELS)}")
    return text


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("--tracker", default="flow", help="who follows the points (%(default)s)")
    add_tracker_options(parser)
    parser.add_argument("--truth", nargs="+", default=[], metavar="SET", help="sets of clips, each a folder of videos "
                        "at any depth, a pattern of them in quotes, or a pickle of TAP-Vid; the true tracks of a video "
                        "are in an .npz file beside it, or where tools/make_moving_shapes.py writes them")
    parser.add_argument("--moving_shapes", nargs="+", default=[], type=level, metavar="LEVEL",
                        help="clips of Moving Shapes, rendered on the fly, of levels such as easy")
    parser.add_argument("--num_clips", type=int, default=34, help="of each such level (%(default)s: one of a motion)")
    parser.add_argument("--query_mode", choices=QUERY_MODES, default="strided", help="which frames count: all but a "
                        "point's query frame (strided, the default), or those after it (first); for a pickle of "
                        "TAP-Vid also, where points are asked for")
    parser.add_argument("--use_clusters", action="store_true", help="tell the tracker which points belong together, "
                        "where that is known")
    parser.add_argument("--threads", type=int, default=1, help="of tracking (%(default)s)")
    parser.add_argument("--json", type=Path, help="file to write all figures into")
    args = parser.parse_args(argv)
    if not args.truth and not args.moving_shapes:
        parser.error("There is nothing to measure on; give --truth or --moving_shapes.")
    check_at_least(parser, args, num_clips=1, threads=1)
    return args


def measure(tracker, clip, mode: str, use_clusters: bool) -> tuple[dict[str, float], int]:
    """Track one ``KnownClip`` and score it.

    Returns:
        The figures of COLUMNS, and how many visible positions the tracker gives no finite number for.

    Raises:
        ValueError: The true tracks are not sound.
    """
    from trokens.points.tapvid import check_truth, count_lost, query_points, score

    frames, truth = clip.load()
    check_truth(truth)
    start = time.process_time()
    result = tracker.track(frames, query_points(truth), truth.cluster if use_clusters else None)
    seconds = time.process_time() - start
    figures = score(result.tracks, result.visibility, truth, mode)._asdict() | {"cpu_seconds": seconds}
    return figures, count_lost(result.tracks, truth)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Measure; the exit code is 1 when a clip failed, 2 for a problem that ends the run, 130 when interrupted."""
    args = parse_args(argv, prog)
    return run_command(lambda: measure_sets(args), "Interrupted before all clips were measured.")


def measure_sets(args: argparse.Namespace) -> int:
    """Print the figures of every set, and write them where asked for."""
    import cv2
    import torch

    from trokens.extraction.ground_truth import find_clips, rendered_clips
    from trokens.trackers import build_tracker

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    if args.json:
        check_writable(args.json)
    tracker = build_tracker(args.tracker, **dict(args.tracker_options))
    sets = {source: find_clips(source, args.query_mode) for source in args.truth}
    sets |= {f"Moving Shapes, {level}": rendered_clips(level, args.num_clips) for level in args.moving_shapes}
    report = {"tracker": args.tracker, "tracker_options": dict(args.tracker_options), "query_mode": args.query_mode,
              "use_clusters": args.use_clusters, "sets": {}}
    width = 2 + max(len(title) for title in (*sets, "mean of 1000 clips", *(c.name for s in sets.values() for c in s)))
    for name, clips in sets.items():
        print(f"{name:{width}}" + "".join(f"{column:>11}" for column in COLUMNS.values()))
        figures, lost, failures = {}, {}, {}
        for clip in clips:
            try:
                figures[clip.name], count = measure(tracker, clip, args.query_mode, args.use_clusters)
            except Exception as error:  # one clip must not end the run
                failures[clip.name] = f"{type(error).__name__}: {error}"
                print(f"{clip.name:{width}} failed: {failures[clip.name]}", flush=True)
            else:
                print_row(f"{clip.name:{width}}", figures[clip.name])
                if count:
                    lost[clip.name] = count
                    print(f"{clip.name}: {count} visible positions of the tracker are not finite, and count as misses.",
                          file=sys.stderr)
        mean = {key: fmean(row[key] for row in figures.values()) for key in COLUMNS} if figures else None
        if mean:
            print_row(f"{f'mean of {len(figures)} clips':{width}}", mean)
        print()
        report["sets"][name] = {"clips": figures, "mean": mean, "failures": failures, "lost": lost}
    if args.json:
        write_json(args.json, report)
    failed = sum(len(part["failures"]) for part in report["sets"].values())
    if failed:
        print(f"{failed} of {sum(map(len, sets.values()))} clips failed; the means leave them out.", file=sys.stderr)
    return int(failed > 0)


def print_row(title: str, figures: dict[str, float]) -> None:
    print(title + "".join(f"{figures[key]:11.3f}" for key in COLUMNS), flush=True)
