"""Videos of which a demuxer passes over a part in silence: what was never written, or is nothing of that format."""

import random
import time

import av
import numpy as np
import pytest
from PIL import Image
from videos import encode, with_sound, write_frames

from trokens.video import DamagedVideo, VideoError, check_whole, probe, read_video

REALTIME = {"deadline": "realtime"}
PIECES = {"cluster_time_limit": "400"}  # ms; a demuxer that lost its way finds it again at the next one
FORMATS = [("clip.webm", "libvpx-vp9", REALTIME), ("clip.webm", "libvpx", REALTIME), ("clip.mkv", "ffv1", {}),
           ("clip.mkv", "mjpeg", {}), ("clip.ts", "libx264", {"bf": "0"}), ("clip.ts", "mpeg2video", {}),
           ("clip.avi", "ffv1", {}), ("clip.flv", "flv", {"bf": "0"}), ("clip.vob", "mpeg2video", {})]


def made(folder, name, codec, options):
    pieces = PIECES if name.endswith((".webm", ".mkv")) else None
    return encode(folder / name, codec, pieces, **options)


def spoil(path, begin, end, content=None):
    """Put ``content``, or zeros, in place of the parts of a file from ``begin`` to ``end``, shares of its size."""
    data = bytearray(path.read_bytes())
    a, b = int(begin * len(data)), int(end * len(data))
    data[a:b] = bytes(b - a) if content is None else random.Random(0).randbytes(b - a)
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "codec", "options"), FORMATS)
def test_a_download_that_was_not_finished_is_damaged(tmp_path, name, codec, options):
    path = made(tmp_path, name, codec, options)
    check_whole(path, probe(path))
    assert probe(path).damage is None and probe(path).num_frames == 60
    spoil(path, 0.4, 1)
    with pytest.raises(VideoError):  # by whatever sign
        check_whole(path, probe(path))
        read_video(path)


@pytest.mark.parametrize(("name", "codec", "options"), FORMATS)
@pytest.mark.parametrize("where", [0.3, 0.5, 0.7])
def test_zeros_in_the_middle_are_damage(tmp_path, name, codec, options, where):
    path = made(tmp_path, name, codec, options)
    spoil(path, where, where + max(0.1, 5000 / path.stat().st_size))
    with pytest.raises(VideoError):
        check_whole(path, probe(path))
        read_video(path)


@pytest.mark.parametrize(("codec", "options"), [("libvpx", REALTIME), ("libvpx-vp9", REALTIME), ("ffv1", {})])
def test_what_is_no_matroska_is_damage(tmp_path, codec, options):
    path = made(tmp_path, "clip.mkv", codec, options)
    spoil(path, 0.5, 0.6, "noise")
    with pytest.raises(VideoError):
        read_video(path)


def test_the_sentence_says_where_zeros_begin_and_what_to_do(tmp_path):
    path = made(tmp_path, "clip.mkv", "ffv1", {})
    spoil(path, 0.4, 1)
    with pytest.raises(DamagedVideo, match=r"it is damaged, from byte \d+ on it has zeros in place of its content; "
                       "get it anew, or take it as it is with damaged='warn'"):
        read_video(path, [0])
    frames = read_video(path, damaged="warn")
    assert 20 <= len(frames) < 40


@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "libx264"), ("clip.avi", "mpeg4"), ("clip.ts", "libx264")])
def test_sound_files_lose_nothing(tmp_path, name, codec):
    """Silence is zeros too, cues and voids are no packets, and what is appended does no harm."""
    source = encode(tmp_path / name, codec, {"reserve_index_space": "20000"} if name.endswith("mkv") else None, bf="0")
    loud = with_sound(source, tmp_path / f"sound_{name}", 3)
    late = write_frames(tmp_path / f"late_{name}", [*range(0, 1000, 40), 9000], codec, bf="0")
    for path in (source, loud, late):
        before = read_video(path)
        if not name.endswith("ts"):
            with open(path, "ab") as file:
                file.write(bytes(10_000))
        info = probe(path)
        check_whole(path, info)
        assert info.damage is None and read_video(path).equal(before)


def test_a_cut_gif_is_cut(tmp_path):
    path = tmp_path / "clip.gif"
    pictures = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8)) for i in range(12)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    whole = path.read_bytes()
    check_whole(path, probe(path))
    assert probe(path).num_frames == 12
    path.write_bytes(whole[:-1])  # some writers leave the end mark out
    check_whole(path, probe(path))
    path.write_bytes(whole + b"appended")
    check_whole(path, probe(path))
    for content in (whole[:len(whole) * 2 // 3], whole[:len(whole) // 2] + bytes(len(whole) // 2)):
        path.write_bytes(content)
        with pytest.raises(VideoError, match=rf"is cut: its parts break off at byte \d+ of {len(content)}; get it "
                           "anew, or keep what is there with short='warn'"):
            check_whole(path, probe(path))


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".avi", ".gif", ".mp4", ".flv", ".mpg"])
def test_a_large_file_of_nothing_is_refused_at_once(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(encode(tmp_path / "sound.ts").read_bytes())
    with open(path, "ab") as file:
        file.truncate(100 * 2**30)  # takes no room
    start = time.process_time()
    with pytest.raises(VideoError, match="its last 1 GiB are zeros, as of a download that did not come to its end; get "
                       "it anew"):
        probe(path)
    assert time.process_time() - start < 1


def test_a_single_picture_is_not_taken_for_the_video_beside_it(tmp_path):
    """Some files have their cover as a track like any other."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        cover, video = container.add_stream("mjpeg", rate=1), container.add_stream("libx264", rate=25)
        cover.width, cover.height, cover.pix_fmt = 48, 32, "yuvj420p"
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for stream, count in ((cover, 1), (video, 30)):
            for i in range(count):
                frame = av.VideoFrame.from_ndarray(np.full((stream.height, stream.width, 3), 5 * i, np.uint8), "rgb24")
                frame.pts = i
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    assert probe(path).num_frames == 30 and probe(path).size == (64, 96)
    assert read_video(path, [29]).float().mean() > 100
