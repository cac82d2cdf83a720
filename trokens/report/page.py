"""One page that shows all answers: a file that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

import trokens
from trokens.recognize.answers import Prediction
from trokens.recognize.classifier import FewShotClassifier
from trokens.recognize.options import UNKNOWN
from trokens.report import plots, texts
from trokens.report.exhibits import Keyframes, least_certain, make_exhibits
from trokens.report.films import Film
from trokens.report.summary import Summary, summarize
from trokens.report.template import box_of, environment
from trokens.runtime.files import write_text

TIMELINES = {"broad": 15.4, "narrow": 4.9}  # inches at 72 points; by CSS one of them is shown


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
    write_text(file, environment().get_template("index.html").render(
        title=f"{texts.count(len(predictions), 'clip')} among {texts.count(len(known), 'action')}",
        version=trokens.__version__, summary=summary, answered=answered, exhibits=exhibits, films=films,
        pictured=len(exhibits), keyframes=keyframes, color=summary.color, known=known, UNKNOWN=UNKNOWN,
        order={action.label: number for number, action in enumerate(summary.actions)},
        most=max([1, *(action.answers for action in summary.actions)]), box=box_of(films),
        matrix=_matrix(summary) if summary.judged else None,
        timelines=[_timelines(prediction, summary) for prediction in answered],
        options=classifier.get_params(), made_with=_made_with(classifier), command=command))


def _films(exhibits) -> list[Film]:
    """Each film that is shown, once."""
    found: dict[int, Film] = {}
    for exhibit in [shown for whole in exhibits for shown in (whole, *whole.parts.values())]:
        for film in [exhibit.film, *(panel.film for panel in exhibit.panels)]:
            if isinstance(film, Film):
                found[id(film)] = film
    return list(found.values())


def _matrix(summary: Summary) -> Markup:
    return plots.confusion_matrix(summary.labels, summary.confusion, summary.correct).svg()


def _timelines(prediction: Prediction, summary: Summary) -> list[tuple[str, Markup]]:
    if not prediction.windowed:
        return []
    return [(name, plots.timeline(prediction.pieces, summary.color, inches).svg())
            for name, inches in TIMELINES.items()]


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
