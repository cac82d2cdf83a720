"""What to do where a run asks for more memory than there is."""

from __future__ import annotations

import re

import torch

_REMEDY = ("lower FEW_SHOT.TRAIN_QUERY_PER_CLASS, MODEL.BACKBONE_BATCH, POINT_INFO.NUM_POINTS_TO_SAMPLE or "
           "DATA.NUM_FRAMES, or set MODEL.ACT_CHECKPOINT True")
_SAYS_SO = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # of a GPU, of the machine


def out_of_memory(error: BaseException) -> MemoryError | None:
    """The error in one sentence with its remedies; None for one that is about something else."""
    text = str(error)
    is_torch = isinstance(error, RuntimeError) and (isinstance(error, torch.OutOfMemoryError) or _SAYS_SO.search(text))
    if not is_torch and not isinstance(error, MemoryError):
        return None
    if not is_torch and text.endswith("."):  # a sentence of ours
        return None
    where = "The GPU has" if "CUDA" in text or "GPU" in text else "The machine has"
    amount = re.search(r"allocate ([\d.]+ ?\w+)", text)
    return MemoryError(f"{where} no memory for {amount[1] if amount else 'what the run takes'} more; {_REMEDY}.")
