"""The reports in a browser: nothing complains or overflows, every picture loads, and no script is needed."""

import json

import pytest
from chromium import PROGRAM
from test_page_in_chromium import browser, check  # noqa: F401  (a fixture)
from test_run_page import copy, other, reported  # noqa: F401  (fixtures)

from trokens.cli import report

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium")


@pytest.mark.parametrize("width", [1280, 760, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_complains_or_overflows(browser, reported, width, scheme):  # noqa: F811
    browser.open(reported / "report.html", width, features={"prefers-color-scheme": scheme})
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    check(browser)
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, ground[4:-1].split(","))) < 60) == (scheme == "dark")


@pytest.mark.parametrize("width", [1280, 390])
def test_nor_does_a_comparison(browser, copy, other, tmp_path, width):  # noqa: F811
    assert report.main([str(copy), str(other), "--out", str(tmp_path / "both.html")]) == 0
    browser.open(tmp_path / "both.html", width)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.run("document.scrollingElement.scrollWidth") <= browser.run("innerWidth")
    assert not browser.complaints and len(browser.requests) == 1


def test_its_numbers_are_those_of_the_files_and_need_no_scripts(browser, reported):  # noqa: F811
    results = json.loads((reported / "results.json").read_text())
    browser.open(reported / "report.html", 1280, scripts=False)
    assert browser.run("document.querySelector('h1').innerText") == f"{100 * results['accuracy']:.1f} % right"
    shown = browser.run("[...document.querySelectorAll('.wide-table tbody tr:first-child data')].map(e => e.innerText)")
    wanted = [f"{100 * value:.2f}" for one in results["by_k_shot"]
              for value in (one["accuracy"], *one["intervals"].values()) if value is not None]
    assert shown == wanted
    browser.run("document.querySelector('.pairs').scrollIntoView()")
    running = "document.querySelector('.pairs').getAnimations({subtree: true}).filter(a => a.playState === 'running')"
    assert browser.run(f"{running}.length") >= 2
    browser.run("hold.click()")
    assert browser.run(f"{running}.length") == 0
