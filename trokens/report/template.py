"""How templates become pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trokens.config.values import shown
from trokens.report import texts
from trokens.report.films import Film

BOX = (0.75, 1.6)  # width by height of the place for a picture, at the least and at the most


def environment() -> Environment:
    """That finds the templates, and knows how figures are told."""
    environment = Environment(loader=PackageLoader("trokens.report"), autoescape=True, undefined=StrictUndefined,
                              finalize=_shown, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": texts.percent, "clock": texts.clock, "lasting": texts.lasting,
                            "name_of": texts.name_of, "folder_of": texts.folder_of, "shown": shown}
    environment.globals["count"] = texts.count
    return environment


def _shown(value: Any) -> Any:
    """What a template shows of a value: no text reaches the page with characters that it may not hold."""
    if isinstance(value, Markup):
        return value
    return texts.clean(str(value)) if not isinstance(value, int | float) else value


def box_of(films: Sequence[Film]) -> float:
    """Width by height that suits most pictures."""
    ratios = [film.size[1] / film.size[0] for film in films]
    return round(float(np.clip(np.median(ratios), *BOX)), 4) if ratios else 1.0
