"""Which clips an episode shows: a pure function of seed, epoch and episode, so every world size sees the same list."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch.utils.data import Sampler


@dataclass(frozen=True)
class EpisodePlan:
    """The clips of one episode, support first, each set class-major.

    Attributes:
        indices: Rows of the split's clip list, num_support + n_way * n_query of them.
        way: Class of each within the episode, in [0, n_way).
        n_way: Number of classes.
        num_support: n_way * k_shot.
        key: What random draws inside the episode (points, augmentation) are seeded with.
    """

    indices: tuple[int, ...]
    way: tuple[int, ...]
    n_way: int
    num_support: int
    key: str


class EpisodeSampler(Sampler[EpisodePlan]):
    """Draw the classes and clips of each episode.

    Indexing (``sampler[i]``) gives episode ``i`` of the current epoch; iteration gives this process's share,
    episodes ``rank + start * world_size``, ``rank + (start + 1) * world_size``, ... of ``num_episodes``.

    Args:
        class_ids: Class of every clip of the split.
        n_way: Classes an episode.
        k_shot: Support clips a class.
        n_query: Query clips a class.
        num_episodes: Episodes an epoch, over all processes.
        seed: Two samplers with the same seed draw the same episodes.
        rank: Number of this process.
        world_size: Number of processes.

    Raises:
        ValueError: Too few classes, or a class with too few clips.
    """

    def __init__(self, class_ids: Sequence[int], *, n_way: int, k_shot: int, n_query: int, num_episodes: int,
                 seed: int | str, rank: int = 0, world_size: int = 1):
        by_class: dict[int, list[int]] = defaultdict(list)
        for index, class_id in enumerate(class_ids):
            by_class[class_id].append(index)
        if n_way > len(by_class):
            raise ValueError(f"n_way is {n_way}, but the split has {len(by_class)} classes; lower it.")
        if small := small_classes({c: len(clips) for c, clips in by_class.items()}, k_shot + n_query):
            class_id, count = small[0]
            raise ValueError(f"Class {class_id} has {count} videos; k_shot + n_query needs {k_shot + n_query} "
                             f"({len(small)} classes too small).")
        self._by_class = {c: by_class[c] for c in sorted(by_class)}
        self.n_way, self.k_shot, self.n_query = n_way, k_shot, n_query
        self.num_episodes, self.seed, self.rank, self.world_size = num_episodes, seed, rank, world_size
        self.set_epoch(0)

    @classmethod
    def from_config(cls, cfg, class_ids: Sequence[int], *, split: str, n_way: int = 0,
                    k_shot: int = 0) -> EpisodeSampler:
        """The episodes that a split is evaluated on: the config's classes and shots, or others where they are given."""
        few_shot = cfg.FEW_SHOT
        return cls(class_ids, n_way=n_way or few_shot.N_WAY, k_shot=k_shot or few_shot.K_SHOT,
                   n_query=few_shot.TEST_QUERY_PER_CLASS, num_episodes=few_shot.TEST_EPISODES,
                   seed=f"{cfg.RNG_SEED if few_shot.EPISODE_SEED < 0 else few_shot.EPISODE_SEED}/{split}")

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch to draw, and how many of this process's episodes of it are behind us already."""
        self._epoch = epoch
        self._mine = range(self.rank + start * self.world_size, self.num_episodes, self.world_size)

    def __getitem__(self, episode: int) -> EpisodePlan:
        key = f"{self.seed}/{self._epoch}/{episode}"
        rng = random.Random(key)
        classes = [rng.sample(self._by_class[c], self.k_shot + self.n_query)
                   for c in rng.sample(list(self._by_class), self.n_way)]
        support = [(clip, way) for way, clips in enumerate(classes) for clip in clips[:self.k_shot]]
        query = [(clip, way) for way, clips in enumerate(classes) for clip in clips[self.k_shot:]]
        indices, way = zip(*support, *query, strict=True)
        return EpisodePlan(indices, way, self.n_way, len(support), key)

    def __len__(self) -> int:
        return len(self._mine)

    def __iter__(self) -> Iterator[EpisodePlan]:
        return (self[episode] for episode in self._mine)


def small_classes(counts: Mapping[int, int], needed: int) -> list[tuple[int, int]]:
    """(class id, number of clips) of the classes with fewer clips than an episode takes of each, ascending."""
    return [(class_id, count) for class_id, count in sorted(counts.items()) if count < needed]
