"""OTAM, ordered temporal alignment: the cheapest path through the frames of both clips, softened to be differentiable.

Cao et al., "Few-Shot Video Classification via Temporal Alignment", CVPR 2020 (https://arxiv.org/abs/1906.11876).
Distances are sums along the path, as in the paper; several shots are compared by their prototype.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from trokens.fewshot.matchers import MATCHERS
from trokens.fewshot.matchers.bi_mhm import of_token_distances, token_distance

LAMBDA = 0.1  # smoothness of the minimum


def soft_minimum(*costs: Tensor) -> Tensor:
    """-lambda log sum_i exp(-a_i / lambda): the minimum as lambda goes to 0."""
    return -LAMBDA * torch.logsumexp(torch.stack(costs) / -LAMBDA, 0)


def path_cost(d: Tensor) -> Tensor:
    """The definition of a path's cost, of one matrix of distances (L, M):

        c(l, m) = D(l, m) + softmin {c(l-1, m-1), c(l, m-1)}               a step forward in m; l may stay
        c(l, m) = D(l, m) + softmin {c(l-1, m-1), c(l, m-1), c(l-1, m)}    for m = 1 and m = M + 1

    D is d between two columns of zeros, m = 0 and m = M + 1: with the steps down beside them, the path may start and
    end anywhere in l. Terms outside of D fall out, and c = 0 for m = 0.

    Returns:
        A scalar, c(L - 1, M + 1).
    """
    rows, columns = d.shape
    cost = {(row, 0): d.new_zeros(()) for row in range(rows)}
    for row in range(rows):
        for column in range(1, columns + 2):
            before = [(row - 1, column - 1), (row, column - 1)]
            if column in (1, columns + 1):
                before.append((row - 1, column))
            step = d[row, column - 1] if column <= columns else d.new_zeros(())
            cost[row, column] = step + soft_minimum(*(cost[cell] for cell in before if cell in cost))
    return cost[rows - 1, columns + 1]


def distance_of_two(x: Tensor, y: Tensor) -> Tensor:
    """The definition, for one query clip and one class: :func:`path_cost` of (x, y) plus that of (y, x).

    Args:
        x: Tokens of the query clip, (L, D).
        y: Tokens of the class, (M, D).

    Returns:
        A scalar.
    """
    d = token_distance(x, y)  # (L, M)
    return path_cost(d) + path_cost(d.T)


@MATCHERS.register("otam")
def otam(query: Tensor, proto: Tensor) -> Tensor:
    """:func:`distance_of_two` of every query clip (..., Q, L, D) and class (..., W, M, D): (..., Q, W)."""
    return of_token_distances(_costs_both_ways, query, proto)


def _costs_both_ways(d: Tensor) -> Tensor:
    d = rearrange(d, "... q l w m -> l m ... q w")
    return path_costs(d) + path_costs(d.transpose(0, 1))


def path_costs(d: Tensor) -> Tensor:
    """:func:`path_cost` of many matrices, (L, M, ...) -> (...), a column of them at once."""
    first = [d[0, 0]]
    for row in d[1:, 0]:
        zero = torch.zeros_like(row)
        first.append(row + soft_minimum(zero, zero, first[-1]))
    cost = torch.stack(first)  # (L, ...)
    for column in d.transpose(0, 1)[1:]:
        cost = column + torch.cat([cost[:1], soft_minimum(cost[:-1], cost[1:])])
    # In the last column, every c(l, M) before the last row is reached twice: straight, and from the row below.
    return soft_minimum(*cost, *cost[:-1])
