import multiprocessing
import os
import random

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from videos import NUM_FRAMES, X264, copy_stream, decode_all, encode, table

from trokens.video import VideoError, probe, read_video
from trokens.video.stream import Source


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("plain.mp4", "libx264", {"x264-params": X264}),
    ("open_groups.mkv", "libx264", {"x264-params": X264 + ":open-gop=1"}),
    ("refresh.mkv", "libx264", {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}),
    ("stream.ts", "libx264", {"x264-params": X264}),
    ("no_stamps.avi", "libx264", {"x264-params": X264}),
    ("b_frames.avi", "mpeg4", {"bf": "2"}),
    ("single_b_frames.avi", "mpeg4", {"bf": "1"}),
    ("simple.avi", "mpeg4", {"bf": "0"}),
    ("hidden_frames.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10", "deadline": "realtime"}),
])
def test_any_frames_in_any_order_equal_a_sequential_decode(tmp_path, name, codec, options):
    path = encode(tmp_path / name, codec, **options)
    frames = decode_all(path)
    indices = [59, 0, 30, 30, 12, 11, 58, 25, 0]
    assert probe(path).num_frames == len(frames) == NUM_FRAMES
    assert np.array_equal(read_video(path, indices), [frames[i] for i in indices])


@pytest.mark.parametrize("first", [12, 13, 20])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("groups", ["", ":open-gop=1"])
def test_a_copied_cut_has_the_frames_that_decode(tmp_path, first, suffix, groups):
    source = encode(tmp_path / "source.mkv", **{"x264-params": X264 + groups})
    path = copy_stream(source, tmp_path / f"cut{suffix}", first, 50)
    frames = decode_all(path)
    if not frames:  # a transport stream of an open cut has lost its headers
        with pytest.raises(VideoError, match="nothing in it decodes"):
            probe(path)
    else:
        assert probe(path).num_frames == len(frames)
        assert np.array_equal(read_video(path), frames)


def test_frames_are_rgb_uint8_of_the_rendered_scene(clip):
    frames = read_video(clip)
    assert frames.shape == (NUM_FRAMES, 64, 96, 3) and frames.dtype == torch.uint8
    assert read_video(clip, []).shape == (0, 64, 96, 3)
    assert read_video(clip, torch.tensor([3]))[0].equal(frames[3])


def test_a_still_red_picture_is_read_as_red(tmp_path):
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        red = np.full((32, 32, 3), (200, 30, 20), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        container.mux(stream.encode())
    assert np.abs(read_video(path, [0])[0].numpy().astype(int) - red).max() <= 4


def test_seeking_skips_groups_of_frames_that_nobody_wants(clip, monkeypatch):
    decoded, decode = [], Source.frames

    def counting(*args, **options):
        for frame in decode(*args, **options):
            decoded.append(frame.pts)
            yield frame

    probe(clip)
    monkeypatch.setattr(Source, "frames", counting)
    read_video(clip, [2, 49])
    assert len(decoded) <= 3 + 2


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("clip.mp4", "libx264", {"x264-params": X264}), ("clip.avi", "mpeg4", {"bf": "1"}),
])
def test_frames_that_nobody_wants_and_no_other_needs_are_not_decoded(tmp_path, monkeypatch, name, codec, options):
    path = encode(tmp_path / name, codec, **options)
    frames, decoded, decode = decode_all(path), [], Source.frames
    assert probe(path).skips

    def counting(*args, **options):
        for frame in decode(*args, **options):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(Source, "frames", counting)
    for index in range(6, 11):
        assert np.array_equal(read_video(path, [index])[0], frames[index])
    assert len(decoded) < 0.75 * sum(range(7, 12))


def test_a_decoder_that_misses_what_was_left_out_gets_all_frames(clip, monkeypatch):
    frames, decode, read = read_video(clip, [5, 31]), Source.frames, []

    def losing(source, wanted=None, **options):
        read.append(wanted is not None)
        return (frame for frame in decode(source, wanted, **options) if wanted is None or frame.pts not in wanted)

    monkeypatch.setattr(Source, "frames", losing)
    assert read_video(clip, [5, 31]).equal(frames)
    assert read[0] and not read[-1]


def test_threads_do_not_change_frames(clip):
    assert read_video(clip, [40, 3], threads=0).equal(read_video(clip, [40, 3], threads=1))


def test_reading_leaves_no_file_open(clip, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("counts open files through /proc")
    read_video(clip, [0])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_video(clip, [0, 40])
        with pytest.raises(VideoError):
            read_video(tmp_path / "text.mp4")
    assert len(os.listdir("/proc/self/fd")) == before


class _Reads:
    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return read_video(self.path, [7 * i, 59 - i])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_what_the_main_process_reads(clip, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    reads = _Reads(clip)
    want = [reads[i] for i in range(len(reads))]
    workers = DataLoader(reads, batch_size=None, num_workers=1, multiprocessing_context=method)
    assert all(got.equal(frames) for got, frames in zip(workers, want, strict=True))


def test_frames_of_real_files_equal_a_sequential_decode(real_clips):
    folder = real_clips / "robust"
    rng = random.Random(0)
    checked = 0
    for row in table(folder):
        path = folder / row["path"]
        if (row["err"] and "Unicode" not in row["err"]) or int(row["h"] or 0) > 400 or int(row["size"]) > 700_000:
            continue  # unreadable, or long for a test
        num_frames = probe(path).num_frames  # less one that is there in part, at the end of a cut file
        indices = [rng.randrange(num_frames) for _ in range(4)]
        indices += [indices[0], num_frames - 1, 0]
        frames = decode_all(path, set(indices))
        assert len(frames) == num_frames + (path.name == "derived_truncated.avi"), path.name
        assert np.array_equal(read_video(path, indices), [frames[i] for i in indices]), path.name
        checked += 1
    assert checked > 18


def test_an_error_in_a_worker_stays_a_video_error(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="the file is empty"):
        list(DataLoader(_Reads(tmp_path / "empty.mp4"), batch_size=None, num_workers=1))
