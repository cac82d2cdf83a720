"""What is taken for a video: containers with headers of their own, and headerless streams by their name."""

import struct

import av
import numpy as np
import pytest
from PIL import Image
from videos import NUM_FRAMES, X264, encode, write_frames

from trokens.video import VideoError, check_whole, find_damage, probe, read_video
from trokens.video.containers import promised_bytes, refused_format


@pytest.mark.parametrize(("suffix", "codec"), [
    (".mp4", "libx264"), (".m4v", "libx264"), (".mov", "libx264"), (".3gp", "libx264"), (".3g2", "libx264"),
    (".mkv", "libx264"), (".avi", "mpeg4"), (".ts", "libx264"), (".mts", "libx264"), (".m2ts", "libx264"),
    (".mpg", "mpeg2video"), (".mpeg", "mpeg1video"), (".vob", "mpeg2video"), (".asf", "wmv2"), (".wmv", "wmv2"),
    (".flv", "flv"), (".webm", "libvpx-vp9")])
def test_the_containers_that_people_have_are_read_whole(tmp_path, suffix, codec):
    options = {"x264-params": X264} if codec == "libx264" else {"deadline": "realtime"} if "vpx" in codec else {}
    path = encode(tmp_path / f"clip{suffix}", codec, **options)
    info, frames = probe(path), read_video(path)
    check_whole(path, info)
    assert find_damage(path) is None
    assert info.num_frames == NUM_FRAMES and frames.shape == (NUM_FRAMES, 64, 96, 3)
    assert read_video(path, [50, 3]).equal(frames[[50, 3]])


def test_a_gif_is_a_video(tmp_path):
    pictures = [Image.fromarray(np.full((64, 96, 3), 20 * i, np.uint8)) for i in range(10)]
    pictures[0].save(tmp_path / "clip.gif", save_all=True, append_images=pictures[1:], duration=80)
    info, frames = probe(tmp_path / "clip.gif"), read_video(tmp_path / "clip.gif")
    check_whole(tmp_path / "clip.gif", info)
    assert np.allclose(info.times, np.arange(10) * 0.08)
    assert np.abs(frames[:, 0, 0, 0].numpy().astype(int) - 20 * np.arange(10)).max() <= 2


def test_the_gif_that_was_passed_over_is_read(faults):
    path = faults / "videos" / "clip.gif"
    check_whole(path, probe(path))
    assert probe(path).num_frames == 25


def bare(path, codec, form):
    """A stream without a container, in which a few bytes say where a frame begins."""
    source = encode(path.with_name("source.mkv"), codec, **({"bf": "0"} if codec != "libx264" else {}))
    with av.open(str(source)) as read, av.open(str(path), "w", format=form) as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                write.mux(packet)
    return path


@pytest.mark.parametrize(("codec", "form", "suffix"), [
    ("libx264", "h264", ".h264"), ("mpeg2video", "mpeg2video", ".m2v"), ("mpeg1video", "mpeg1video", ".mpg")])
def test_a_headerless_stream_is_taken_by_its_name_alone(tmp_path, codec, form, suffix):
    path = bare(tmp_path / f"clip{suffix}", codec, form)
    assert probe(path).num_frames == NUM_FRAMES
    named = path.rename(path.with_suffix(".mp4"))
    with pytest.raises(VideoError, match=r"clip\.mp4': its content is no known container \(FFmpeg's guess is \w+\), as "
                       "of a damaged file, a picture or a playlist"):
        probe(named)


def test_noise_that_ffmpeg_takes_for_h263_is_no_video(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", format="h263") as container:
        stream = container.add_stream("h263", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for i in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 128, 3), i, np.uint8), format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes() * 5)
    with av.open(str(path)) as container:
        assert container.format.name == "h263"
    with pytest.raises(VideoError, match=r"no known container \(FFmpeg's guess is h263\)"):
        probe(path)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_is_no_video(tmp_path, form):
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "clip.mp4", format=form)
    with pytest.raises(VideoError, match="no known container"):
        probe(tmp_path / "clip.mp4")


def test_suffixes_in_capitals_name_streams_too():
    assert refused_format("/a/CLIP.M2V", "mpegvideo") is None and refused_format("/a/clip.mp4", "mpegvideo")


@pytest.mark.parametrize(("name", "codec"), [
    ("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mjpeg"), ("a.wmv", "wmv2"), ("a.mov", "libx264")])
def test_a_files_headers_tell_its_size(tmp_path, name, codec):
    path = encode(tmp_path / name, codec)
    size = path.stat().st_size
    assert promised_bytes(path) == size
    path.write_bytes(path.read_bytes()[:size // 2])
    assert promised_bytes(path) > size // 2
    for stub in range(0, 64, 3):
        path.write_bytes(path.read_bytes()[:stub])
        promised_bytes(path)


@pytest.mark.parametrize("content", [
    b"\x1aE\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",   # Matroska of unknown size
    b"\x1aE\xdf\xa3\x00", b"RIFF\0\0\0\0AVI ", b"RIFF" + b"\xff" * 8,
    struct.pack(">I4sI4s", 8, b"free", 0, b"mdat"), struct.pack(">I4sI4s", 8, b"free", 3, b"mdat"), b"", b"\0" * 99])
def test_headers_that_do_not_tell_a_size_give_none(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert promised_bytes(tmp_path / "file") is None


def test_boxes_behind_boxes_are_walked_to_a_bound(tmp_path):
    (tmp_path / "file").write_bytes(struct.pack(">I4s", 8, b"free") * 200_000)
    assert promised_bytes(tmp_path / "file") is None


def test_the_name_does_not_matter_to_a_container(tmp_path):
    path = write_frames(tmp_path / "clip.mkv", range(0, 400, 40)).rename(tmp_path / "clip.avi")
    assert probe(path).num_frames == 10
