"""Bipartite merging and k-means against golden labels and their definitions."""

import pytest
import torch
from safetensors.torch import load_file

from trokens.points.clustering import cluster_patches, cosine, kmeans_patches, merge_over_time, merge_tokens


@pytest.fixture
def numbers(golden):
    return load_file(golden / "clustering.safetensors")


@pytest.mark.parametrize("name", ["random", "random_odd", "structured"])
@pytest.mark.parametrize(("ratio", "rounds"), [(25, 11), (25, 4), (40, 6)])
def test_labels_equal_the_golden_labels(numbers, name, ratio, rounds):
    labels = cluster_patches(numbers[f"{name}_feat"], merge_ratio=ratio, num_iters=rounds)
    assert torch.equal(labels, numbers[f"{name}_ids_m{ratio}_i{rounds}"])


@pytest.mark.parametrize("name", ["random", "random_odd", "structured"])
def test_reduced_tokens_and_centroids_equal_the_golden_ones(numbers, name):
    reduced = merge_tokens(numbers[f"{name}_feat"].flatten(1, 2))
    torch.testing.assert_close(reduced, numbers[f"{name}_reduced_m25_i11"], atol=1e-5, rtol=0)
    torch.testing.assert_close(merge_over_time(reduced), numbers[f"{name}_merged_centroids"][0], atol=1e-5, rtol=0)


def test_kmeans_equals_the_golden_lloyd(numbers):
    labels, centroids = kmeans_patches(numbers["random_feat"], 8, initial=numbers["torch_kmeans_init_idx"])
    assert torch.equal(labels.flatten(), numbers["torch_kmeans_labels"])
    torch.testing.assert_close(centroids, numbers["torch_kmeans_centroids"], atol=1e-5, rtol=0)


def test_merging_equals_its_nested_loop():
    frame = torch.randn(15, 6, generator=torch.Generator().manual_seed(0))
    even, odd = list(frame[::2]), list(frame[1::2])
    links = [max((torch.cosine_similarity(e, o, dim=0).item(), -j) for j, o in enumerate(odd)) for e in even]
    order = sorted(range(len(even)), key=lambda i: -links[i][0])
    groups = [[o] for o in odd]
    for i in order[:int(15 * 30 / 100)]:
        groups[-links[i][1]].append(even[i])
    expected = torch.stack([even[i] for i in order[4:]] + [torch.stack(group).mean(0) for group in groups])
    torch.testing.assert_close(merge_tokens(frame[None], merge_ratio=30, num_iters=1)[0], expected)


def test_two_textures_make_two_clusters():
    directions = torch.eye(4)[:2]
    truth = torch.zeros(3, 8, 8, dtype=torch.long)
    truth[:, 2:6, 3:7] = 1
    features = directions[truth] + 0.01 * torch.randn(3, 8, 8, 4, generator=torch.Generator().manual_seed(1))
    labels, _ = kmeans_patches(features, 2, initial=torch.tensor([0, 3 * 8 + 4]))
    assert torch.equal(labels, truth)
    merged = cluster_patches(features)
    assert not set(merged[truth == 0].tolist()) & set(merged[truth == 1].tolist())


def test_clustering_leaves_its_input_alone_and_survives_zero_features():
    features = torch.zeros(2, 4, 4, 3)
    labels = cluster_patches(features)
    assert torch.equal(features, torch.zeros(2, 4, 4, 3)) and labels.shape == (2, 4, 4)
    assert cosine(torch.zeros(1, 3), torch.ones(1, 3)).item() == 0


def test_kmeans_keeps_the_centroid_of_an_empty_cluster():
    labels, centroids = kmeans_patches(torch.zeros(1, 2, 2, 3), 3)
    assert torch.isfinite(centroids).all() and labels.max() == 0


def test_impossible_options_are_named():
    with pytest.raises(ValueError, match="merge_ratio is 60"):
        merge_tokens(torch.zeros(1, 4, 2), merge_ratio=60)
    with pytest.raises(ValueError, match="num_clusters is 9"):
        kmeans_patches(torch.zeros(1, 2, 2, 3), 9)
