"""How far looks alone go: nearest class by the mean backbone feature of a clip, on the test episodes of a config.

On a benchmark whose classes differ only in motion this has to stay near chance.
"""

from __future__ import annotations

import argparse

from trokens.runtime.command import run_command


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

    from trokens.clips.reader import ClipReader
    from trokens.engine.data import raise_all, read_data
    from trokens.engine.evaluator import Evaluator
    from trokens.fewshot.bank import TokenBank
    from trokens.fewshot.metrics import mean_and_interval
    from trokens.models.build import build_model
    from trokens.reuse.embed import ClipEmbedder

    data = read_data(cfg)
    raise_all(data.errors())
    cfg, split = data.cfg, cfg.TEST.SPLIT
    clips = data.splits[split]
    evaluator = Evaluator.from_config(cfg, clips, split=split)
    reader = ClipReader.from_config(cfg, clips, augment=False)
    model = build_model(cfg).eval()
    embedder = ClipEmbedder.from_config(cfg, model, reader, device=torch.device("cpu"), name=split)
    plans, rows = evaluator.plans[cfg.FEW_SHOT.K_SHOT], evaluator.shown()
    means = embedder.collect(lambda batch: model.patch_features(batch.video).mean((1, 2, 3))[:, None], rows)
    means = means - means.mean(0)  # (C, 1, D); what all clips share says nothing; without it every cosine is near 1
    bank = TokenBank(means, rows, is_aggregated=True, aggregation="spatial", norm="none", matcher="bi_mhm",
                     prototype="per_clip")
    mean, interval = mean_and_interval(bank.accuracy(plans))
    print(f"Nearest class by mean appearance: {100 * mean:.2f} ± {100 * interval:.2f} % over {len(plans)} "
          f"episodes; chance {100 / cfg.FEW_SHOT.N_WAY:.1f} %")
    return 0
