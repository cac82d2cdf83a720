"""Extraction, training and check_data agree on every video: what is refused, and what a switch lets pass."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from videos import X264, cut_copied, encode, with_sound, write_frames

from trokens.clips.clip_check import ERROR, ClipCheck
from trokens.clips.reader import ClipReader
from trokens.clips.split import Clip
from trokens.extraction.extractor import Options
from trokens.extraction.jobs import Job
from trokens.extraction.run import extract_list
from trokens.points.io import read_point_file, write_tracks
from trokens.structures import Tracks
from trokens.video import DamagedVideo, VideoError, probe
from trokens.video.frame_cache import ClipCache

OPTIONS = Options(tracker="flow", use_grid=True, grid_size=2)


def sound(folder: Path) -> Path:
    return encode(folder / "clip.mp4", **{"x264-params": X264})


def half(folder: Path) -> Path:
    path = encode(folder / "clip.mkv", **{"x264-params": X264})
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    return path


def damaged(folder: Path) -> Path:
    path = sound(folder)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 1200  # in the first frame, which all others refer to
    content[start:start + 64] = bytes(64)
    path.write_bytes(content)
    return path


def unknown(folder: Path) -> Path:
    path = sound(folder)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    return path


def empty(folder: Path) -> Path:
    (folder / "clip.mp4").touch()
    return folder / "clip.mp4"


VIDEOS = {
    "sound": (sound, None), "half": (half, "short"), "damaged": (damaged, "damaged"), "unknown": (unknown, "never"),
    "empty": (empty, "never"),
    "edit list": (lambda folder: cut_copied(sound(folder), folder / "cut.mp4", 30), None),
    "long sound": (lambda folder: with_sound(sound(folder), folder / "sound.mp4", 10), None),
    "dropped frames": (lambda folder: write_frames(folder / "clip.avi", range(0, 3000, 120), "mjpeg", bf="0"), None),
    "last shown long": (lambda folder: write_frames(folder / "clip.mkv", [*range(0, 800, 40), 9000]), None),
}


def reader_of(video: Path, **options) -> ClipReader:
    """Reads the clip with points that fit it, or would if it could be read."""
    try:
        info = probe(video)
        size, count = info.size, info.num_frames
    except VideoError:
        size, count = (64, 96), 10
    xy = torch.rand(count, 4, 2) * torch.tensor([size[1], size[0]])
    points = video.parent / "points.safetensors"
    write_tracks(points, Tracks(xy, torch.ones(count, 4, dtype=torch.bool), torch.zeros(4).long(),
                                torch.zeros(4).long(), size, torch.arange(count)))
    clip = Clip("clip", video, points, 0, "all")
    return ClipReader([clip], num_frames=8, size=32, num_points=4, sampling="random", **options)


def trains(reader: ClipReader) -> bool:
    try:
        reader.read(0, with_video=True)
    except VideoError as error:
        assert str(reader.clips[0].video) in str(error) and "\n" not in str(error)
        return False
    return True


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("policies", [{}, {"short": "warn"}, {"damaged": "warn"}], ids=str)
@pytest.mark.parametrize("name", VIDEOS)
def test_three_readers_of_a_video_say_the_same(tmp_path, name, policies, quick):
    make, fault = VIDEOS[name]
    video = make(tmp_path)
    reader, taken = reader_of(video, **policies), fault is None or fault in policies
    findings = ClipCheck("test", reader, 10, with_video=True, quick=quick)(reader.clips[0])
    assert any(finding.severity == ERROR for finding in findings) != taken, findings
    assert [finding.kind for finding in findings] == {
        None: [], "short": ["video short"], "damaged": ["video damaged"], "never": ["video unreadable"]}[fault]
    assert trains(reader) == taken
    [outcome] = extract_list([Job(video, tmp_path / "x" / "feat_dump" / "clip.safetensors", 10, **policies)], OPTIONS)
    assert (outcome.failure is None) == taken and str(video) in (outcome.failure or str(video))


def test_a_run_without_frames_copes_with_any_that_has_a_size(tmp_path):
    reader = reader_of(half(tmp_path))
    findings = ClipCheck("test", reader, 10, with_video=False)(reader.clips[0])
    assert not any(finding.severity == ERROR for finding in findings)
    reader.read(0, with_video=False)


def test_a_point_file_says_what_was_let_pass(tmp_path):
    for name, policy in (("half", "short"), ("damaged", "damaged"), ("sound", "short")):
        (tmp_path / name).mkdir()
        job = Job(VIDEOS[name][0](tmp_path / name), tmp_path / "x" / "feat_dump" / f"{name}.safetensors", 10,
                  **{policy: "warn"})
        [outcome] = extract_list([job], OPTIONS)
        assert outcome.failure is None
        assert (policy in read_point_file(job.points).metadata) == (name != "sound")


def test_frames_that_were_kept_of_a_damaged_video_do_not_pass_for_sound_ones(tmp_path):
    (tmp_path / "clips").mkdir()
    reader = reader_of(damaged(tmp_path / "clips"), cache=ClipCache(tmp_path / "cache", format="raw", max_bytes=1e9))
    assert trains(replace(reader, damaged="warn"))
    with pytest.raises(DamagedVideo):
        reader.read(0, with_video=True)
