"""The card of a published model, as the Hugging Face hub reads it: what it is, what was measured, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from trokens.config import dataset_of
from trokens.fewshot.uncertainty import OVER
from trokens.report.figures import intervals_of

INTERVALS = OVER | {"classes": "other classes and their clips"}


def build_card(results: Mapping[str, Any], cfg, state: Mapping[str, Any], *, name: str, license: str,
               own_backbone: bool) -> str:
    """README.md of a published model, with its YAML header.

    Args:
        results: What results.json says of these weights.
        cfg: The config of their training.
        state: Their checkpoint.
        name: "owner/name" on the hub.
        license: In the hub's spelling.
        own_backbone: Whether the backbone's weights are published with them.
    """
    trained = [one for one in state.get("trained") or () if one["digest"]]
    datasets = list(dict.fromkeys([one["name"].partition("/")[0] for one in trained] or [dataset_of(cfg, "train")]))
    tests = results.get("by_k_shot") or [results]
    header = ModelCardData(
        license=license, library_name="trokens", pipeline_tag="video-classification", datasets=datasets,
        tags=["few-shot", "action-recognition", "point-tracking"], metrics=["accuracy"], model_name=name,
        eval_results=[_measured(results, one) for one in tests])
    kind = cfg.MODEL.FEAT_EXTRACTOR.lower()
    backbone = None if cfg.MODEL.APPEARANCE_MODULE_DISABLE or kind == "none" else (
        cfg.MODEL.DINO_CONFIG if kind == "dino" else cfg.MODEL.TIMM_NAME)
    motion = cfg.MODEL.MOTION_MODULE
    parts = [part for part, is_on in (("appearance", backbone), ("histograms of oriented displacements",
             motion.USE_HOD_MOTION_MODULE), ("cross-motion", motion.USE_CROSS_MOTION_MODULE)) if is_on]
    page = Environment(loader=PackageLoader("trokens.report"), undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    text = page.get_template("card.md").render(
        name=name, cfg=cfg, results=results, tests=tests, trained=trained, backbone=backbone, is_dino=kind == "dino",
        own_backbone=own_backbone, parts=parts, epochs=state.get("epoch", -1) + 1, license=license,
        has_cotracker="cotracker" in cfg.POINT_INFO.NAME.lower(), percent=_percent, intervals=intervals_of,
        interval_names=INTERVALS)
    return f"---\n{header.to_yaml()}\n---\n\n{text}"


def _measured(results: Mapping[str, Any], test: Mapping[str, Any]) -> EvalResult:
    """One number of shots, with the very numbers of results.json."""
    return EvalResult(
        task_type="video-classification", task_name="few-shot action recognition", dataset_type=results["dataset"],
        dataset_name=results["dataset"], dataset_split=results["split"], metric_type="accuracy",
        metric_name=f"{results['n_way']}-way {test['k_shot']}-shot accuracy", metric_value=test["accuracy"],
        metric_args={"n_way": results["n_way"], "k_shot": test["k_shot"], "episodes": results["episodes"],
                     "intervals": intervals_of(test)})


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"
