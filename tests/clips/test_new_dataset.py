"""A published dataset is added by one file and its YAML: every command finds it."""

import json
import os
import shutil
import subprocess
import sys

import tiny

ONE_FILE = '''"""Toy: one list of {"clip", "label", "split"}."""

import json

from trokens.clips.dataset import LISTS, Dataset, add_dataset
from trokens.clips.published_lists import inside, published_row, stem
from trokens.clips.records import read_rows
from trokens.runtime.files import write_text


def read(source):
    return read_rows(source.lists / "toy.json", ("clip", "label", "split"), lambda record: published_row(
        record["split"], f"toys/{inside(record['clip'])}.mp4", record["label"]))


def write(path, rows):
    write_text(path, json.dumps([{"clip": stem(row), "label": row.class_id, "split": row.split} for row in rows]))


add_dataset(Dataset("toy", read, form="toy", write=write, place=f"{LISTS}/toy.json", videos="toys/<id>.mp4",
                    short_id=lambda name: name.split("-")[0], fps=6.0, archive="toys?"))
'''
YAML = """
_BASE_: base.yaml
TRAIN: {DATASET: Toy}
TEST: {DATASET: Toy}
MODEL: {NUM_CLASSES: 8}
"""
EVERYWHERE = '''
import json, shutil, zipfile
from pathlib import Path
from trokens import load_cfg
from trokens.cli import check, extract, get_points, splits
from trokens.clips.split import build_split
from trokens.points.io import read_metadata

def run(command, *arguments):
    assert command.main([str(argument) for argument in arguments]) == 0, (command, arguments)

run(splits, "videos", "--format", "toy", "--out", "hub/few_shot_info/toy.json", "--val", 3, "--test", 3)
Path("data/toys").mkdir(parents=True)
for video in Path("videos").rglob("*.mp4"):
    shutil.copy(video, "data/toys")
Path("list.csv").write_text("video_path,dataset\\n" + "".join(f"{v},toy\\n" for v in Path("data").rglob("*.mp4")))
run(extract, "--csv_path", "list.csv", "--base_feat_path", "made", "--use_grid", "--tracker", "flow", "--workers", 0,
    "--format", "pkl", "--cotracker_grid_size", 4)
with zipfile.ZipFile("hub/toys.zip", "w") as archive:
    for points in Path("made/flow_grid_4/toy/feat_dump").iterdir():
        archive.write(points, points.name)
run(get_points, "--from_dir", "hub", "--out", "points", "--dataset", "toy", "--name", "flow_grid_4")
cfg = ["DATA.PATH_TO_DATA_DIR", "data", "DATA.PATH_TO_TROKEN_PT_DATA", "points", "POINT_INFO.NAME", "flow_grid_4",
       "FEW_SHOT.N_WAY", "3", "FEW_SHOT.TRAIN_QUERY_PER_CLASS", "1", "NUM_GPUS", "0"]
run(check, "--cfg", "toy", "--workers", 0, *cfg)
clips = build_split(load_cfg("toy", cfg), "train")
print(json.dumps([[clip.id, str(clip.tracks), str(clip.video), read_metadata(clip.tracks)["fps"]] for clip in clips]))
'''


def test_one_file_and_a_yaml_add_a_dataset(tiny_data, tmp_path):
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(tiny.ROOT / "trokens", tmp_path / "trokens", ignore=ignore)
    shutil.copytree(tiny.ROOT / "configs", tmp_path / "configs")
    (tmp_path / "trokens/clips/datasets/toy.py").write_text(ONE_FILE)
    (tmp_path / "configs/trokens/toy.yaml").write_text(YAML)
    for number, video in enumerate(sorted(tiny_data.glob("*/*/*.mp4"))):
        target = tmp_path / "videos" / video.parent.name / f"toy{number:02d}-cut.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, target)
    done = subprocess.run([sys.executable, "-c", EVERYWHERE], cwd=tmp_path, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is read as few_shot_info/toy.json below" in done.stdout and "All is there." in done.stdout
    clips = json.loads(done.stdout.splitlines()[-1])
    assert len(clips) > 20
    for id, points, video, fps in clips:
        assert (points, video) == (f"points/flow_grid_4/toy/feat_dump/{id}.pkl", f"data/toys/{id}-cut.mp4")
        assert float(fps) == 6
