"""How often a 95 % interval holds the true value: simulated test sets of Moving Shapes, new clips of the same classes.

    python -m benchmarks.coverage --checkpoint output/exact/checkpoints/checkpoint_best.pyth --json coverage.json

A model that was trained on exact tracks alone (MODEL.APPEARANCE_MODULE_DISABLE True, POINT_INFO.NAME exact) is tested
on every set; its true accuracy is the mean over all of them. A literal bootstrap stands beside the intervals: it draws
the clips of each class anew, with replacement, and new episodes of those that it drew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trokens.clips.split import Clip
from trokens.fewshot.bank import TokenBank
from trokens.fewshot.episodes import EpisodePlan, EpisodeSampler
from trokens.fewshot.matchers import clip_features
from trokens.fewshot.outcomes import Outcomes
from trokens.fewshot.uncertainty import intervals
from trokens.moving_shapes.levels import LEVELS
from trokens.moving_shapes.render import render_clip, render_seed
from trokens.points.io import write_tracks
from trokens.recognize.trained import Trained, trained

N_WAY = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Print, and write as JSON, how often each interval holds the truth, and how wide it is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--level", default="easy", help="of Moving Shapes (%(default)s)")
    parser.add_argument("--sets", type=int, default=100, help="test sets (%(default)s)")
    parser.add_argument("--clips", type=int, default=12, help="clips a class of each (%(default)s)")
    parser.add_argument("--episodes", type=int, default=10000, help="episodes of each (%(default)s)")
    parser.add_argument("--redraws", type=int, default=100, help="of the literal bootstrap (%(default)s)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    model, motions = trained(args.checkpoint, ""), LEVELS[args.level].motions["test"]
    accuracy, widths = [], {"episodes": [], "clips": [], "classes": [], "bootstrap": []}
    for number in range(args.sets):
        bank = bank_of(model, motions, args.level, number, args.clips)
        class_ids = np.repeat(np.arange(len(motions)), args.clips)
        plans = list(EpisodeSampler(class_ids.tolist(), n_way=N_WAY, k_shot=1, n_query=1, num_episodes=args.episodes,
                                    seed=number))
        outcomes = Outcomes.of(plans, bank.distances(plans).numpy(), [str(i) for i in range(len(class_ids))],
                               [motions[i] for i in class_ids])
        found = intervals(outcomes.accuracy, outcomes)
        accuracy.append(outcomes.accuracy.mean())
        for name in ("episodes", "clips", "classes"):
            widths[name].append(getattr(found, name))
        redrawn = [redraw(bank, class_ids, args.clips, args.episodes // 10, seed) for seed in range(args.redraws)]
        widths["bootstrap"].append(1.96 * np.std(redrawn, ddof=1))
        print(f"set {number}: {100 * accuracy[-1]:.2f} % "
              + ", ".join(f"{name} ± {100 * some[-1]:.2f}" for name, some in widths.items()), flush=True)
    truth = float(np.mean(accuracy))
    errors = np.abs(np.array(accuracy) - truth)
    figures = {"sets": args.sets, "truth": truth, "spread": float(np.std(accuracy, ddof=1)),
               "held": {name: float((errors <= some).mean()) for name, some in widths.items()},
               "half_width": {name: float(np.mean(some)) for name, some in widths.items()}}
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures | {"accuracy": accuracy, "half_widths": widths}))
    return 0


@torch.no_grad()
def bank_of(model: Trained, motions: Sequence[str], level: str, number: int, clips: int) -> TokenBank:
    """Clips of a test set of its own, embedded: (C, T, D) features."""
    features: list[Tensor] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.safetensors"
        for motion in motions:
            for index in range(clips):
                _, tracks = render_clip(motion, seed=render_seed(1000 + number, "test", motion, index), level=level)
                write_tracks(file, tracks)
                clip = Clip(f"{number}/{motion}/{index}", file, file, 0, motion)
                tokens = model.model(replace(model.reader, clips=[clip], cache=None).read(0, with_video=False))[1]
                features.append(clip_features(tokens, model.aggregation)[0])
                file.unlink()
    return TokenBank(torch.stack(features), range(len(features)), is_aggregated=True, aggregation=model.aggregation,
                     norm="none", matcher=model.matcher)


def redraw(bank: TokenBank, class_ids: np.ndarray, clips: int, episodes: int, seed: int) -> float:
    """Accuracy where each class has clips drawn with replacement; a clip never answers for its own copy."""
    rng = np.random.default_rng(seed)
    plans = []
    drawn = [rng.choice(np.flatnonzero(class_ids == number), clips) for number in range(class_ids.max() + 1)]
    for _ in range(episodes):
        rows = []
        for number in rng.permutation(len(drawn))[:N_WAY]:
            support = rng.choice(drawn[number])
            rows.append((support, rng.choice(drawn[number][drawn[number] != support])))
        support, query = zip(*rows, strict=True)
        plans.append(EpisodePlan(tuple(map(int, (*support, *query))), (*range(N_WAY),) * 2, N_WAY, N_WAY, ""))
    return float(bank.accuracy(plans).mean())


if __name__ == "__main__":
    raise SystemExit(main())
