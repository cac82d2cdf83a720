"""How far `trokens.FewShotClassifier` goes without any training, on the test episodes of a config.

Every clip of the tested split is described once, from its video alone; every episode then answers its queries from its
support, by motion, by looks, and by both. A trained model has to be better before it is worth its training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trokens.runtime.command import check_at_least, run_command
from trokens.runtime.files import check_writable, write_json

if TYPE_CHECKING:
    import numpy as np

    from trokens.fewshot.episodes import EpisodePlan
    from trokens.recognize.compare import Distances


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Measure; the exit code is 2 for a problem that ends the run, 130 when interrupted."""
    args = parse_args(argv, prog)
    return run_command(lambda: measure(args), "Interrupted. The same command goes on from the clips described so far.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("--cfg", required=True, help="a config by its name, or the path of a YAML file")
    parser.add_argument("--backbone", default="auto", help="what looks are read with, see docs/RECOGNIZE.md, "
                        "or none: motion alone, in a quarter of the time (%(default)s)")
    parser.add_argument("--cache", type=Path, help="folder of descriptions of clips (default ~/.cache/trokens/clips)")
    parser.add_argument("--workers", type=int, default=0, help="processes that look at clips (%(default)s: this one)")
    parser.add_argument("--json", type=Path, help="file to write the figures into")
    parser.add_argument("--out", type=Path, help="folder that gets the answers of each way to compare, for trokens "
                        "compare, score and report")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="options, see docs/CONFIG.md")
    args = parser.parse_args(argv)
    check_at_least(parser, args, workers=0)
    return args


def measure(args: argparse.Namespace) -> int:
    """Print accuracy, interval and chance of each way to compare clips."""
    from trokens.config import load_cfg

    cfg = load_cfg(args.cfg, [*args.overrides, "TRAIN.ENABLE", "False", "TEST.ENABLE", "True"])
    if args.json:
        check_writable(args.json)
    import numpy as np

    from trokens.clips.split import build_split
    from trokens.engine.outcome_files import write_outcomes
    from trokens.engine.output import describe_outcomes
    from trokens.fewshot.episodes import EpisodeSampler
    from trokens.fewshot.metrics import mean_and_interval
    from trokens.fewshot.outcomes import Outcomes
    from trokens.recognize.cache import Cache, default_folder
    from trokens.recognize.compare import Distances, compare
    from trokens.recognize.describe import Describer, describe_all
    from trokens.recognize.looks import choose_backbone

    split, few_shot = cfg.TEST.SPLIT, cfg.FEW_SHOT
    clips = build_split(cfg, split)
    plans = list(EpisodeSampler.from_config(cfg, [clip.class_id for clip in clips], split=split))
    backbone = None if args.backbone == "none" else choose_backbone(args.backbone)
    describer = Describer(backbone, Cache(args.cache or default_folder()))
    describer.check()
    asked = sorted({index for plan in plans for index in plan.indices})
    described = dict(describe_all([clips[index].video for index in asked], describer, args.workers))
    for one in described.values():
        if one.error:
            raise ValueError(one.error)
    descriptions = [described[str(clips[index].video)].description for index in asked]
    found = compare(descriptions, descriptions, "both" if backbone else "motion")
    kinds = {"motion": Distances(found.motion, None, found.amount)}
    if backbone:
        kinds |= {"looks": Distances(None, found.looks, found.amount), "both": found}
    rows, figures = {index: row for row, index in enumerate(asked)}, {}
    for kind, some in kinds.items():
        distances = np.stack([episode_distances(some, plan, rows) for plan in plans])
        outcomes = Outcomes.of(plans, distances, [clip.id for clip in clips], [clip.class_name for clip in clips])
        mean, interval = mean_and_interval(outcomes.accuracy)
        figures[kind] = {"accuracy": mean, "interval": interval}
        print(f"{kind:7}{100 * mean:.2f} ± {100 * interval:.2f} %")
        if args.out:
            write_outcomes(args.out / kind, [outcomes])
            write_json(args.out / kind / "results.json", {"method": f"descriptor, {kind}", **figures[kind],
                       "split": split, "n_way": few_shot.N_WAY, "k_shot": few_shot.K_SHOT, "episodes": len(plans),
                       "chance": 1 / few_shot.N_WAY, **describe_outcomes(outcomes)})
    print(f"{few_shot.N_WAY}-way {few_shot.K_SHOT}-shot, untrained, over {len(plans)} episodes of {len(asked)} clips; "
          f"chance {100 / few_shot.N_WAY:.1f} %")
    if args.json:
        write_json(args.json, {"n_way": few_shot.N_WAY, "k_shot": few_shot.K_SHOT, "episodes": len(plans),
                               "split": split, "clips": len(asked), "chance": 1 / few_shot.N_WAY,
                               "backbone": backbone.name if backbone else None, **figures})
    return 0


def episode_distances(found: Distances, plan: EpisodePlan, rows: Mapping[int, int]) -> np.ndarray:
    """Distances (queries, ways) in an episode, whose support set teaches a `FewShotClassifier` of its own.

    Args:
        found: Between all clips, (C, C).
        plan: The episode.
        rows: The clip of each index of a plan, among the C.
    """
    import numpy as np

    from trokens.recognize.calibrate import Calibration, calibrate
    from trokens.recognize.compare import to_actions

    clips = np.array([rows[index] for index in plan.indices])
    support, query = np.split(clips, [plan.num_support])
    action = np.array(plan.way[:plan.num_support])
    share = calibrate(found.of(support, support), action, plan.n_way, Calibration()).share
    return to_actions(found.of(query, support).joined(share), action, plan.n_way)
