"""Extraction in several processes: parts of the list, kills, crashes, and what is left on disk."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import cv2
import pytest
import torch
from extracting import SCRIPT, run
from processes import PRELOAD, TIMEOUT, descendants, free_port, wait_for

from trokens.cli import extract as extract_points
from trokens.clips.walk import is_video
from trokens.extraction.extractor import Options
from trokens.extraction.jobs import Job, list_jobs, own_list, unfinished_jobs
from trokens.extraction.run import extract_list, write_failures
from trokens.extraction.settings import compare_settings, keep_settings
from trokens.moving_shapes.render import render_clip
from trokens.points.io import read_tracks
from trokens.runtime.files import write_csv
from trokens.runtime.parallel import DIED
from trokens.trackers import TRACKERS, TrackResult
from trokens.video import probe
from trokens.video.write import write_video

GRID = ("--use_grid", "--cotracker_grid_size", 3)


@TRACKERS.register("deadly_test")
class Deadly:
    """Stands still, and takes its process along when it sees a video of seven frames."""

    def __init__(self):
        self.metadata = {"tracker": "deadly_test", "visibility_rule": "all"}

    def track(self, frames, query_points, cluster=None):
        if len(frames) == 7:
            os._exit(1)
        still = query_points[:, 1:].expand(len(frames), -1, -1)
        return TrackResult(still, torch.ones(still.shape[:2], dtype=torch.bool), torch.ones(still.shape[:2]))


class DeadlyOptions(Options):
    """Unpickled in a worker, it brings this module along, which registers the tracker there."""


def write_clips(root: Path, lengths: list[int]) -> list[Path]:
    cv2.setNumThreads(1)
    for number, length in enumerate(lengths):
        frames, _ = render_clip("translate_left", seed=number, size=64, num_frames=length, num_points=4)
        write_video(root / f"{number:02}.mp4", frames)
    return sorted(root.glob("*.mp4"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Nine clips and a broken file."""
    root = tmp_path_factory.mktemp("list")
    write_clips(root, [6] * 9)
    (root / "broken.mp4").write_bytes(b"no video")
    return root


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(clips, tmp_path_factory):
    """The files of one run in one process."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert run("--videos", clips, "--base_feat_path", out, *GRID) == 1
    found = files(out)
    assert len(found) == 9 + 3  # failures.csv, the note of the failed one, extraction.json
    return found


def test_shards_write_the_files_of_one_run(clips, undisturbed, tmp_path, capsys):
    flags = ("--videos", clips, "--base_feat_path", tmp_path, *GRID)
    codes = [run(*flags, "--shard", f"{i}/3") for i in (2, 0, 1)]
    assert sorted(codes) == [0, 0, 1]  # one of the parts holds the broken file
    said = capsys.readouterr().out
    assert all(f"Part {i} of 3: {n} videos, 0 of them done before" in said for i, n in enumerate((4, 3, 3)))
    assert files(tmp_path) == undisturbed


def test_torchrun_shares_the_list_and_waits_for_all(clips, undisturbed, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}",
               str(SCRIPT), "--workers", "0", "--videos", str(clips), "--base_feat_path", str(tmp_path),
               *map(str, GRID)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 1, done.stderr
    assert "Part 0 of 2: 5 videos" in done.stdout and "Part 1 of 2: 5 videos" in done.stdout
    assert done.stdout.count("9 of 10 videos have points. 1 failed") == 1
    assert files(tmp_path) == undisturbed


def test_the_same_videos_are_extracted_by_one_command_at_a_time(clips, tmp_path, capsys):
    flags = ("--base_feat_path", tmp_path, "--name", "n", *GRID)
    videos = [(path, "folder") for path in sorted(clips.glob("0[01].mp4"))]
    jobs = list_jobs(videos, clips, tmp_path / "n")
    for shard, part in (((0, 1), "This list of videos is"), ((1, 2), "Part 1 of 2 of these videos is")):
        with own_list(tmp_path / "n", jobs, shard):
            said = run("--videos", clips / "0[01].mp4", *flags, "--shard", f"{shard[0]}/{shard[1]}")
            error = capsys.readouterr().err
            assert said == 2 and error.startswith(f"InUse: {part} being extracted into {tmp_path / 'n'} by process ")
            assert error.endswith(f"wait for it, end it (kill {os.getpid()}), or give another --name.\n")
            assert not (tmp_path / "n" / "extraction.json").exists()
    with own_list(tmp_path / "n", jobs, (0, 2)):
        assert run("--videos", clips / "0[01].mp4", *flags, "--shard", "1/2") == 0
        assert run("--videos", clips / "0[34].mp4", *flags) == 0
    assert not list((tmp_path / "n").glob("*.lock"))


def test_a_process_without_work_waits_for_those_that_load_a_backbone(clips, tmp_path):
    flags = ["--videos", str(clips / "0[01].mp4"), "--base_feat_path", str(tmp_path), "--name", "n", "--workers", "0",
             "--num_frames_clustering", "1", "--backbone", "timm:tf_efficientnet_lite0:3"]
    folder = tmp_path / "n" / "folder" / "feat_dump"
    folder.mkdir(parents=True)
    (folder / "00.safetensors").touch()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}",
               str(SCRIPT), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    assert "FileNotFoundError: No weights for tf_efficientnet_lite0" in done.stderr  # at once, not after a year


def test_a_second_ctrl_c_is_answered_too(clips, tmp_path):
    command = [sys.executable, str(SCRIPT), "--videos", str(clips), "--base_feat_path", str(tmp_path), "--workers", "2",
               *map(str, GRID)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1"})
    run.stdout.readline()  # the workers are about to start
    wait_for(lambda: descendants(run.pid), "the start of a worker")
    os.killpg(run.pid, signal.SIGINT)
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=TIMEOUT)
    assert run.returncode == 130 and err.count("Interrupted.") <= 1 and "Traceback" not in err, (out, err)


def test_the_pace_leaves_out_what_was_waited_for_the_first_video(monkeypatch, capsys):
    clock = iter([0, 100, 101, 102, 120, 123])
    monkeypatch.setattr(extract_points.time, "monotonic", lambda: next(clock))
    assert list(extract_points.progress(iter("abcde"), 5, "Part 1 of 2: ")) == list("abcde")
    assert capsys.readouterr().err.splitlines() == ["Part 1 of 2: 2 of 5 videos, 60 a minute, 0.1 min left",
                                                    "Part 1 of 2: 4 of 5 videos, 9 a minute, 0.1 min left",
                                                    "Part 1 of 2: 5 of 5 videos, 10 a minute, 0.0 min left"]


@pytest.mark.parametrize("text", ["3/3", "1", "a/2", "-1/2", "1/2/3"])
def test_a_wrong_shard_is_named(text, capsys):
    with pytest.raises(SystemExit):
        run("--videos", "x", "--base_feat_path", "y", f"--shard={text}")
    assert f"'{text}' is not of the form I/N" in capsys.readouterr().err


def killed_at(moment: int, *flags) -> None:
    """Extract in this process, and kill it at the given one of the moments before a file is whole, and after."""
    left = [moment]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def replace(source, target, original=os.replace) -> None:
        tick()
        original(source, target)
        tick()

    os.replace = replace
    raise SystemExit(run(*flags))


def test_a_run_killed_at_every_moment_ends_with_the_files_of_an_undisturbed_one(clips, undisturbed, tmp_path):
    """Every start gets one moment further than the one before, whatever it goes on from."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    codes = []
    while 1 not in codes and len(codes) < 30:
        process = context.Process(target=killed_at, args=(len(codes) + 1, "--videos", clips, "--base_feat_path",
                                                          tmp_path, *GRID))
        process.start()
        process.join(TIMEOUT)
        codes.append(process.exitcode)
    assert codes == [-signal.SIGKILL] * (len(codes) - 1) + [1] and len(codes) > 4
    assert files(tmp_path) == undisturbed


def test_what_a_killed_process_left_is_removed_with_its_own_jobs_alone(tmp_path):
    jobs = [Job(tmp_path / f"{name}.mp4", tmp_path / "feat_dump" / f"{name}.safetensors", 10.,
                tmp_path / "vis" / f"{name}.gif") for name in ("mine", "other")]
    left = [path.with_name(f".{path.name}.0a0b.tmp") for job in jobs for path in (job.points, job.trails)]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert unfinished_jobs(jobs[:1]) == jobs[:1]
    assert [path.exists() for path in left] == [False, False, True, True]


def test_a_video_that_kills_its_process_fails_alone(tmp_path):
    videos = write_clips(tmp_path / "clips", [6, 7, 6])
    jobs = list_jobs([(path, "folder") for path in videos], tmp_path / "clips", tmp_path / "out", fps=0)
    outcomes = dict(extract_list(jobs, DeadlyOptions(tracker="deadly_test", use_grid=True, grid_size=2), 2))
    assert [outcomes[job] for job in jobs] == [None, DIED, None]
    assert [job.points.exists() for job in jobs] == [True, False, True]
    assert write_failures(tmp_path / "out") == 1


@pytest.mark.parametrize(("workers", "pictures"), [(0, ()), (2, ()), (0, ("--make_vis",)),
                                                   (0, ("--make_vis", "--vis_format", "mp4"))])
def test_a_full_disk_ends_the_run_and_blames_no_video(clips, small_disk, fill, capsys, workers, pictures):
    flags = ("--videos", clips / "0[0-4].mp4", "--base_feat_path", small_disk, "--name", "n", *GRID, *pictures)
    fill(18000)  # four pages: the lock, the settings, and some of the five
    assert run(*flags, "--workers", workers) == 2
    error = capsys.readouterr().err.splitlines()[-1]  # a slow machine tells of its progress before
    assert re.fullmatch(rf"WriteError: {small_disk}/n/folder/\w+/\d\d\.\w+ cannot be written \(No space left on "
                        r"device\); free some space there, or choose another folder\.", error)
    names = {path.name for path in small_disk.rglob("*") if path.is_file() and path.suffix not in (".gif", ".mp4")}
    assert {name for name in names if not name.endswith(".safetensors")} == {"fill", "extraction.json"}
    assert bool(not pictures) <= len(names) - 2 < 5
    fill(0)
    (small_disk / "fill").unlink()
    assert run(*flags) == 0


def test_points_of_two_kinds_are_never_mixed(tmp_path):
    def jobs(*names):
        return list_jobs([(Path(f"/v/{name}.mp4"), "folder") for name in names], Path("/v"), tmp_path)

    old, new = {"tracker": "flow", "num_frames": 32}, {"tracker": "flow", "num_frames": 8}
    for job in jobs("a", "b"):
        job.points.parent.mkdir(parents=True, exist_ok=True)
        job.points.touch()
    keep_settings(tmp_path, old)  # none were known: points that came from elsewhere stay
    assert all(job.points.exists() for job in jobs("a", "b"))
    compare_settings(tmp_path, old, jobs("a"))
    with pytest.raises(ValueError, match=r"num_frames is 32 there and 8 here\); give another --name, or --rerun"):
        compare_settings(tmp_path, new, jobs("a", "b"))
    with pytest.raises(ValueError, match=r"1 of them of videos that are not in this list \(first: b\)"):
        compare_settings(tmp_path, new, jobs("a"), rerun=True)
    compare_settings(tmp_path, new, jobs("a", "b", "c"), rerun=True)
    keep_settings(tmp_path, new)
    assert not any(job.points.exists() for job in jobs("a", "b"))
    jobs("a")[0].points.touch()
    keep_settings(tmp_path, new)  # a second process of the same run
    assert jobs("a")[0].points.exists() and json.loads((tmp_path / "extraction.json").read_text()) == new


def test_names_that_are_long_or_no_utf8_fail_like_others(tmp_path):
    (tmp_path / "clips").mkdir()
    names = [b"x" * 240 + b".mp4", b"b\xe9.mp4"]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path / "clips"), name))).write_bytes(b"no video")
    assert run("--videos", tmp_path / "clips", "--base_feat_path", tmp_path / "out", "--name", "n", *GRID) == 1
    text = (tmp_path / "out" / "n" / "failures.csv").read_bytes()
    assert all(name in text for name in names)
    (tmp_path / "clips" / ("y" * 245 + ".mp4")).write_bytes(b"no video")
    assert run("--videos", tmp_path / "clips", "--base_feat_path", tmp_path / "out", "--name", "n", *GRID) == 2


def test_a_list_may_name_videos_that_are_no_utf8(tmp_path):
    video = tmp_path / os.fsdecode(b"b\xe9.mp4")
    video.write_bytes(b"no video")
    write_csv(tmp_path / "list.csv", [("video_path", "dataset"), (video.name, "folder")])
    assert run("--csv_path", tmp_path / "list.csv", "--base_feat_path", tmp_path / "out", "--name", "n", *GRID) == 1
    assert os.fsencode(video.name) in (tmp_path / "out" / "n" / "failures.csv").read_bytes()


def test_failures_of_other_lists_are_kept(clips, tmp_path):
    flags = ("--base_feat_path", tmp_path, "--name", "n", *GRID)
    assert run("--videos", clips / "broken.mp4", *flags) == 1
    assert run("--videos", clips / "00.mp4", *flags) == 0
    with open(tmp_path / "n" / "failures.csv", newline="") as file:
        assert [Path(row["video_path"]).name for row in csv.DictReader(file)] == ["broken.mp4"]


def test_missing_pictures_are_drawn_later(clips, tmp_path, capsys):
    flags = ("--videos", clips / "0[01].mp4", "--base_feat_path", tmp_path, "--name", "n", *GRID)
    assert run(*flags) == 0 and run(*flags, "--make_vis") == 0
    assert len(list((tmp_path / "n" / "folder" / "vis").iterdir())) == 2
    assert run(*flags, "--make_vis") == 0 and "2 of them done before" in capsys.readouterr().out.splitlines()[-2]


def test_pictures_of_an_earlier_run_are_no_videos(clips, tmp_path):
    shutil.copy(clips / "00.mp4", tmp_path)
    flags = ("--videos", tmp_path, "--base_feat_path", tmp_path / "points", "--name", "n", *GRID)
    assert run(*flags, "--make_vis", "--vis_format", "mp4") == run(*flags) == 0
    assert [path.name for path in (tmp_path / "points/n/folder/feat_dump").iterdir()] == ["00.safetensors"]


def test_the_command_refuses_other_options_and_leaves_nothing_of_impossible_ones(clips, tmp_path, capsys):
    flags = ("--videos", clips, "--base_feat_path", tmp_path, "--name", "x", *GRID)
    assert run(*flags, "--tracker", "flaw") == 2 and not files(tmp_path)
    assert run(*flags) == 1
    assert run(*flags, "--fps", 3) == 2
    assert "fps is None there and 3.0 here" in capsys.readouterr().err


def test_every_odd_file_gives_points_or_a_line_that_names_the_cause(real_clips, tmp_path):
    for video in (path for path in (real_clips / "robust").iterdir() if is_video(path)):
        (tmp_path / "clips" / video.suffix[1:]).mkdir(parents=True, exist_ok=True)  # some share a stem
        (tmp_path / "clips" / video.suffix[1:] / video.name).symlink_to(video)
    assert run("--videos", tmp_path / "clips" / "*" / "*", "--base_feat_path", tmp_path, "--name", "x", "--fps", 2,
               "--use_grid", "--cotracker_grid_size", 2, "--tracker_options", "max_side=128") == 1
    with open(real_clips / "robust" / "probe.csv", newline="", encoding="utf-8") as file:
        truth = {row["path"]: row for row in csv.DictReader(file)}
    with open(tmp_path / "x" / "failures.csv", newline="", encoding="utf-8") as file:
        failures = {Path(row["video_path"]).name: row["cause"] for row in csv.DictReader(file)}
    causes = {"decord_corrupted.mp4": "damaged, at 3.00 s", "derived_audio_only.mp4": "no video stream",
              "derived_truncated.avi": "43 of 240", "derived_truncated.webm": "2.25 s of 3.92 s",
              "derived_truncated_no_moov_or_cut.mp4": "200000 of 876717 bytes",
              "derived_zero_bytes.mp4": "the file is empty", "lerobot_lfs_pointer.mp4": "Git LFS pointer"}
    assert failures.keys() == causes.keys()
    assert all(part in failures[name] for name, part in causes.items()), failures
    for name in truth.keys() - causes.keys():
        video = real_clips / "robust" / name
        info = probe(video)
        if truth[name]["frames"]:
            assert info.num_frames == int(truth[name]["frames"])
        tracks = read_tracks(tmp_path / "x" / "folder" / "feat_dump" / f"{video.suffix[1:]}__{video.stem}.safetensors")
        assert tracks.num_positions == int(info.times[-1] * 2 + 0.5) + 1
        assert tracks.frame[0] == 0 and abs(info.times[tracks.frame[-1]] - info.times[-1]) <= 0.25
