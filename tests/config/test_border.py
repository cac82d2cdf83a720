"""Errors of the library, at the border to the config."""

import ast
import re
from pathlib import Path

import pytest

from trokens.config import OPTIONS, ConfigError
from trokens.config.border import keys_of
from trokens.models.build import MODEL_KEYS

ROOT = Path(__file__).resolve().parents[2]


def fail(text: str, kind: type = ValueError):
    with keys_of(bins="POINT_INFO.HOD.NUM_BINS", norm="FEW_SHOT.DIST_NORM"):
        raise kind(text)


def test_an_argument_gets_its_key():
    with pytest.raises(ValueError, match=r"^bins \(POINT_INFO.HOD.NUM_BINS\) is 1; at least 2 are needed\.$"):
        fail("bins is 1; at least 2 are needed.")
    with pytest.raises(ConfigError, match=r"^norm \(FEW_SHOT.DIST_NORM\) is 'x'"):
        fail("norm is 'x'; it is one of none, max_div.", ConfigError)


@pytest.mark.parametrize("text", ["binsize is 1.", "The bins are few.", "", "tracks is (3,); expected (T, N, 2)."])
def test_other_sentences_stay_as_they_are(text):
    with pytest.raises(ValueError) as error:
        fail(text)
    assert str(error.value) == text


def test_every_key_that_is_named_at_the_border_exists():
    calls = [node for path in (ROOT / "trokens").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "keys_of"]
    named = {keyword.value.value for call in calls for keyword in call.keywords if keyword.arg}
    named |= {key for text in MODEL_KEYS.values() for key in re.findall(r"[A-Z]\w*(?:\.\w+)+", text)}
    assert len(named) > 20 and not named - OPTIONS.keys()
