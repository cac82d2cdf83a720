"""Which videos are cut, and which only look as if they were."""

import numpy as np
import pytest
from videos import X264, cut_copied, decode_all, encode, with_sound, write_frames

from trokens.video import VideoError, check_whole, probe, read_video

NO_B = {"bf": "0"}
REALTIME = {"deadline": "realtime"}


@pytest.mark.parametrize("start", [1, 11, 12, 13, 30, 59])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("groups", ["", ":open-gop=1"])
def test_what_an_edit_list_leaves_out_is_not_missing(tmp_path, start, suffix, groups):
    source = encode(tmp_path / f"source{suffix}", **{"x264-params": X264 + groups})
    path = cut_copied(source, tmp_path / f"cut{suffix}", start)
    info, whole = probe(path), read_video(source)
    check_whole(path, info)
    assert info.num_frames == 60 - start and info.times[0] == 0
    assert read_video(path).equal(whole[start:])
    indices = [0, (60 - start) // 2, 59 - start]
    assert read_video(path, indices).equal(whole[start:][indices])
    assert len(decode_all(path)) == info.num_frames


@pytest.mark.parametrize(("name", "codec"), [
    ("clip.mp4", "libx264"), ("clip.mkv", "libx264"), ("clip.avi", "mpeg4"), ("clip.flv", "flv"),
    ("clip.ts", "libx264")])
@pytest.mark.parametrize("seconds", [1, 30])
def test_a_sound_of_another_length_does_not_cut_the_video(tmp_path, name, codec, seconds):
    source = encode(tmp_path / name, codec, **{} if codec == "libx264" else NO_B)
    path = with_sound(source, tmp_path / f"sound_{name}", seconds)
    check_whole(path, probe(path))


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("clip.mp4", "libx264", {}), ("clip.mkv", "libx264", {}), ("clip.webm", "libvpx-vp9", REALTIME),
    ("clip.avi", "mjpeg", NO_B), ("clip.avi", "mpeg4", NO_B), ("clip.flv", "flv", NO_B)])
@pytest.mark.parametrize("stamps", [range(0, 3000, 120), [*range(0, 1000, 40), 9000], [0, *range(8000, 9000, 40)]],
                         ids=["dropped", "last shown long", "first shown long"])
def test_frames_that_were_never_there_are_not_missing(tmp_path, name, codec, options, stamps):
    path = write_frames(tmp_path / name, stamps, codec, **options)
    info = probe(path)
    check_whole(path, info)
    assert info.num_frames == len(stamps) and info.times[-1] == pytest.approx(stamps[-1] / 1000, abs=0.05)


@pytest.mark.parametrize(("name", "codec"), [
    ("packed.avi", "mpeg4"), ("hidden.webm", "libvpx"), ("b_frames.mpg", "mpeg2video")])
def test_packets_without_a_frame_of_their_own_are_not_missing(tmp_path, name, codec):
    options = {"auto-alt-ref": "1", "lag-in-frames": "10"} | REALTIME if codec == "libvpx" else {"bf": "2"}
    path = encode(tmp_path / name, codec, **options)
    check_whole(path, probe(path))


@pytest.mark.parametrize(("name", "codec", "cause"), [
    ("clip.mkv", "libx264", r"its frames end at 1\.\d\d s of 2\.40 s"),
    ("clip.webm", "libvpx-vp9", r"its frames end at 1\.\d\d s of 2\.40 s"),
    ("clip.avi", "mjpeg", r"\d\d of 60 frames are there"),
    ("clip.flv", "flv", r"its frames end at 1\.\d\d s of 2\.40 s"),
    ("clip.wmv", "wmv2", r"\d+ of \d+ bytes are there")])
@pytest.mark.parametrize("sound", [False, True])
def test_a_file_without_its_end_is_cut(tmp_path, name, codec, cause, sound):
    path = encode(tmp_path / name, codec, **REALTIME if "vpx" in codec else {})
    if sound and path.suffix in (".mkv", ".flv"):
        path, cause = with_sound(path, tmp_path / f"sound_{name}", 3), cause.replace(r"2\.40", r"[23]\.\d\d")
    path.write_bytes(path.read_bytes()[:int(0.7 * path.stat().st_size)])
    with pytest.raises(VideoError, match=rf"{name}' is cut: {cause}; get it anew, or keep .*DATA\.SHORT_VIDEO"):
        check_whole(path, probe(path))


def test_an_mp4_that_begins_with_its_index_is_cut_where_its_frames_end(tmp_path):
    path = encode(tmp_path / "clip.mp4", container_options={"movflags": "faststart"}, **{"x264-params": X264})
    path.write_bytes(path.read_bytes()[:int(0.7 * path.stat().st_size)])
    info = probe(path)
    with pytest.raises(VideoError, match=r"clip\.mp4' is cut: \d\d of 60 frames are there"):
        check_whole(path, info)
    assert 20 < info.num_frames < 50 and info.damage is None
    assert np.array_equal(read_video(path), decode_all(path))


def test_an_mp4_that_has_lost_its_index_says_how_much_is_there(clip):
    size = clip.stat().st_size
    clip.write_bytes(clip.read_bytes()[:size // 2])
    with pytest.raises(VideoError, match=rf"clip\.mp4': it is cut, {size // 2} of \d+ bytes are there; get it anew"):
        probe(clip)


def test_a_frame_that_is_there_in_part_is_left_out(tmp_path):
    path = encode(tmp_path / "clip.avi", "mjpeg")
    frames = read_video(path)
    path.write_bytes(path.read_bytes()[:int(0.97 * path.stat().st_size)])
    info = probe(path)
    check_whole(path, info)
    assert 50 < info.num_frames < 60 and read_video(path).equal(frames[:info.num_frames])


def test_a_switch_keeps_what_is_there_and_names_it_once(tmp_path, caplog):
    path = encode(tmp_path / "clip.mkv", **{"x264-params": X264})
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    for _ in range(3):
        check_whole(path, probe(path), short="warn")
    assert [record.getMessage() for record in caplog.records] == [
        f"'{path}' is cut: {probe(path).short}; what is there is taken for the whole."]


def test_cut_videos_are_refused_and_short_ones_are_not(real_clips):
    for name, cause in (("derived_truncated.avi", "43 of 240"), ("derived_truncated.webm", "2.25 s of 3.92 s")):
        path = real_clips / "robust" / name
        with pytest.raises(VideoError, match=cause):
            check_whole(path, probe(path))
    path = real_clips / "robust" / "decord_rot_90.mov"  # three frames, whole
    check_whole(path, probe(path))


@pytest.mark.parametrize(("name", "frames"), [("cut_copy.mp4", 52), ("audio_longer.mp4", 103), ("drop.avi", 17)])
def test_whole_videos_that_were_called_cut_are_whole(faults, name, frames):
    info = probe(faults / "videos" / name)
    check_whole(faults / "videos" / name, info)
    assert info.num_frames == frames
