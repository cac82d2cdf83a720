"""Damage that shows is refused, or named and then read the same each time."""

import random

import av
import numpy as np
import pytest
import torch
from videos import NUM_FRAMES, X264, copy_stream, encode, write_frames

from trokens.video import DamagedVideo, VideoError, check_sound, find_damage, probe, read_video, stream_video
from trokens.video.stream import reference_decoder
from trokens.video.timeline import probe_file
from trokens.video.whole import has_hole

REALTIME = {"deadline": "realtime"}
CODECS = [("clip.mp4", "libx264", {"x264-params": X264}), ("clip.mkv", "libx264", {"x264-params": X264}),
          ("clip.avi", "mpeg4", {"bf": "2"}), ("clip.mpg", "mpeg2video", {"bf": "2"})]
MJPEG, VP9 = ("clip.avi", "mjpeg", {}), ("clip.webm", "libvpx-vp9", REALTIME)
VP8 = ("clip.webm", "libvpx", REALTIME)
HEVC = ("clip.mp4", "libx265", {"x265-params": "keyint=12:log-level=none"})


def spoil(path, number, change):
    """Change the bytes of a packet, the first large one from a number on: ``change`` takes and gives a bytearray."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        packet = next(packet for packet in packets[number:] if packet.size > 100)
    start = content.index(bytes(packet)[:32], packet.pos)
    content[start:start + packet.size] = change(content[start:start + packet.size])
    path.write_bytes(content)


def noise(packet):
    middle = len(packet) // 2
    packet[middle:middle + 40] = random.Random(0).randbytes(len(packet[middle:middle + 40]))
    return packet


def zeros(packet):
    packet[len(packet) // 2:-2] = bytes(len(packet[len(packet) // 2:-2]))
    return packet


def gone(packet):
    return bytes(len(packet))


def no_start(packet):
    packet[:20] = b"\xff" * 20
    return packet


@pytest.mark.parametrize(("name", "codec", "options", "change"), [
    *((*codec, zeros) for codec in CODECS[:5] if codec[1] != "mjpeg"), *((*codec, noise) for codec in CODECS[:4]),
    (*MJPEG, gone), (*VP9, noise), (*VP9, no_start), (*VP8, no_start), (*HEVC, no_start)])
def test_who_is_not_refused_sees_what_is_true(tmp_path, name, codec, options, change):
    path = encode(tmp_path / name, codec, **options)
    frames = read_video(path)
    assert find_damage(path) is None
    spoil(path, 24, change)
    assert find_damage(path)
    with pytest.raises(DamagedVideo, match=rf"Cannot read video '.*{name}': it is damaged, .*; get it anew, or take it "
                       r"as it is with damaged='warn' \(DATA\.DAMAGED_VIDEO, --damaged_video\)\.$"):
        read_video(path)
    for index in range(min(probe(path).num_frames, NUM_FRAMES)):
        try:
            frame = read_video(path, [index])
        except DamagedVideo:
            continue
        assert frame.equal(frames[[index]]) or codec == "libvpx-vp9"  # whose damage only a look at all frames finds


@pytest.mark.parametrize(("name", "codec", "options"), [*CODECS, MJPEG, VP9, VP8, HEVC])
@pytest.mark.parametrize("change", [noise, zeros, no_start])
def test_a_damaged_video_that_is_taken_reads_the_same_whatever_is_asked(tmp_path, caplog, name, codec, options, change):
    path = encode(tmp_path / name, codec, **options)
    for number in (5, 24, 41):
        spoil(path, number, change)
    count = probe(path).num_frames
    frames = read_video(path, damaged="warn")
    assert len(frames) == count
    for indices in ([0], [count - 1], [3, 30, 31], range(0, count, 7), range(20, 30)):
        assert read_video(path, indices, damaged="warn", threads=0).equal(frames[list(indices)])
    assert np.array_equal(list(stream_video(path, [5, 5, 30], damaged="warn")), frames[[5, 5, 30]])
    damage = find_damage(path)  # noise may be a picture
    assert [record.getMessage() for record in caplog.records] == [
        f"'{path}' is damaged, {damage}; what the decoder makes of it is taken."] * (damage is not None)


def test_a_frame_that_does_not_decode_shows_the_one_before(tmp_path):
    path = encode(tmp_path / "clip.mkv", "mjpeg")
    frames = read_video(path)
    spoil(path, 30, gone)
    with pytest.raises(DamagedVideo, match=r"at 1\.20 s a packet does not decode"):
        read_video(path)
    kept = read_video(path, damaged="warn")  # they were counted by decoding
    assert kept.equal(torch.cat([frames[:30], frames[31:]])) and len(kept) == probe(path).num_frames


def test_sound_videos_take_no_harm_from_the_switch(clip):
    assert read_video(clip, [3, 30], damaged="warn").equal(read_video(clip, [3, 30]))
    assert check_sound(clip, "warn") is None and check_sound(clip) is None
    with pytest.raises(ValueError, match=r"damaged is 'ignore'; it is one of refuse, warn\."):
        read_video(clip, [0], damaged="ignore")


@pytest.mark.parametrize("first", [12, 13, 20])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video", "libvpx-vp9"])
def test_a_cut_that_refers_to_what_is_gone_is_not_damaged(tmp_path, first, suffix, codec):
    if (codec, suffix) == ("libvpx-vp9", ".ts"):
        pytest.skip("transport streams hold no VP9")
    options = {"libx264": {"x264-params": X264 + ":open-gop=1"}, "mpeg2video": {"bf": "2"}, "libvpx-vp9": REALTIME,
               "libx265": {"x265-params": "keyint=12:bframes=3:open-gop=1:log-level=none"}}[codec]
    source = encode(tmp_path / "source.mkv", codec, **options)
    path = copy_stream(source, tmp_path / f"cut{suffix}", first, 50)
    try:
        probe(path)
    except VideoError as error:  # a transport stream of an open cut has lost its headers
        assert suffix == ".ts" and "nothing in it decodes" in str(error)
    else:
        assert find_damage(path) is None


def test_joined_transport_streams_are_not_damaged(tmp_path):
    paths = [write_frames(tmp_path / f"{i}.ts", range(0, 800, 40), shape=shape)
             for i, shape in enumerate([(64, 96), (64, 96), (120, 160)])]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    assert probe(joined).num_frames == 60 and probe(joined).size == (64, 96)
    assert read_video(joined, [0, 19, 20]).equal(read_video(paths[0], [0, 19, 0]))


@pytest.mark.parametrize(("data", "hole"), [
    (b"\1" * 40 + bytes(40) + b"\7\1", True), (b"\1" * 40 + bytes(40) + b"\1\7", False),  # a start code's padding
    (b"\1" * 40 + bytes(40), False), (b"\1" * 40 + bytes(15) + b"\7", False),
    (b"\1" * 9 + bytes(40) + b"\1" + bytes(40) + b"\7", True), (b"", False), (bytes(100), False)])
def test_zeros_are_a_hole_where_no_codec_writes_them(data, hole):
    assert has_hole("h264", data) == has_hole("vp9", data) == hole
    assert not has_hole("mjpeg", data) and not has_hole("vp8", data)


def test_black_pictures_have_no_holes(tmp_path):
    for name, codec, options in (("a.mp4", "libx264", {}), ("a.webm", "libvpx-vp9", REALTIME), ("a.avi", "mpeg4", {}),
                                 ("b.mp4", "libx265", {"x265-params": "log-level=none"})):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
            for _ in range(10):
                black = av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24")
                container.mux(stream.encode(black))
            container.mux(stream.encode())
        assert find_damage(path) is None


def test_the_decoder_that_notices_more_gives_the_same_frames(tmp_path, monkeypatch):
    for name, codec in (("a.webm", "libvpx-vp9"), ("b.webm", "libvpx")):
        path = encode(tmp_path / name, codec, **REALTIME)
        frames = read_video(path)
        monkeypatch.setattr("trokens.video.stream.reference_decoder", lambda *_: None)
        probe_file.cache_clear()
        assert read_video(path).equal(frames)
        monkeypatch.undo()
    assert reference_decoder("vp9", "yuv420p10le") is None and reference_decoder("h264", "yuv420p") is None


def test_a_real_damaged_file_is_named(real_clips):
    path = real_clips / "robust" / "decord_corrupted.mp4"
    with pytest.raises(DamagedVideo, match=r"corrupted\.mp4': it is damaged, at 3\.00 s a packet does not decode"):
        read_video(path)
    assert len(read_video(path, damaged="warn")) == probe(path).num_frames


def test_sound_real_files_are_not_damaged(real_clips):
    for path in sorted((real_clips / "robust").iterdir()):
        try:
            info = probe(path)
        except VideoError:
            continue
        assert info.damage is None and (find_damage(path) is None) == (path.name != "decord_corrupted.mp4"), path.name
