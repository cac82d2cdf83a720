"""Video files: which frames there are, any of them as RGB, and whether a file is whole."""

from trokens.video.info import VideoError, VideoInfo
from trokens.video.read import BACKENDS, probe, read_video, stream_video
from trokens.video.whole import check_whole

__all__ = ["BACKENDS", "VideoError", "VideoInfo", "check_whole", "probe", "read_video", "stream_video"]
