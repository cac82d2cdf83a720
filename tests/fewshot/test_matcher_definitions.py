"""Every matcher equals its definition by loops, for each pair alone and in batches."""

from itertools import combinations

import pytest
import torch
from small_matchers import FUNCTIONS, MODULES, L, made

from trokens.fewshot.matchers import bi_mhm, otam, pairwise_logits, prototype, trx, tsn
from trokens.fewshot.matchers.bi_mhm import token_distance


def features(*shape: int, seed: int = 0):
    return torch.randn(*shape, L, 8, generator=torch.Generator().manual_seed(seed)).relu()


def cosine_distance(x, y):
    return 1 - (x @ y) / (x.norm() * y.norm() + 0.01)


def attended(attention, queries, keys):
    """What each query row gathers from the key rows, head by head."""
    (wq, wk, wv), (bq, bk, bv) = attention.heads.in_proj_weight.chunk(3), attention.heads.in_proj_bias.chunk(3)
    width, found = len(wq) // attention.heads.num_heads, []
    for row in queries:
        heads = []
        for h in range(attention.heads.num_heads):
            of = slice(h * width, (h + 1) * width)
            scores = torch.stack([(wq @ row + bq)[of] @ (wk @ key + bk)[of] for key in keys]) / width**0.5
            heads.append(sum(weight * (wv @ key + bv)[of] for weight, key in zip(scores.softmax(0), keys, strict=True)))
        found.append(attention.heads.out_proj(torch.cat(heads)))
    return torch.stack(found)


def hyrsm_loops(matcher, x, shots):
    """The distance of one query clip (L, D) to each class (W, K, L, D)."""
    ways, k_shot = shots.shape[:2]
    a = [clip + attended(matcher.intra, clip, clip) for clip in [x, *shots.flatten(0, 1)]]
    g = torch.stack([clip.mean(0) for clip in a])
    e = g + attended(matcher.inter, g, g)
    f = [torch.stack([row + matcher.join(torch.cat([row, of_clip])) for row in clip])
         for clip, of_clip in zip(a, e, strict=True)]
    return [bi_mhm.distance_of_two(f[0], sum(f[1 + w * k_shot:1 + (w + 1) * k_shot]) / k_shot) for w in range(ways)]


def team_loops(matcher, x, shots):
    """The distance of one query clip (L, D) to each class (W, K, L, D)."""
    def patterns(clip):
        return matcher.patterns + attended(matcher.gather, matcher.patterns, clip)

    classes = [sum(patterns(shot) for shot in of_class) / len(of_class) for of_class in shots]
    common, z = sum(classes) / len(classes), patterns(x)
    return [4 * sum(cosine_distance(z[p] - common[p], y[p] - common[p]) for p in range(3)) / 3 for y in classes]


def loops_over(name: str, matcher, x, shots):
    """The distance of one query clip (L, D) to one class (K, L, D)."""
    y = shots.mean(0)
    if name == "tsn":
        return sum(cosine_distance(x[i], y[i]) for i in range(L))
    if name == "prototype_cosine":
        return L * cosine_distance(sum(x) / L, sum(y) / L)
    if name == "prototype_squared":
        return sum((a - b) ** 2 for a, b in zip(sum(x) / L, sum(y) / L, strict=True)) / 8**0.5
    if name == "otam":
        return otam.distance_of_two(x, y)
    x, shots = x + matcher.positions, shots + matcher.positions
    return sum(size.distance_of_two(x, shots) for size in matcher.sizes) / 2


@pytest.mark.parametrize("k_shot", [1, 3])
@pytest.mark.parametrize("name", [*FUNCTIONS, *MODULES])
def test_a_matcher_equals_its_definition_for_each_pair_alone_and_in_batches(name, k_shot):
    matcher = made(name)
    query, shots = features(2, 4), features(2, 3, k_shot, seed=1)
    classes = shots if name in MODULES else shots.mean(2)
    logits = pairwise_logits(query, classes, matcher=matcher)  # two episodes at once
    assert logits.shape == (2, 4, 3)
    for e in range(2):
        torch.testing.assert_close(pairwise_logits(query[e], classes[e], matcher=matcher), logits[e])
        of_set = {"hyrsm": hyrsm_loops, "team": team_loops}.get(name)  # whose distances depend on the other classes
        want = -torch.stack([torch.stack(of_set(matcher, x, shots[e]) if of_set else
                                         [loops_over(name, matcher, x, y) for y in shots[e]]) for x in query[e]])
        torch.testing.assert_close(logits[e], want, atol=1e-4, rtol=1e-4)


def test_otam_takes_the_cheapest_path_as_the_minimum_hardens(monkeypatch):
    monkeypatch.setattr(otam, "LAMBDA", 1e-4)
    d = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    # each column is passed once, in rows that step down by 0 or 1 but start and end anywhere
    paths = [(a, b, c) for a in range(4) for b in (a, a + 1) for c in (b, b + 1) if c < 4]
    best = min(sum(d[row, column] for column, row in enumerate(path)) for path in paths)
    deeper = min(d[a:b + 1, 0].sum() + d[b, 1] + d[b, 2] for a in range(4) for b in range(a, 4))
    torch.testing.assert_close(otam.path_cost(d), min(best, deeper), atol=2e-3, rtol=0)
    torch.testing.assert_close(otam.path_costs(d), otam.path_cost(d), atol=1e-5, rtol=0)


def test_otam_chunks_do_not_change_logits(monkeypatch):
    whole = pairwise_logits(features(6), features(3, seed=1), matcher="otam")
    monkeypatch.setattr("trokens.fewshot.matchers.bi_mhm.CHUNK", 2 * L * 3 * L + 1)
    torch.testing.assert_close(pairwise_logits(features(6), features(3, seed=1), matcher="otam"), whole)


def test_tsn_is_the_diagonal_and_a_still_clip_is_its_prototype():
    x, y = features(), features(seed=1)
    torch.testing.assert_close(tsn.distance_of_two(x, y), token_distance(x, y).diag().sum())
    still = x[:1].expand(1, L, 8)
    torch.testing.assert_close(tsn.tsn(still, y[None, :1].expand(1, L, 8)),
                               prototype.prototype_cosine(still, y[None, :1].expand(1, L, 8)))


def test_trx_maps_each_tuple_of_frames_in_order():
    matcher, x = made("trx"), features()
    triples = matcher.sizes[1]
    assert triples.frames.tolist() == [list(chosen) for chosen in combinations(range(L), 3)]
    joined = torch.stack([torch.cat([x[i], x[j], x[k]]) for i, j, k in triples.frames.tolist()])
    torch.testing.assert_close(triples._of_tuples(triples.key, x), triples.key(joined))
    with pytest.raises(ValueError, match="length is 256; trx compares all triples of 3 to 32 features"):
        trx.Trx(8, 256)


def test_queries_of_hyrsm_do_not_know_of_each_other_and_the_support_counts():
    matcher, query, shots = made("hyrsm"), features(4), features(3, 1, seed=1)
    together = pairwise_logits(query, shots, matcher=matcher)
    torch.testing.assert_close(pairwise_logits(query[:1], shots, matcher=matcher), together[:1])
    other = torch.cat([shots[:2], features(1, 1, seed=2)])
    assert not torch.allclose(pairwise_logits(query, other, matcher=matcher)[:, 0], together[:, 0])


def test_team_forgets_where_a_pattern_was_and_what_all_classes_share():
    matcher, query, shots = made("team"), features(4), features(3, 2, seed=1)
    logits = pairwise_logits(query, shots, matcher=matcher)
    torch.testing.assert_close(pairwise_logits(query.flip(1), shots, matcher=matcher), logits)
    alike = pairwise_logits(query, shots[:1].expand(3, -1, -1, -1), matcher=matcher)
    torch.testing.assert_close(alike, torch.full((4, 3), -4.0))  # nothing is left to compare
