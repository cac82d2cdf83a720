"""The loader of a training, once it is known that shared memory holds what its processes read ahead."""

from __future__ import annotations

from torch.utils.data import DataLoader

from trokens.clips.loader import episode_loader, loading_from_config
from trokens.clips.reader import ClipReader
from trokens.engine.evaluator import Evaluator
from trokens.fewshot.episodes import EpisodeSampler
from trokens.models.trokens import Trokens
from trokens.runtime.distributed import in_some, local_rank, local_world_size
from trokens.runtime.shared_memory import check_shared_memory


def build_training_loader(cfg, reader: ClipReader, sampler: EpisodeSampler, model: Trokens,
                          validation: Evaluator | None, *, with_video: bool) -> DataLoader:
    """Training episodes; their processes stay, with what they have read, while those of a validation work.

    Raises:
        ValueError: All of them, those of the other processes of this machine too, would fill shared memory.
        EndedElsewhere: So it is on another machine.
    """
    loading = loading_from_config(cfg)
    size = reader.batch_bytes(len(sampler[0].indices), with_video=with_video)
    beside = validation.shared_bytes(model) if validation is not None else 0
    in_some(local_rank() == 0, lambda: check_shared_memory(size, loading["num_workers"], beside=beside,
                                                           processes=local_world_size()))
    return episode_loader(reader, sampler, with_video=with_video, **loading)
