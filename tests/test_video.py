import csv
import multiprocessing
import os
import random
import struct
import sys
import types
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from trokens.data import video as video_module
from trokens.data.video import VideoError, check_whole, probe, read_video

NUM_FRAMES, FPS, GROUP = 60, 25, 12
X264 = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes=3"


def encode(path: Path, codec: str = "libx264", **options: str) -> Path:
    """A texture that slides to the left by two pixels a frame."""
    texture = np.random.default_rng(0).integers(0, 255, (64, 96 + 2 * NUM_FRAMES, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", GROUP
        for i in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[:, 2 * i:2 * i + 96]), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_stream(source: Path, target: Path, first: int, last: int) -> Path:
    """Cut packets out of a file without encoding them again."""
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.size][first:last]
        start = packets[0].dts
        for packet in packets:
            packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, stream
            write.mux(packet)
    return target


def decode_all(path: Path, wanted: set[int] | None = None) -> list[np.ndarray | None]:
    """Every frame (or the wanted ones, else None) in the decoder's own order, independently of the module."""
    frames = []
    with av.open(str(path), metadata_errors="ignore") as container:
        for packet in container.demux(video=0):
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                assert not frames or packet.is_corrupt
                continue
            for frame in decoded:
                skipped = wanted is not None and len(frames) not in wanted
                frames.append(None if skipped else np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
    return frames


@pytest.fixture
def clip(tmp_path) -> Path:
    return encode(tmp_path / "clip.mp4", **{"x264-params": X264})


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


def test_probe_tells_times_rate_and_size(clip):
    info = probe(clip)
    assert (info.fps, info.size, info.duration, info.header_frames) == (25, (64, 96), NUM_FRAMES / FPS, NUM_FRAMES)
    assert np.allclose(info.times, np.arange(NUM_FRAMES) / FPS)


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_for_display_is_applied(clip, matrix, turns):
    upright = read_video(clip, [0, 30])
    content = bytearray(clip.read_bytes())
    start = content.index(b"tkhd") + 44  # QuickTime's matrix: x' = a x + c y, y' = b x + d y, as 16.16 fixed point
    a, b, c, d = matrix
    content[start:start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    clip.write_bytes(content)
    turned = read_video(clip, [0, 30])
    assert turned.equal(torch.rot90(upright, turns, (1, 2)))
    assert probe(clip).size == turned.shape[1:3]


def test_probe_forgets_a_file_that_changed(clip, tmp_path):
    before = probe(clip)
    assert probe(clip) is before
    os.replace(copy_stream(clip, tmp_path / "short.mp4", 0, 24), clip)
    assert probe(clip).num_frames == 24


def test_seeking_skips_groups_of_frames_that_nobody_wants(clip, monkeypatch):
    decoded, decode = [], video_module._decode

    def counting(*args):
        for frame in decode(*args):
            decoded.append(frame.pts)
            yield frame

    probe(clip)
    monkeypatch.setattr(video_module, "_decode", counting)
    read_video(clip, [2, 49])
    assert len(decoded) <= 3 + 2


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("clip.mp4", "libx264", {"x264-params": X264}), ("clip.avi", "mpeg4", {"bf": "1"}),
])
def test_frames_that_nobody_wants_and_no_other_needs_are_not_decoded(tmp_path, monkeypatch, name, codec, options):
    path = encode(tmp_path / name, codec, **options)
    frames, decoded, decode = decode_all(path), [], video_module._decode
    assert probe(path).skips

    def counting(*args):
        for frame in decode(*args):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(video_module, "_decode", counting)
    for index in range(6, 11):
        assert np.array_equal(read_video(path, [index])[0], frames[index])
    assert len(decoded) < 0.75 * sum(range(7, 12))


def test_a_decoder_that_misses_what_was_left_out_gets_all_frames(clip, monkeypatch):
    frames, decode, read = read_video(clip, [5, 31]), video_module._decode, []

    def losing(container, stream, wanted=None):
        read.append(wanted is not None)
        return (frame for frame in decode(container, stream, wanted) if wanted is None or frame.pts not in wanted)

    monkeypatch.setattr(video_module, "_decode", losing)
    assert read_video(clip, [5, 31]).equal(frames)
    assert read[0] and not read[-1]


def test_threads_do_not_change_frames(clip):
    assert read_video(clip, [40, 3], threads=0).equal(read_video(clip, [40, 3], threads=1))


@pytest.mark.parametrize("index", [-1, NUM_FRAMES])
def test_an_index_out_of_range_names_the_bound(clip, index):
    with pytest.raises(IndexError, match=rf"Frame {index} .*60 frames, numbered 0 to 59"):
        read_video(clip, [0, index])


def test_a_backend_nobody_knows_is_refused(clip):
    with pytest.raises(ValueError, match=r"'opencv'.*pyav, decord"):
        read_video(clip, [0], backend="opencv")


@pytest.mark.parametrize(("content", "cause"), [
    (b"", "empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n", "text of 67 bytes.*LFS"),
    (bytes(range(256)) * 40, "Invalid data"),
])
def test_a_file_that_is_no_video_is_named_with_its_cause(tmp_path, content, cause):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=f"broken.mp4.*{cause}"):
        read_video(path, [0])


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match="no video stream"):
        probe(path)


def test_a_missing_file_a_folder_and_a_pipe_are_refused_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_video(tmp_path / "missing.mp4")
    with pytest.raises(VideoError, match="not a regular file"):
        read_video(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="not a regular file"):
        read_video(tmp_path / "pipe.mp4")


def test_a_cut_file_has_the_frames_that_are_left_and_says_nothing_aloud(tmp_path, capfd):
    path = encode(tmp_path / "long.mkv", **{"x264-params": X264})
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    frames = decode_all(path)
    assert 10 < len(frames) < 50
    assert np.array_equal(read_video(path), frames)
    assert capfd.readouterr() == ("", "")


def test_a_file_damaged_in_the_middle_is_an_error(clip):
    content = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][30]
        content[packet.pos:packet.pos + packet.size] = bytes([255]) * packet.size
    clip.write_bytes(content)
    with pytest.raises(VideoError, match=r"clip\.mp4"):
        read_video(clip)


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


def test_an_error_in_a_worker_stays_a_video_error(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="the file is empty"):
        list(DataLoader(_Reads(tmp_path / "empty.mp4"), batch_size=None, num_workers=1))


def test_decord_is_asked_for_by_name_and_missed_with_a_remedy(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(ImportError, match="pip install decord"):
        read_video(clip, [0], backend="decord")


def test_decord_reads_a_whole_call(clip, monkeypatch):
    frames = read_video(clip)
    monkeypatch.setattr(video_module, "_opened", None)  # PyAV must take no part

    class Frames:
        def __init__(self, array):
            self.array, self.shape = array, array.shape

        def asnumpy(self):
            return self.array

    class VideoReader:
        def __init__(self, path, num_threads):
            assert path == str(clip) and num_threads == 1

        def __len__(self):
            return len(frames)

        def __getitem__(self, i):
            return Frames(frames[i].numpy())

        def get_avg_fps(self):
            return 25.0

        def get_frame_timestamp(self, indices):
            return np.zeros((len(indices), 2))  # as it says of AVI files

        def get_batch(self, indices):
            return Frames(frames[indices].numpy())

    video_module._probe_decord.cache_clear()
    monkeypatch.setitem(sys.modules, "decord", types.SimpleNamespace(VideoReader=VideoReader, DECORDError=OSError))
    assert read_video(clip, [5, 0, 5], backend="decord").equal(frames[[5, 0, 5]])
    info = probe(clip, backend="decord")
    assert (info.num_frames, info.size) == (NUM_FRAMES, (64, 96)) and np.allclose(np.diff(info.times), 0.04)
    with pytest.raises(IndexError, match="60 frames"):
        read_video(clip, [60], backend="decord")
    video_module._probe_decord.cache_clear()


def test_decord_itself_agrees_with_pyav(clip):
    pytest.importorskip("decord")
    assert read_video(clip, [9, 50, 9], backend="decord").equal(read_video(clip, [9, 50, 9]))


def _table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "probe.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_real_files_have_the_frames_a_full_decode_finds(real_clips):
    folder = real_clips / "robust"
    counted = [row for row in _table(folder) if row["frames"]]
    assert len(counted) > 25
    for row in counted:
        info = probe(folder / row["path"])
        height, width = int(row["h"]), int(row["w"])
        assert info.num_frames == int(row["frames"]), row["path"]
        assert info.size == ((width, height) if row["rot"] in ("90", "-90") else (height, width)), row["path"]
        assert abs(info.fps - float(row["fps"])) < 0.01, row["path"]
        assert len(info.times) == info.num_frames and (np.diff(info.times) > 0).all(), row["path"]


def test_real_files_that_cannot_be_read_are_video_errors(real_clips, capfd):
    folder = real_clips / "robust"
    broken = [row["path"] for row in _table(folder) if row["err"] and "Unicode" not in row["err"]]
    assert len(broken) == 5
    for name in broken:
        with pytest.raises(VideoError, match=name):
            read_video(folder / name)
    assert capfd.readouterr() == ("", "")


def test_frames_of_real_files_equal_a_sequential_decode(real_clips):
    folder = real_clips / "robust"
    rng = random.Random(0)
    checked = 0
    for row in _table(folder):
        path = folder / row["path"]
        if (row["err"] and "Unicode" not in row["err"]) or int(row["h"] or 0) > 400 or int(row["size"]) > 700_000:
            continue  # unreadable, or long for a test
        num_frames = probe(path).num_frames
        indices = [rng.randrange(num_frames) for _ in range(4)]
        indices += [indices[0], num_frames - 1, 0]
        frames = decode_all(path, set(indices))
        assert len(frames) == num_frames, path.name
        assert np.array_equal(read_video(path, indices), [frames[i] for i in indices]), path.name
        checked += 1
    assert checked > 18


def test_real_rotated_files_stand_upright(real_clips):
    shapes = [tuple(read_video(real_clips / "robust" / f"decord_rot_{turn}.mov", [0]).shape)
              for turn in (0, 90, 180, 270)]
    assert shapes == [(1, 320, 568, 3), (1, 568, 320, 3), (1, 320, 568, 3), (1, 568, 320, 3)]


def test_cut_videos_are_refused_and_short_ones_are_not(real_clips):
    for name, cause in (("derived_truncated.avi", "43 of 240"), ("derived_truncated.webm", "2.25 s of 3.92 s")):
        path = real_clips / "robust" / name
        with pytest.raises(VideoError, match=cause):
            check_whole(path, probe(path))
    path = real_clips / "robust" / "decord_rot_90.mov"  # three frames, whole
    check_whole(path, probe(path))
