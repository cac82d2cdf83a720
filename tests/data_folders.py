"""Folders of videos and their lists, for datasets to read."""

import csv
import json
from pathlib import Path

from yacs.config import CfgNode

from trokens.clips.dataset import DATASETS, Source

FOLDER = DATASETS.get("folder")


def options(dataset: str, *, data: Path | str = "", points: Path | str = "", test: str = "", name: str = "flow",
            ssv2: str = "ssv2_small", split_csv: str = "") -> CfgNode:
    return CfgNode({
        "TRAIN": {"DATASET": dataset}, "TEST": {"DATASET": test or dataset}, "SSV2": {"SPLIT": ssv2},
        "POINT_INFO": {"NAME": name, "USE_CORRELATION": False},
        "DATA": {"PATH_TO_DATA_DIR": str(data), "PATH_TO_TROKEN_PT_DATA": str(points), "SPLIT_CSV": split_csv},
    })


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write_csv(path: Path, columns: tuple[str, ...], *rows: tuple) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_json(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


def hmdb(points: Path, *rows: tuple, columns=("vid_id", "vid_base_path", "label_id", "split")) -> CfgNode:
    write_csv(points / "few_shot_info" / "hmdb_few_shot.csv", columns, *rows)
    return options("HMDB51", data="/data", points=points)


def rows(root: Path, split_csv: str = "") -> list[tuple[str, str, str]]:
    return [(row.split, row.class_name, row.id) for row in FOLDER.rows(Source(root, root, split_csv=split_csv))]


def link(root: Path, **targets: str) -> None:
    for name, target in targets.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
