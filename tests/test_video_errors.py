import os

import av
import numpy as np
import pytest
from videos import NUM_FRAMES, X264, decode_all, encode, table

from trokens.video import VideoError, probe, read_video


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


def test_real_files_that_cannot_be_read_are_video_errors(real_clips, capfd):
    folder = real_clips / "robust"
    broken = [row["path"] for row in table(folder) if row["err"] and "Unicode" not in row["err"]]
    assert len(broken) == 5
    for name in broken:
        with pytest.raises(VideoError, match=name):
            read_video(folder / name)
    assert capfd.readouterr() == ("", "")
