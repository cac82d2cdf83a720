"""Render Moving Shapes, a benchmark whose classes differ only in motion.

Writes ``OUT/{train,val,test}/<class>/<clip>.mp4``, the layout of the ``folder`` dataset, and the exact tracks in
``OUT/points/exact/folder/feat_dump/<clip id>.safetensors`` (``POINT_INFO.NAME exact`` with
``DATA.PATH_TO_TROKEN_PT_DATA OUT/points``). Every clip is a pure function of seed, split, class and number.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import cv2

from trokens.clips.dataset import clip_id
from trokens.extraction.ground_truth import EXACT
from trokens.moving_shapes.render import LEVELS, TEXTURES, render_clip, render_seed
from trokens.points.io import write_tracks
from trokens.points.source import describe_video
from trokens.runtime.command import run_command
from trokens.runtime.parallel import parallel_map
from trokens.video.write import write_video


def parse_args(argv: list[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--clips-per-class", type=int, default=12)
    parser.add_argument("--level", choices=list(LEVELS), default="easy",
                        help="which classes, and what disturbs: docs/MOVING_SHAPES.md (%(default)s)")
    parser.add_argument("--splits", nargs="+", choices=("train", "val", "test"), default=["train", "val", "test"],
                        help="render these alone; a clip does not depend on it")
    parser.add_argument("--textures", choices=TEXTURES, default="shared",
                        help="shared: all clips draw on one small family; varied: each clip its own")
    parser.add_argument("--size", type=int, default=128, help="width and height in pixels")
    parser.add_argument("--frames", type=int, default=24, help="frames a clip, at 10 a second")
    parser.add_argument("--points", type=int, default=160, help="exact tracks a clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes; the files do not depend on it")
    return parser.parse_args(argv)


def write_clip(clip: tuple[str, str, int], args: argparse.Namespace) -> None:
    """Render one clip (split, motion, index) and write its video and its tracks."""
    split, motion, index = clip
    cv2.setNumThreads(1)
    frames, tracks = render_clip(motion, seed=render_seed(args.seed, split, motion, index), level=args.level,
                                 textures=args.textures, size=args.size, num_frames=args.frames,
                                 num_points=args.points)
    video = args.out / split / motion / f"{index:03d}.mp4"
    write_video(video, frames)
    points = args.out / EXACT / f"{clip_id(video, args.out)}.safetensors"
    write_tracks(points, tracks, {"tracker": "exact", "level": args.level, "textures": args.textures,
                                  **describe_video(video)})


def render_all(args: argparse.Namespace) -> int:
    """Render and write all clips.

    Raises:
        RuntimeError: A worker process died.
    """
    splits = {split: motions for split, motions in LEVELS[args.level].motions.items() if split in args.splits}
    clips = [(split, motion, index) for split, motions in splits.items() for motion in motions
             for index in range(args.clips_per_class)]
    start = time.monotonic()
    for clip, problem in parallel_map(partial(write_clip, args=args), clips, args.workers, if_died="died"):
        if problem:
            raise RuntimeError(f"The process that rendered clip {clip[2]} of {clip[0]}/{clip[1]} died (out of "
                               "memory?); give fewer --workers.")
    print(f"Wrote {len(clips)} clips of {sum(map(len, splits.values()))} classes to {args.out} "
          f"in {time.monotonic() - start:.0f} s.")
    return 0


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Render; the exit code is 2 for a problem that ends the run, 130 when interrupted."""
    args = parse_args(argv, prog)
    return run_command(lambda: render_all(args), "Interrupted. The same command renders all clips again.")
