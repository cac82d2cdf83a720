"""What tests of the page read in it: elements with their attributes and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "input", "br"}
INLINE = {"a", "strong", "data", "bdi", "span", "output"}


@dataclass
class Element:
    """An element of a page: its tag, attributes and children; text is among the children."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text within, with single spaces."""
        return " ".join(self._texts().split())

    def _texts(self) -> str:
        return "".join(child if isinstance(child, str) else child._texts() + " " * (child.tag not in INLINE)
                       for child in self.children)

    def all(self, tag: str | None = None, kind: str | None = None, **attributes: str) -> list[Element]:
        """Elements within: of a tag, a class, and with attributes, in the order of the page."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if (tag in (None, child.tag) and (kind is None or kind in (child.attributes.get("class") or "").split())
                        and all(child.attributes.get(name) == value for name, value in attributes.items())):
                    found.append(child)
                found += child.all(tag, kind, **attributes)
        return found

    def one(self, tag: str | None = None, kind: str | None = None, **attributes: str) -> Element:
        """The only one."""
        [found] = self.all(tag, kind, **attributes)
        return found


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = [Element("page")]

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def read_page(file: Path) -> Element:
    """The whole page; each of its elements has an end."""
    reader = _Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> has no end"
    return reader.open[0]
