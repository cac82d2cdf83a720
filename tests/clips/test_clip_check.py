import csv
import io
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from tiny import FRAMES

import trokens.runtime.parallel
from trokens.cli.check import main
from trokens.clips.reader import ClipReader
from trokens.clips.walk import is_video
from trokens.points.io import read_tracks, write_tracks
from trokens.runtime.command import open_streams
from trokens.structures import Tracks
from trokens.video import VideoError, probe


class Data:
    """A sound data set to damage; a clip is named as split, number of the class, number of the clip."""

    def __init__(self, root: Path):
        self.root = root

    def video(self, split: str, number: int, clip: int) -> Path:
        return sorted((self.root / split).iterdir())[number] / f"{clip}.mp4"

    def points(self, split: str, number: int, clip: int) -> Path:
        video = self.video(split, number, clip)
        return tiny.points_dir(self.root) / f"{split}__{video.parent.name}__{clip}.safetensors"

    def change(self, split: str, number: int, clip: int, change: Callable[[Tracks], Tracks]) -> None:
        path = self.points(split, number, clip)
        write_tracks(path, change(read_tracks(path)))

    def publish(self, split: str, number: int, clip: int, change: Callable[[Tracks], Tracks] = lambda tracks: tracks,
                **content) -> None:
        """Put a pickle, as the published ones are, in the point file's place."""
        path = self.points(split, number, clip)
        tracks = change(read_tracks(path))
        content |= {"pred_tracks": tracks.xy.half(), "pred_visibility": tracks.visibility, "obj_ids": tracks.cluster}
        path.with_suffix(".pkl").write_bytes(pickle.dumps(content))
        path.unlink()

    def check(self, *flags: str, **changes) -> tuple[int, list[dict[str, str]]]:
        """Exit code and findings."""
        report = self.root / "findings.csv"
        options = {"DATA__SPLIT_CSV": self.root / "splits.csv"} | changes
        code = main(["--cfg", str(tiny.CONFIG), "--csv", str(report), "--workers=0", *flags,
                     *tiny.arguments(self.root, self.root / "out", FRAMES, **options)])
        with open(report, newline="") as file:
            return code, list(csv.DictReader(file))


@pytest.fixture
def data(tiny_data, tmp_path) -> Data:
    root = shutil.copytree(tiny_data, tmp_path / "data")
    write_csv(root / "splits.csv", [(path.relative_to(root), path.parts[-2], path.parts[-3])
                                    for path in sorted(root.glob("t*/*/*.mp4")) + sorted(root.glob("val/*/*.mp4"))])
    return Data(root)


def write_csv(path: Path, rows: list[tuple]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])


def short(findings: list[dict[str, str]]) -> set[tuple[str, str, str]]:
    return {(f["severity"], f["split"], f["finding"]) for f in findings}


def scaled(factor: float) -> Callable[[Tracks], Tracks]:
    return lambda tracks: replace(tracks, xy=tracks.xy * factor)


def sized(height: int, width: int) -> Callable[[Tracks], Tracks]:
    def change(tracks: Tracks) -> Tracks:
        return replace(tracks, xy=tracks.xy * torch.tensor([width / 64, height / 64]), size=(height, width))

    return change


def test_sound_data_give_no_findings(data, capsys):
    assert data.check() == (0, [])
    assert "48 clips checked: 0 errors, 0 warnings." in capsys.readouterr().out
    data.publish("train", 0, 0, vid_info={"height": 64, "width": 64, "fps": 10})
    assert data.check("--quick") == (0, [])


def test_missing_and_unreadable_files_are_found_in_every_split(data, capsys):
    data.video("train", 0, 0).unlink()
    data.points("val", 1, 0).unlink()
    data.video("test", 0, 1).write_bytes(b"no video")
    data.video("test", 1, 1).write_bytes(b"")
    data.points("test", 2, 1).write_bytes(b"no points")
    code, found = data.check()
    assert code == 2 and short(found) == {
        ("error", "train", "video missing"), ("error", "val", "points missing"),
        ("error", "test", "video unreadable"), ("error", "test", "points unreadable")}
    assert {f["file"] for f in found if f["finding"] == "video unreadable"} == {
        str(data.video("test", 0, 1)), str(data.video("test", 1, 1))}
    lines = capsys.readouterr().out.splitlines()
    unreadable = next(line for line in lines if "video unreadable" in line)
    assert unreadable.split()[:5] == ["error", "test", "video", "unreadable", "2"] and "0.mp4" not in unreadable
    assert lines[-1] == "48 clips checked: 5 errors, 0 warnings."


@pytest.mark.parametrize(("change", "severity", "finding", "detail"), [
    (lambda t: replace(t, frame=torch.arange(12) + 1), "error", "frame count differs", "1 to 12 of a video of 12"),
    (lambda t: replace(t, frame=torch.arange(12) - 1), "error", "frame count differs", "-1 to 10 of a video of 12"),
    (lambda t: replace(t, frame=torch.arange(12) // 2), "warning", "frame count differs", "0 to 5 of a video of 12"),
    (sized(32, 32), "warning", "frame size differs", "points of 32x32 frames, video of 64x64"),
    (sized(48, 64), "error", "frame size differs", "points of 64x48 frames, video of 64x64"),
    (lambda t: t.select(torch.arange(0)), "error", "no points", "0 points at 12 positions"),
    (scaled(2), "error", "positions outside", "in frames of 64x64"),
], ids=range(7))
def test_point_files_that_do_not_fit_are_found(data, change, severity, finding, detail):
    data.change("train", 0, 0, change)
    code, found = data.check("--quick")
    assert [(f["severity"], f["finding"]) for f in found] == [(severity, finding)] and detail in found[0]["detail"]
    assert code == (2 if severity == "error" else 1) and found[0]["file"] == str(data.points("train", 0, 0))


def put(name: str, where, value: float) -> Callable[[Tracks], Tracks]:
    def change(tracks: Tracks) -> Tracks:
        changed = getattr(tracks, name).clone()
        changed[where] = value
        return replace(tracks, **{name: changed})

    return change


@pytest.mark.parametrize(("change", "severity", "finding", "detail"), [
    (lambda t: put("xy", t.visibility, torch.nan)(t), "error", "positions not finite", "visible positions"),
    (lambda t: put("xy", (3, 0), torch.inf)(put("visibility", (3, 0), True)(t)),
     "error", "positions not finite", "1 of"),
    (lambda t: put("xy", (3, 0), torch.inf)(put("visibility", (3, 0), False)(t)),
     "error", "positions infinite", "1 hidden positions"),
    (put("visibility", ..., False), "warning", "nothing visible", "points are hidden throughout"),
    (lambda t: put("visibility", ..., False)(put("xy", ..., torch.nan)(t)), "error", "no positions", "all 24 points"),
    (put("query_frame", 0, 12), "error", "query frame outside", "to 12 of 12 positions"),
    (put("query_frame", 0, -1), "error", "query frame outside", "chosen at -1 to"),
    (lambda t: replace(t, frame=t.frame.flip(0)), "error", "frames not ascending", "at frames 11 to 0"),
    (lambda t: replace(t, frame=t.frame * 0 + 11), "error", "frames not ascending", "at frames 11 to 11"),
], ids=range(9))
def test_values_that_no_sound_writer_writes_are_found(data, change, severity, finding, detail):
    data.change("train", 0, 0, change)
    code, found = data.check("--quick")
    assert [(f["severity"], f["finding"]) for f in found] == [(severity, finding)] and detail in found[0]["detail"]
    assert code == (2 if severity == "error" else 1)


def test_what_is_not_finite_does_not_matter_where_a_point_is_hidden(data):
    data.change("train", 0, 0, lambda t: put("xy", (3, 0), torch.nan)(put("visibility", (3, 0), False)(t)))
    assert data.check("--quick") == (0, [])


def longer(factor: float) -> Callable[[Tracks], Tracks]:
    def change(tracks: Tracks) -> Tracks:
        rows = (torch.arange(int(12 * factor)) / factor).long()
        return replace(tracks, xy=tracks.xy[rows], visibility=tracks.visibility[rows], frame=None)

    return change


@pytest.mark.parametrize(("change", "content", "severity", "finding", "detail"), [
    (longer(1.5), {}, "error", "frame count differs", "18 positions of a video of 12 frames"),
    (longer(0.25), {}, "warning", "frame count implausible", "2.5 a second, where 10 are usual"),
    (scaled(3), {}, "error", "positions outside", "in frames of 64x64"),
    (scaled(0.5), {}, "warning", "positions in a corner", "perhaps tracked in smaller frames"),
    (scaled(0.5), {"vid_info": {"height": 32, "width": 32}}, "error", "frame size differs", "points of 32x32 frames"),
], ids=range(5))
def test_published_files_that_do_not_fit_are_found(data, change, content, severity, finding, detail):
    data.publish("test", 0, 0, change, **content)
    code, found = data.check("--quick")
    assert [(f["severity"], f["finding"]) for f in found] == [(severity, finding)] and detail in found[0]["detail"]
    assert code == (2 if severity == "error" else 1)


def test_half_of_a_videos_frames_are_plausible(data):
    data.publish("test", 0, 0, longer(0.5))
    assert data.check("--quick") == (0, [])


def test_classes_must_suffice_for_the_episodes(data):
    code, found = data.check("--quick", FEW_SHOT__K_SHOT=3, FEW_SHOT__N_WAY=4, FEW_SHOT__TRAIN_QUERY_PER_CLASS=1,
                             MODEL__NUM_CLASSES=5)
    assert code == 2 and short(found) == {
        ("error", "train", "class id too high"), ("error", "val", "class too small"),
        ("warning", "val", "too few classes"), ("error", "test", "class too small")}
    assert [f["detail"] for f in found if f["finding"] == "class id too high"] == [
        "label 5, and the classifier 5 outputs"]
    sizes = [f for f in found if f["split"] == "test"]
    assert len(sizes) == 5 and sizes[0]["detail"] == "3 clips, an episode takes 4 (k_shot + n_query)"
    assert short(data.check("--quick", FEW_SHOT__N_WAY=4)[1]) == {("warning", "val", "too few classes")}
    assert ("error", "test", "too few classes") in short(data.check("--quick", FEW_SHOT__N_WAY=6)[1])


def test_missing_files_that_are_permitted_are_warnings_but_their_clips_do_not_count(data):
    for clip in (0, 1):
        data.video("test", 0, clip).unlink()
    code, found = data.check("--quick", DATA__ALLOW_MISSING=0.2)
    assert code == 2 and short(found) == {("warning", "test", "video missing"), ("error", "test", "class too small")}
    data.video("test", 0, 2).unlink()
    code, found = data.check("--quick", DATA__ALLOW_MISSING=0.2)
    assert code == 1 and short(found) == {("warning", "test", "video missing")}
    assert data.check("--quick", DATA__ALLOW_MISSING=0.19)[0] == 2


def test_a_split_that_the_run_does_not_use_gives_warnings_alone(data):
    data.video("train", 0, 0).write_bytes(b"no video")
    code, found = data.check("--quick", TRAIN__ENABLE=False, FEW_SHOT__TRAIN_QUERY_PER_CLASS=9)
    assert code == 1 and short(found) == {("warning", "train", "video unreadable")}
    shutil.rmtree(data.root / "train")
    assert data.check("--quick", TRAIN__ENABLE=False, DATA__SPLIT_CSV="") == (0, [])
    assert short(data.check("--quick", DATA__SPLIT_CSV="")[1]) == {("error", "train", "no clips")}


def test_runs_that_read_no_frames_need_no_videos(data):
    shutil.copy(data.points("train", 0, 0), data.root / "kept")
    data.publish("train", 0, 0)
    for clip in (0, 1):
        data.video("train", 0, clip).unlink()
    options = {"MODEL__APPEARANCE_MODULE_DISABLE": True}
    code, found = data.check(**options)
    assert code == 2 and [(f["finding"], f["clip"][-1]) for f in found] == [("video missing", "0")]
    shutil.move(data.root / "kept", data.points("train", 0, 0))
    assert data.check(**options) == (0, [])


def test_damage_that_only_the_run_meets_is_found_unless_quick(data, monkeypatch):
    def damaged(self, index, *, with_video):
        raise VideoError(f"{self.clips[index].id} does not decode")

    monkeypatch.setattr(ClipReader, "read", damaged)
    assert data.check("--quick")[0] == 0
    code, found = data.check()
    assert code == 2 and len(found) == 48 and short(found) == {
        ("error", split, "clip unreadable") for split in ("train", "val", "test")}


def test_a_clip_that_takes_its_process_with_it_is_a_finding(data, monkeypatch):
    def in_processes(function, items, num_workers):
        jobs = pickle.loads(pickle.dumps(items))  # as they reach a process
        yield from ((job, function(job) if i else None) for i, job in enumerate(jobs))

    monkeypatch.setattr(trokens.runtime.parallel, "parallel_map", in_processes)
    code, found = data.check("--quick")
    assert code == 2 and [(f["finding"], f["split"]) for f in found] == [("clip crashes", "train")]


def test_without_lists_nothing_is_checked(data, capsys):
    with pytest.raises(FileNotFoundError):
        data.check(DATA__PATH_TO_DATA_DIR=data.root / "nowhere")
    assert "which is no folder" in capsys.readouterr().err
    assert main(["--cfg", str(tiny.CONFIG), "FEW_SHOT.NWAY", "5"]) == 2
    assert "Did you mean 'FEW_SHOT.N_WAY'" in capsys.readouterr().err


def test_every_trouble_of_real_files_is_found(real_clips, tmp_path):
    """Every robust clip, with points that would fit all of it."""
    videos = {path.name.replace(".", "_"): path for path in sorted((real_clips / "robust").iterdir())
              if is_video(path)}
    folder = tmp_path / "points/exact/folder/feat_dump"
    for name, video in videos.items():
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / f"{name}{video.suffix}").symlink_to(video)
        try:
            size, frames = (info := probe(video)).size, info.num_frames
        except VideoError:
            size, frames = (48, 64), 10
        xy = torch.rand(frames, 5, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([size[1], size[0]])
        write_tracks(folder / f"{name}.safetensors", Tracks(
            xy, torch.ones(frames, 5, dtype=torch.bool), torch.zeros(5).long(), torch.zeros(5).long(), size,
            torch.arange(frames)))
    write_csv(tmp_path / "splits.csv", [(name + video.suffix, "all", "test") for name, video in videos.items()])
    found = {}
    for flag in ("--quick", "--workers=0"):
        assert main(["--cfg", str(tiny.CONFIG), "--csv", str(tmp_path / "found.csv"), "--workers=0", flag,
                     *tiny.arguments(tmp_path, tmp_path / "out", FRAMES, DATA__PATH_TO_DATA_DIR=tmp_path / "videos",
                                     TRAIN__ENABLE=False, DATA__SPLIT_CSV=tmp_path / "splits.csv",
                                     FEW_SHOT__N_WAY=1)]) == 2
        with open(tmp_path / "found.csv", newline="") as file:
            found[flag] = {videos[f["clip"]].name: f["finding"] for f in csv.DictReader(file)}
    assert found["--quick"] == {
        "derived_truncated_no_moov_or_cut.mp4": "video unreadable", "derived_zero_bytes.mp4": "video unreadable",
        "lerobot_lfs_pointer.mp4": "video unreadable", "derived_audio_only.mp4": "no video stream",
        "derived_truncated.avi": "video short", "derived_truncated.webm": "video short"}
    assert found["--workers=0"] == found["--quick"] | {"decord_corrupted.mp4": "video damaged"}


def test_findings_of_names_that_are_no_utf8_are_shown_and_written(data, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    open_streams()  # as every command begins
    name = os.fsdecode(b"b\xe9.mp4")
    data.video("test", 0, 0).rename(data.video("test", 0, 0).with_name(name))
    main(["--cfg", str(tiny.CONFIG), "--csv", str(data.root / "findings.csv"), "--workers=0", "--quick",
          *tiny.arguments(data.root, data.root / "out", FRAMES)])
    sys.stdout.flush()
    assert b"__b\\udce9: there is no such file" in sys.stdout.buffer.getvalue()
    assert os.fsencode(name).removesuffix(b".mp4") in (data.root / "findings.csv").read_bytes()


def test_an_interruption_ends_in_one_line(data, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ClipReader, "read", interrupted)
    assert main(["--cfg", str(tiny.CONFIG), "--workers=0", *tiny.arguments(
        data.root, data.root / "out", FRAMES, DATA__SPLIT_CSV=data.root / "splits.csv")]) == 130
    assert capsys.readouterr().err == "Interrupted before all clips were checked.\n"
