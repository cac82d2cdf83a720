import os
import struct

import av
import numpy as np
import pytest
from PIL import Image
from videos import NUM_FRAMES, X264, decode_all, encode, table, write_frames

from trokens.video import VideoError, check_whole, probe, read_video
from trokens.video.stream import Source


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
    (bytes(range(256)) * 40, r"FFmpeg cannot read it \(Invalid data found .*\); get it anew, or convert it"),
    (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08free\0\0\0\x08mdat", r"it has no index \(moov\), as of a record"),
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


def test_real_files_that_cannot_be_read_are_video_errors(real_clips, capfd):
    folder = real_clips / "robust"
    broken = [row["path"] for row in table(folder) if row["err"] and "Unicode" not in row["err"]]
    assert len(broken) == 5
    for name in broken:
        with pytest.raises(VideoError, match=name):
            read_video(folder / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "codec", "old", "new"), [
    ("clip.mp4", "libx264", b"avc1", b"zzzz"), ("clip.mkv", "libx264", b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"),
    ("clip.avi", "mpeg4", b"FMP4", b"QQQQ"), ("clip.mp4", "libx264", b"stsd", b"xxxx")])
def test_a_codec_that_nobody_knows_is_named(tmp_path, name, codec, old, new):
    path = encode(tmp_path / name, codec)
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(VideoError, match=rf"{name}': there is no decoder for its video; convert it"):
        probe(path)


def huge_gif(path, width, height):
    Image.new("P", (32, 32)).save(path)
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", width, height)
    path.write_bytes(content)
    return path


def test_frames_that_no_memory_holds_are_refused_before_any_is_made(tmp_path):
    for width, height in ((65535, 65535), (0, 0)):
        with pytest.raises(VideoError, match=r"huge\.gif"):
            probe(huge_gif(tmp_path / "huge.gif", width, height))
    path = encode(tmp_path / "clip.mkv", "mjpeg")
    content = path.read_bytes()
    start_of_frame = b"\xff\xc0\x00\x11\x08"
    head, *frames = content.split(start_of_frame)
    path.write_bytes(start_of_frame.join([head, *(struct.pack(">HH", 65500, 65500) + frame[4:] for frame in frames)]))
    with pytest.raises(VideoError, match=r"clip\.mkv"):
        probe(path)


def test_a_header_that_claims_another_size_does_not_matter(tmp_path):
    path = encode(tmp_path / "clip.avi", "mjpeg")
    frames = read_video(path)
    content = path.read_bytes()
    for size in ((60000, 60000), (0, 0), (4, 4)):
        path.write_bytes(content.replace(struct.pack("<II", 96, 64), struct.pack("<II", *size)))
        assert read_video(path).equal(frames)


def test_frames_of_another_size_are_brought_to_the_first(tmp_path):
    parts = [write_frames(tmp_path / f"{i}.ts", range(0, 400, 40), shape=shape)
             for i, shape in enumerate([(64, 96), (128, 192), (96, 64)])]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = read_video(path)
    assert probe(path).size == (64, 96) and frames.shape == (30, 64, 96, 3)
    assert (frames[:10].int() - frames[10:20].int()).abs().max() <= 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_stream_without_a_frame_is_named(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoError, match=rf"clip\{suffix}': (it ends before its first frame|it has no video stream)"):
        probe(path)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.mp4", "libx264"), ("a.avi", "mpeg4")])
def test_one_frame_is_a_video(tmp_path, name, codec):
    info = probe(write_frames(tmp_path / name, [0], codec, **({"bf": "0"} if codec == "mpeg4" else {})))
    check_whole(tmp_path / name, info)
    assert info.num_frames == 1 and info.times.tolist() == [0] and info.fps > 0


@pytest.mark.parametrize(("box", "at", "value"), [
    (b"mdhd", 16, 0), (b"mdhd", 16, 2**32 - 1), (b"stts", 16, 2**31 - 1), (b"stts", 16, 2**32 - 1), (b"stsz", 8, 10**8),
    (b"stsz", 12, 2**31), (b"stco", 12, 2**31), (b"stco", 8, 2**31), (b"elst", 8, 2**31), (b"avc1", 28, 2**32 - 1)])
def test_absurd_headers_are_an_answer_or_a_sentence(clip, box, at, value):
    content = bytearray(clip.read_bytes())
    start = content.index(box) + at
    content[start:start + 4] = struct.pack(">I", value)
    clip.write_bytes(content)
    try:
        info = probe(clip)
        assert 0 < info.num_frames <= NUM_FRAMES and np.isfinite(info.times).all() and info.fps > 0
        read_video(clip)
    except VideoError as error:
        assert "clip.mp4" in str(error)


def test_stamps_from_one_end_of_time_to_the_other_are_not_relied_on(clip, monkeypatch):
    packets = Source.packets

    def far_apart(source, on_damage):
        for packet in packets(source, on_damage):
            if packet.size:
                packet.pts = -2**62 if packet.is_keyframe else packet.pts * 2**45
            yield packet

    monkeypatch.setattr(Source, "packets", far_apart)
    info = probe(clip)
    assert len(info.times) == info.num_frames and (np.diff(info.times) > 0).all() and info.times[-1] < 10


def test_what_nobody_has_foreseen_is_one_error_about_the_file(clip, monkeypatch):
    monkeypatch.setattr(Source, "packets", None)
    with pytest.raises(VideoError, match=r"Cannot read video '.*clip\.mp4': TypeError: 'NoneType' object"):
        probe(clip)
