import pytest

from trokens.video import VideoError, check_whole, probe


def test_cut_videos_are_refused_and_short_ones_are_not(real_clips):
    for name, cause in (("derived_truncated.avi", "43 of 240"), ("derived_truncated.webm", "2.25 s of 3.92 s")):
        path = real_clips / "robust" / name
        with pytest.raises(VideoError, match=cause):
            check_whole(path, probe(path))
    path = real_clips / "robust" / "decord_rot_90.mov"  # three frames, whole
    check_whole(path, probe(path))

