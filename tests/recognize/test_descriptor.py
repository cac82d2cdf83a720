"""The descriptor: its formula, what it is blind to, and what it tells apart."""

import math

import pytest
import torch

from trokens.recognize.compare import ORDER, bi_mhm, distances, looks_rows, pair_distances
from trokens.recognize.descriptor import (
    BINS,
    GRID,
    SEGMENTS,
    SMALLEST,
    SPREAD,
    STILL,
    MovingPoints,
    motion_rows,
    own_motion,
)
from trokens.structures import Tracks


def random_points(steps=7, points=9, seed=0, hidden=0.2):
    """Points of a frame twice as wide as high; some are hidden at some steps."""
    g = torch.Generator().manual_seed(seed)
    half = torch.tensor([0.5, 0.25])
    xy = (torch.rand(steps, points, 2, generator=g) * 2 - 1) * half
    displacement = torch.randn(steps, points, 2, generator=g) * 0.02
    return MovingPoints(xy, displacement, torch.rand(steps, points, generator=g) >= hidden, half)


def moving_block(way, steps=12, at=(0.0, 0.0), side=20, reach=0.15, camera=(0.0, 0.0)):
    """A grid of points over the frame; those around ``at`` move by ``way`` a step."""
    line = (torch.arange(side) + 0.5) / side - 0.5
    xy = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).flatten(0, 1)
    moves = (xy - torch.tensor(at)).abs().amax(1) < reach
    displacement = torch.where(moves[:, None], torch.tensor(way), 0.0) + torch.tensor(camera)
    return MovingPoints(xy[None], displacement.expand(steps, -1, -1).clone(),
                        torch.ones(steps, len(xy), dtype=torch.bool), torch.tensor([0.5, 0.5]))


def by_the_formula(points, seconds):
    """The rows, computed number by number as the module's docstring has it."""
    T, N = points.visible.shape
    f = torch.zeros(T, N, 2)
    for t in range(T):
        seen = points.visible[t].nonzero().flatten().tolist()
        if not seen:
            continue
        camera = points.displacement[t, seen].median(0).values  # of each coordinate
        e = points.displacement[t] - camera
        noise = e[seen].norm(dim=1).median()
        for p in seen:
            length = e[p].norm()
            f[t, p] = e[p] * max(1 - noise / length, 0) if length > 0 else 0
    weight = f.norm(dim=-1)
    xy = points.xy.expand(T, N, 2)
    middle = (weight[..., None] * xy).sum((0, 1)) / weight.sum()
    deviation = ((weight[..., None] * (xy - middle) ** 2).sum((0, 1)) / weight.sum()).sqrt() + SMALLEST
    halves = []
    for place in (xy / points.half, (xy - middle) / (SPREAD * deviation)):
        H = torch.zeros(SEGMENTS, GRID, GRID, BINS)
        for t in range(T):
            for p in range(N):
                angle = (math.atan2(f[t, p, 1], f[t, p, 0]) / math.pi + 1) / 2 * BINS
                low = math.floor(angle)
                for s in range(SEGMENTS):
                    overlap = min((s + 1) * T / SEGMENTS, t + 1) - max(s * T / SEGMENTS, t)
                    for row in range(GRID):
                        for column in range(GRID):
                            share = 1.0
                            for coordinate, cell in ((0, column), (1, row)):
                                at = min(max((place[t, p, coordinate].item() + 1) / 2 * GRID - 0.5, 0), GRID - 1)
                                share *= max(1 - abs(at - cell), 0)
                            part = max(overlap, 0) * share * weight[t, p] / max(points.visible[t].sum(), 1)
                            H[s, row, column, low % BINS] += part * (1 - (angle - low))
                            H[s, row, column, (low + 1) % BINS] += part * (angle - low)
        H = H.flatten(1) * SEGMENTS / seconds
        halves.append(H.sqrt() / (H.sum(1, keepdim=True) + STILL).sqrt())
    return torch.cat(halves, 1) / math.sqrt(2)


def test_the_rows_are_what_the_formula_says():
    points = random_points()
    torch.testing.assert_close(motion_rows(points, 0.7), by_the_formula(points, 0.7), atol=1e-5, rtol=1e-4)


def test_the_distance_is_what_the_formula_says():
    g = torch.Generator().manual_seed(1)
    a, b = torch.rand(2, SEGMENTS, 5, generator=g)
    total = 0.0
    D = [[((a[i] - b[j]) ** 2).sum().item() / 2 + ORDER * abs(i - j) / (SEGMENTS - 1) for j in range(SEGMENTS)]
         for i in range(SEGMENTS)]
    total = sum(min(row) for row in D) / SEGMENTS + sum(min(column) for column in zip(*D, strict=True)) / SEGMENTS
    assert distances(a[None], b[None]).item() == pytest.approx(total, abs=1e-5)
    assert bi_mhm(pair_distances(a, a)).item() == pytest.approx(0, abs=1e-6)


def test_a_camera_that_pans_changes_nothing():
    still, panned = (moving_block((0.01, 0.0), camera=camera) for camera in ((0.0, 0.0), (0.03, -0.02)))
    torch.testing.assert_close(motion_rows(still, 1.2), motion_rows(panned, 1.2), atol=1e-4, rtol=1e-3)


def test_speed_and_length_of_a_clip_change_next_to_nothing():
    slow, fast = moving_block((0.005, 0.0), steps=20), moving_block((0.02, 0.0), steps=5)
    assert distances(motion_rows(slow, 2.0)[None], motion_rows(fast, 0.5)[None]).item() < 0.01


def test_another_place_in_the_picture_is_nearer_than_another_direction():
    rows = [motion_rows(moving_block(way, at=at), 1.2)[None] for way, at in
            (((0.01, 0.0), (0.0, 0.0)), ((0.01, 0.0), (0.2, 0.15)), ((0.0, 0.01), (0.0, 0.0)))]
    assert distances(rows[0], rows[1]) < 0.6 * distances(rows[0], rows[2])


def test_hidden_points_do_not_count():
    points = random_points(hidden=0.3)
    wild = points.displacement.where(points.visible[..., None], 5.0)
    rows = motion_rows(MovingPoints(points.xy, wild, points.visible, points.half), 0.7)
    torch.testing.assert_close(rows, motion_rows(points, 0.7))


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_without_motion_the_rows_are_zero_and_equal_to_each_other_alone(steps):
    still = motion_rows(moving_block((0.0, 0.0), steps=steps), 0.1 * steps)
    assert still.shape == (SEGMENTS, 2 * GRID**2 * BINS) and not still.any()
    moving = motion_rows(moving_block((0.01, 0.0)), 1.2)
    assert distances(still[None], still[None]) < 1e-6 < distances(still[None], moving[None])


def test_a_clip_of_one_point_or_of_none_has_rows():
    for count in (0, 1):
        points = MovingPoints(torch.zeros(1, count, 2), torch.ones(3, count, 2), torch.ones(3, count) > 0,
                              torch.tensor([0.5, 0.5]))
        assert motion_rows(points, 0.3).isfinite().all()


def test_tracks_that_are_nan_count_as_hidden():
    g = torch.Generator().manual_seed(0)
    xy = torch.rand(6, 8, 2, generator=g) * 90
    seen = torch.ones(6, 8, dtype=torch.bool)
    broken = xy.clone()
    broken[2, 3] = torch.nan
    hidden = seen.clone()
    hidden[2, 3] = False
    zeros = torch.zeros(8, dtype=torch.long)
    rows = [motion_rows(MovingPoints.from_tracks(Tracks(p, v, zeros, zeros, (90, 120))), 0.5)
            for p, v in ((broken, seen), (xy, hidden))]
    assert rows[0].isfinite().all()
    torch.testing.assert_close(*rows)


def test_tracks_and_flow_of_the_same_motion_have_the_same_rows():
    flow = torch.zeros(5, 10, 12, 2)
    flow[:, 3:7, 4:9, 0] = torch.linspace(1, 3, 5)[:, None, None]
    dense = MovingPoints.from_flow(flow, (10, 12), 1)
    start = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="xy"), -1).flatten(0, 1)
    own = own_motion(dense)
    for t in range(5):  # each step from the same places, as the flow is read
        xy = torch.stack([start, start + flow[t].flatten(0, 1)])
        zeros = torch.zeros(120, dtype=torch.long)
        step = MovingPoints.from_tracks(Tracks(xy, torch.ones(2, 120) > 0, zeros, zeros, (10, 12)))
        torch.testing.assert_close(step.xy, dense.xy)
        torch.testing.assert_close(own_motion(step)[0], own[t], atol=1e-6, rtol=1e-5)


def test_what_stays_the_same_in_a_clip_hardly_counts_for_its_looks():
    g = torch.Generator().manual_seed(0)
    change, other = torch.randn(2, 16, 40, generator=g)
    rooms = torch.randn(3, 40, generator=g)
    a, b, c = (looks_rows(x + 2 * room)[None] for x, room in zip((change, change, other), rooms, strict=True))
    assert distances(a, b) < 0.3 * distances(a, c)


def test_where_nothing_changes_the_mean_look_decides():
    g = torch.Generator().manual_seed(0)
    pose, other = torch.randn(2, 40, generator=g)
    a, b, c = (looks_rows(mean + 1e-3 * torch.randn(16, 40, generator=g))[None] for mean in (pose, pose, other))
    assert distances(a, b) < 0.3 * distances(a, c)


def test_the_published_matcher_has_sums_where_this_one_has_means():
    from trokens.fewshot.matchers.bi_mhm import bi_mhm as published
    g = torch.Generator().manual_seed(2)
    a, b = torch.nn.functional.normalize(torch.rand(2, SEGMENTS, 7, generator=g), dim=-1)
    pairs = 1 - (1 - pair_distances(a, b, order=0)) / 1.01  # its cosine has 0.01 in the denominator
    assert bi_mhm(pairs).item() * SEGMENTS == pytest.approx(published(a[None], b[None]).item(), rel=1e-4)
