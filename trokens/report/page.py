"""One page that shows all answers: a file that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import trokens
from trokens.recognize.answers import Prediction
from trokens.recognize.classifier import FewShotClassifier
from trokens.recognize.options import UNKNOWN
from trokens.report import plots, texts
from trokens.report.exhibits import Keyframes, least_certain, make_exhibits
from trokens.report.films import Film
from trokens.report.summary import Summary, summarize
from trokens.runtime.files import write_text

TIMELINES = {"broad": 15.4, "narrow": 4.9}  # inches at 72 points; by CSS one of them is shown
BOX = (0.75, 1.6)  # width by height of the place for a picture, at the least and at the most


def write_page(file: Path, classifier: FewShotClassifier, predictions: Sequence[Prediction], *, command: str) -> None:
    """Write the page of these answers.

    A clip or an example that cannot be read any more costs its pictures, and nothing else.

    Args:
        file: The page; its folder is made.
        classifier: What answered; its processes make the pictures too.
        predictions: All of them, in any order.
        command: What made them, as it was typed.

    Raises:
        WriteError: The disk does not take it.
    """
    summary = summarize(predictions, classifier.classes_, [example.label for example in classifier.examples_])
    answered = sorted((prediction for prediction in predictions if not prediction.error), key=least_certain)
    keyframes = {"pictures": Keyframes("k"), "lines": Keyframes("l")}
    exhibits = make_exhibits(classifier, answered, keyframes)
    films = _films(exhibits.values())
    known = [str(name) for name in classifier.classes_]
    write_text(file, _environment().get_template("index.html").render(
        title=f"{texts.count(len(predictions), 'clip')} among {texts.count(len(known), 'action')}",
        version=trokens.__version__, summary=summary, answered=answered, exhibits=exhibits, films=films,
        pictured=len(exhibits), keyframes=keyframes, color=summary.color, known=known, UNKNOWN=UNKNOWN,
        order={action.label: number for number, action in enumerate(summary.actions)},
        most=max([1, *(action.answers for action in summary.actions)]), box=_box(films),
        matrix=plots.confusion_matrix(summary) if summary.judged else None,
        timelines=[_timelines(prediction, summary) for prediction in answered],
        options=classifier.get_params(), made_with=_made_with(classifier), command=command))


def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("trokens.report"), autoescape=True, undefined=StrictUndefined,
                              finalize=_shown, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": texts.percent, "clock": texts.clock, "lasting": texts.lasting,
                            "name_of": texts.name_of, "folder_of": texts.folder_of}
    environment.globals["count"] = texts.count
    return environment


def _shown(value: Any) -> Any:
    """What a template shows of a value: no text reaches the page with characters that it may not hold."""
    if isinstance(value, Markup):
        return value
    return texts.clean(str(value)) if not isinstance(value, int | float) else value


def _films(exhibits) -> list[Film]:
    """Each film that is shown, once."""
    found: dict[int, Film] = {}
    for exhibit in [shown for whole in exhibits for shown in (whole, *whole.parts.values())]:
        for film in [exhibit.film, *(panel.film for panel in exhibit.panels)]:
            if isinstance(film, Film):
                found[id(film)] = film
    return list(found.values())


def _box(films: Sequence[Film]) -> float:
    """Width by height that suits most pictures."""
    ratios = [film.size[1] / film.size[0] for film in films]
    return round(float(np.clip(np.median(ratios), *BOX)), 4) if ratios else 1.0


def _timelines(prediction: Prediction, summary: Summary) -> list[tuple[str, Markup]]:
    if not prediction.windowed:
        return []
    return [(name, plots.timeline(prediction.pieces, summary.color, inches)) for name, inches in TIMELINES.items()]


def _made_with(classifier: FewShotClassifier) -> list[tuple[str, str]]:
    """The options, and what followed from them."""
    rows = [(name, "none" if value is None else str(value)) for name, value in classifier.get_params().items()
            if name not in ("cache", "workers", "backbone")]
    backbone = classifier.backbone_
    rows.append(("backbone", "none" if backbone is None else backbone.name))
    rows.append(("examples", str(len(classifier.examples_))))
    if backbone is not None:
        rows.append(("share of motion", texts.percent(classifier.calibration_.share)))
    rows.append(("temperature", f"{classifier.calibration_.temperature:.3g}"))
    return rows
