import itertools
import math
import struct
import sys

import av
import numpy as np
import pytest

from trokens.video import VideoError, probe, read_video
from trokens.video.orientation import AS_STORED, Orientation, from_matrix, orientation_of

EIGHT = [(a, 0, 0, d) for a, d in itertools.product((1, -1), repeat=2)]
EIGHT += [(0, b, c, 0) for b, c in itertools.product((1, -1), repeat=2)]


def set_matrix(path, a, b, c, d):
    """Write QuickTime's matrix into an mp4: x' = a x + c y, y' = b x + d y, as 16.16 fixed point."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 44
    content[start:start + 36] = struct.pack(">9i", *(round(v * 65536) for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    path.write_bytes(content)


def shown(image: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Move every pixel of (H, W, 3) to where the matrix says, pixel by pixel."""
    y, x = np.mgrid[:image.shape[0], :image.shape[1]]
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    out = np.zeros((down.max() + 1, right.max() + 1, 3), np.uint8)
    out[down, right] = image
    return out


@pytest.mark.parametrize("matrix", EIGHT)
def test_each_of_the_eight_orientations_puts_pixels_where_the_matrix_says(clip, matrix):
    stored = read_video(clip, [0, 30]).numpy()
    set_matrix(clip, *matrix)
    assert np.array_equal(read_video(clip, [0, 30]), [shown(image, *matrix) for image in stored])
    assert probe(clip).size == shown(stored[0], *matrix).shape[:2]
    assert probe(clip).orientation.flips == (matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0)


@pytest.mark.parametrize("matrix", EIGHT)
@pytest.mark.parametrize("angle", [-30, 0.4, 30])
def test_a_matrix_between_two_orientations_gives_the_nearer(matrix, angle):
    a, b, c, d = matrix
    cos, sin = 3 * math.cos(math.radians(angle)), 3 * math.sin(math.radians(angle))  # and shows the picture larger
    turned = (a * cos - b * sin, a * sin + b * cos, c * cos - d * sin, c * sin + d * cos)

    def orientation(a, b, c, d):
        return from_matrix(tuple(round(v * 65536) for v in (a, b, 0, c, d, 0, 0, 0, 1 << 14)))

    assert orientation(*turned)[:3] == orientation(*matrix)[:3]
    assert orientation(*turned).exact == (angle == 0.4) and orientation(*matrix).exact


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 1, 1), (0, 0, 0, -1)])
def test_a_matrix_that_flattens_the_picture_leaves_it_as_it_is_and_says_so(clip, matrix, caplog):
    stored = read_video(clip, [0])
    set_matrix(clip, *matrix)
    assert read_video(clip, [0]).equal(stored)
    assert [record.getMessage() for record in caplog.records] == [
        f"'{clip}' asks for a display that is no quarter turn; its frames are shown as they are stored."]
    read_video(clip, [1])
    assert len(caplog.records) == 1


def test_a_crooked_video_is_shown_by_the_nearest_quarter_turn_and_named(clip, caplog):
    set_matrix(clip, math.cos(1.2), math.sin(1.2), -math.sin(1.2), math.cos(1.2))
    assert probe(clip).size == (96, 64)
    assert ("clip.mp4' asks for a display that is no quarter turn; its frames are shown turned by 90 degrees "
            "clockwise.") in caplog.text


def test_numbers_of_any_size_are_an_orientation():
    assert from_matrix((2**31 - 1, 0, 0, 0, -2**31, 0, 0, 0, 0)) == Orientation(False, True, False)
    assert from_matrix((1, 0, 0, 0, 1, 0, 0, 0, 0)) == AS_STORED


def test_real_rotated_files_stand_upright(real_clips):
    shapes = [tuple(read_video(real_clips / "robust" / f"decord_rot_{turn}.mov", [0]).shape)
              for turn in (0, 90, 180, 270)]
    assert shapes == [(1, 320, 568, 3), (1, 568, 320, 3), (1, 320, 568, 3), (1, 568, 320, 3)]


def test_a_front_cameras_mirrored_video_is_mirrored_as_its_matrix_says(faults):
    plain, mirrored = (read_video(faults / "videos" / name) for name in ("plain.mp4", "hflip.mp4"))
    assert mirrored.equal(plain.flip(2))


def test_decord_refuses_what_it_cannot_mirror(clip, monkeypatch):
    pytest.importorskip("decord")
    set_matrix(clip, -1, 0, 0, 1)
    with pytest.raises(VideoError, match=r"mirrored.*pyav"):
        read_video(clip, [0], backend="decord")


def test_a_frame_is_let_go_once_nobody_needs_it(clip):
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
        before = sys.getrefcount(frame)
        orientation_of(frame)
        assert sys.getrefcount(frame) == before  # else only the collector of cycles, which comes late, would free it
