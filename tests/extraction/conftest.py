"""A backbone for the tests of extraction."""

import pytest
from extracting import Colors

import trokens.extraction.extractor


@pytest.fixture
def colors(monkeypatch):
    monkeypatch.setattr(trokens.extraction.extractor, "named_backbone", lambda *_: Colors())
