"""Video files: which frames there are, any of them as RGB, and whether a file is whole and sound."""

from trokens.video.info import POLICIES, DamagedVideo, VideoError, VideoInfo
from trokens.video.read import BACKENDS, check_sound, find_damage, probe, read_video, stream_video
from trokens.video.whole import check_whole

__all__ = ["BACKENDS", "POLICIES", "DamagedVideo", "VideoError", "VideoInfo", "check_sound", "check_whole",
           "find_damage", "probe", "read_video", "stream_video"]
