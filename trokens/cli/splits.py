"""Write class-disjoint few-shot splits of a folder of class folders, for DATA.SPLIT_CSV or in a published format.

    trokens splits my_videos --out splits.csv --val 4 --test 10 --seed 1
    trokens splits my_videos --out splits.csv --train-classes run,jump --test-classes test_classes.txt
    trokens splits my_videos --out points/few_shot_info/hmdb_few_shot.csv --format hmdb --test 10
"""

import argparse
from pathlib import Path

from trokens.clips.class_folders import class_videos, split_folders
from trokens.clips.classes import clean
from trokens.clips.dataset import DATASETS, SPLITS
from trokens.clips.new_splits import assign_classes, draw_classes, split_rows
from trokens.clips.records import read_text
from trokens.runtime.command import run_command

FORMS = {dataset.form: dataset for dataset in map(DATASETS.get, DATASETS)}


def parse_args(argv: list[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("root", type=Path, help="folder with one folder of videos a class")
    parser.add_argument("--out", type=Path, required=True, help="list to write; a folder with --format ssv2")
    parser.add_argument("--format", choices=list(FORMS), default="folder",
                        help="folder: a CSV for DATA.SPLIT_CSV; else as the benchmark's published list (%(default)s)")
    parser.add_argument("--val", type=float, default=0.0, help="number of val classes, or a fraction below 1")
    parser.add_argument("--test", type=float, default=0.0, help="number of test classes, or a fraction below 1")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    for split in SPLITS:
        parser.add_argument(f"--{split}-classes", metavar="NAMES",
                            help=f"instead of a draw: {split} classes as a,b,c or a text file with one name a line")
    return parser.parse_args(argv)


def class_list(text: str | None) -> list[str]:
    """Names from ``a,b,c``, or from a file of that name, one a line."""
    if text is None:
        return []
    names = read_text(Path(text)).splitlines() if Path(text).is_file() else text.split(",")
    return [name for name in map(clean, names) if name]


def split(args: argparse.Namespace) -> int:
    """Assign the classes, write the list, and say how large the splits are.

    Raises:
        ValueError, OSError: Folder, classes and options do not go together, or the list cannot be written.
    """
    if there := split_folders(args.root) if args.root.is_dir() else {}:
        raise ValueError(f"{args.root} holds splits already, in the folders {', '.join(there.values())}, which a run "
                         "reads as they are; give a folder of class folders.")
    videos = class_videos(args.root, {}) if args.root.is_dir() else []
    classes = list(dict.fromkeys(video.class_name for video in videos))
    if not classes:
        raise ValueError(f"No videos lie in {args.root}/<class>/; give the folder above the class folders.")
    lists = {name: class_list(getattr(args, f"{name}_classes")) for name in SPLITS}
    drawn = args.val or args.test
    if bool(drawn) == any(lists.values()):
        raise ValueError("Give either numbers of classes (--val, --test) or class lists (--test-classes, ...).")
    split_of = draw_classes(classes, args.val, args.test, args.seed) if drawn else assign_classes(classes, lists)
    rows = split_rows(videos, split_of)
    dataset = FORMS[args.format]
    dataset.write_list(args.out, rows)
    print(f"{'split':<6}{'classes':>8}{'videos':>8}")
    for name in SPLITS:
        class_ids = [row.class_id for row in rows if row.split == name]
        print(f"{name:<6}{len(set(class_ids)):>8}{len(class_ids):>8}")
    if left := [name for name in classes if name not in split_of]:
        print(f"{len(left)} classes are in no split. Their {len(videos) - len(rows)} videos are left out (first class: "
              f"{left[0]}).")
    if args.format == "folder":
        print(f"Written to {args.out}; use it with DATA.SPLIT_CSV {args.out}.")
    else:
        print(f"Written to {args.out}; it is read as {dataset.place} below DATA.PATH_TO_TROKEN_PT_DATA, and its videos "
              f"as {dataset.videos} below DATA.PATH_TO_DATA_DIR.")
    return 0


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Split; the exit code is 2 for a problem that ends the run, 130 when interrupted."""
    args = parse_args(argv, prog)
    return run_command(lambda: split(args), "Interrupted.")
