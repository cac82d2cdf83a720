"""How far looks alone go: nearest class by the mean backbone feature of a clip, on the test episodes of a config.

On a benchmark whose classes differ only in motion this has to stay near chance.
"""

from __future__ import annotations

import argparse

from trokens.runtime.commands import run_command


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Measure; the exit code is 2 for a problem that ends the run, 130 when interrupted."""
    return run_command(lambda: measure(parse_args(argv, prog)), "Interrupted.")


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n")[0])
    parser.add_argument("--cfg", required=True, help="a config by its name, or the path of a YAML file")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="options, see docs/CONFIG.md")
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> int:
    """Print accuracy, interval and chance."""
    from trokens.config import load_cfg

    cfg = load_cfg(args.cfg, [*args.overrides, "TRAIN.ENABLE", "False", "TEST.ENABLE", "True"])
    import torch

    from trokens.engine.evaluator import Evaluator
    from trokens.engine.prepare import Problems, read_splits
    from trokens.fewshot.bank import TokenBank
    from trokens.fewshot.metrics import mean_and_interval
    from trokens.models.trokens import build_model
    from trokens.reuse.embed import embed_clips

    problems = Problems()
    cfg, splits, _ = read_splits(cfg, problems)
    problems.raise_all()
    evaluator = Evaluator.from_config(cfg, splits[cfg.TEST.SPLIT], split=cfg.TEST.SPLIT, device=torch.device("cpu"))
    model, plans = build_model(cfg).eval(), evaluator.plans[cfg.FEW_SHOT.K_SHOT]
    indices = evaluator.drawn([cfg.FEW_SHOT.K_SHOT])
    means = embed_clips(lambda clips: model.patch_features(clips.video).mean((1, 2, 3))[:, None],  # (B, 1, width)
                        evaluator.reader, indices, **evaluator.loading)
    means = means - means.mean(0)  # what all clips share says nothing; without it every cosine is near 1
    bank = TokenBank(means, indices, is_aggregated=True, aggregation="spatial", norm="none", matcher="bi_mhm",
                     prototype="per_clip")
    mean, interval = mean_and_interval(bank.accuracy(plans))
    print(f"Nearest class by mean appearance: {100 * mean:.2f} ± {100 * interval:.2f} % over {len(plans)} "
          f"episodes; chance {100 / cfg.FEW_SHOT.N_WAY:.1f} %")
    return 0
