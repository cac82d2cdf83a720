"""Query frames and query points against golden numbers and their definitions."""

import json

import pytest
import torch
from safetensors.torch import load_file

from trokens.points.queries import components, grid_query_points, place_points, query_frames, semantic_query_points


@pytest.fixture
def numbers(golden):
    return load_file(golden / "clustering.safetensors")


@pytest.fixture
def info(golden):
    return json.loads((golden / "clustering_info.json").read_text())


@pytest.mark.parametrize("name", ["random", "random_odd", "structured"])
def test_query_frames_equal_the_golden_ones(numbers, info, name):
    labels, rows = query_frames(numbers[f"{name}_ids_m25_i11"])
    expected = {label: int(row) for row, found in info[f"{name}_peak_frames"].items() for label in found}
    assert dict(zip(labels.tolist(), rows.tolist(), strict=True)) == expected


def test_query_frames_are_frame_numbers_of_the_tracked_video(numbers, info):
    numbering = torch.tensor(list(info["pipeline"]["frames_id_dict"].values()))
    points, _ = semantic_query_points(numbers["structured_ids_m25_i11"], numbering, (32, 32), points_per_entity=1)
    assert sorted(set(points[:, 0].tolist())) == numbering[info["pipeline"]["true_peak_frames"]].tolist()


@pytest.mark.parametrize("name", ["kmeans16", "few"])
def test_points_on_a_mask_equal_the_golden_ones(numbers, name):
    expected = numbers[f"mask_{name}"]                                                        # (n, 2) as (y, x)
    mask = numbers["mask"].numpy()
    if name == "few":
        mask = torch.zeros(60, 80, dtype=torch.bool).index_put(tuple(expected.long().T), torch.tensor(True)).numpy()
    assert torch.equal(place_points(mask, 16), expected.flip(1).long())


def test_points_on_components_equal_the_golden_ones(numbers):
    placed = [place_points(part, 4) for part in components(numbers["mask2"].numpy())]
    assert torch.equal(torch.cat(placed), numbers["mask2_concomp4_pts"].flip(1).long())
    assert [i for i, part in enumerate(placed) for _ in part] == numbers["mask2_concomp4_labels"].tolist()


def two_frames() -> torch.Tensor:
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    labels[0, 0, 0] = labels[1, 0, 0] = labels[1, 2:, 2:] = 5
    return labels


def test_points_lie_on_their_label_in_its_query_frame():
    labels, size = two_frames(), (20, 40)
    points, cluster = semantic_query_points(labels, torch.tensor([3, 9]), size)
    assert cluster.tolist() == [0] * 16 + [5] * 16
    assert points.dtype == torch.float32 and points[:, 0].tolist() == [3] * 16 + [9] * 16
    _, x, y = points.long().T
    frame = (points[:, 0] == 9).long()
    assert torch.equal(labels[frame, y * 4 // size[0], x * 4 // size[1]], cluster)


def test_each_connected_component_becomes_a_cluster():
    points, cluster = semantic_query_points(two_frames(), torch.tensor([0, 1]), (8, 8), points_per_entity=4,
                                            connected_components=True)
    assert cluster.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert points[4:8, 1:].max() < 2 and points[8:, 1:].min() >= 4


def test_components_touching_at_a_corner_are_two():
    assert len(components(torch.eye(2, dtype=torch.bool).numpy())) == 2


def test_grid_points_fill_evenly_spaced_frames():
    points, cluster = grid_query_points(10, (60, 90), grid_size=3, num_query_frames=4)
    assert points.shape == (36, 3) and not cluster.any()
    assert points[:, 0].unique().tolist() == [0, 3, 6, 9]
    assert points[:9, 1].tolist() == [14.5, 44.5, 74.5] * 3 and points[:9:3, 2].tolist() == [9.5, 29.5, 49.5]
    assert len(grid_query_points(1, (60, 90), grid_size=3)[0]) == 9
