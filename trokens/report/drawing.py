"""A drawing of figures: a part of a page, whose text stays text and takes the page's font and colors, or files."""

from __future__ import annotations

import hashlib
import io
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trokens.runtime.files import whole_file, write_csv

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
INK, RIGHT, WRONG = "#1d1d1b", "#3b7dd8", "#cf6a1f"
LETTER = 0.1  # inches of one beside a drawing
DPI = 200     # of files
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "trokens", "font.size": 13, "text.parse_math": False,
          "axes.edgecolor": INK, "text.color": INK}


@dataclass(frozen=True)
class Drawing:
    """Figures, and how they are drawn.

    Attributes:
        name: Stem of its files.
        size: Width and height in inches.
        draw: Draws into a figure of this size.
        says: What is seen, in one line, for who does not see it.
        numbers: What is drawn, a row of a CSV each, all with the same columns.
    """

    name: str
    size: tuple[float, float]
    draw: Callable[[Figure], None]
    says: str = ""
    numbers: Sequence[dict[str, Any]] = field(default_factory=tuple)

    def svg(self) -> Markup:
        """As a part of a page."""
        with self._drawn() as figure:
            file = io.StringIO()
            figure.savefig(file, format="svg", transparent=True,
                           metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        return _embedded(file.getvalue(), self.size[0])

    def pixels(self) -> np.ndarray:
        """As a picture, (H, W, 3) uint8."""
        with self._drawn() as figure:
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def save(self, folder: Path) -> None:
        """Write NAME.png, NAME.pdf and NAME.csv.

        Raises:
            WriteError: The disk does not take one of them.
        """
        with self._drawn() as figure:
            for ending in ("png", "pdf"):
                with whole_file(folder / f"{self.name}.{ending}") as file:
                    figure.savefig(file, format=ending, dpi=DPI)
        write_csv(folder / f"{self.name}.csv", [list(self.numbers[0]), *(row.values() for row in self.numbers)])

    @contextmanager
    def _drawn(self) -> Iterator[Figure]:
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has its own fonts
            figure = Figure(figsize=self.size)
            self.draw(figure)
            yield figure


def _embedded(svg: str, inches: float) -> Markup:
    """As a part of a page: no declarations, no ids or styles that are anybody else's, as wide as it was drawn."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(svg)
    mark = "p" + hashlib.sha256(svg.encode()).hexdigest()[:10]
    for definitions in root.findall(f"{{{SVG}}}defs"):
        for style in definitions.findall(f"{{{SVG}}}style"):  # it would hold for the whole page
            definitions.remove(style)
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, mark + value)
            elif value.startswith(("#", "url(#")):
                element.set(name, value.replace("#", f"#{mark}", 1))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("style", f"width:{inches * 72:.0f}px")
    root.set("aria-hidden", "true")
    return Markup(ElementTree.tostring(root, encoding="unicode"))
