import struct

import pytest
import torch

from trokens.video import probe, read_video


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_for_display_is_applied(clip, matrix, turns):
    upright = read_video(clip, [0, 30])
    content = bytearray(clip.read_bytes())
    start = content.index(b"tkhd") + 44  # QuickTime's matrix: x' = a x + c y, y' = b x + d y, as 16.16 fixed point
    a, b, c, d = matrix
    content[start:start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    clip.write_bytes(content)
    turned = read_video(clip, [0, 30])
    assert turned.equal(torch.rot90(upright, turns, (1, 2)))
    assert probe(clip).size == turned.shape[1:3]


def test_real_rotated_files_stand_upright(real_clips):
    shapes = [tuple(read_video(real_clips / "robust" / f"decord_rot_{turn}.mov", [0]).shape)
              for turn in (0, 90, 180, 270)]
    assert shapes == [(1, 320, 568, 3), (1, 568, 320, 3), (1, 320, 568, 3), (1, 568, 320, 3)]
