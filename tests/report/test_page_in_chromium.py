"""The page in a browser: nothing complains, nothing overflows, every picture loads, and what moves is in step."""

import csv

import numpy as np
import pytest
from chromium import PROGRAM, Chromium
from test_page import classifier, clips, hostile, predictions, video, write  # noqa: F401  (fixtures)

from trokens.recognize.answers import csv_rows
from trokens.runtime.files import write_csv

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium")
OVERFLOWING = """[...document.querySelectorAll("body *")].filter(e =>
    !e.closest(".scroller, svg, .skip, .frame, select") && (e.getBoundingClientRect().right > innerWidth + 1
    || e.getBoundingClientRect().left < -1)).map(e => e.outerHTML.slice(0, 200))"""
VISIBLE = "[...document.querySelectorAll('[data-confidence]')].filter(e => e.offsetParent).length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(write, predictions, video, tmp_path):  # noqa: F811
    write([video, *predictions])
    return tmp_path / "out/index.html"


def check(browser):
    assert browser.run("document.scrollingElement.scrollWidth") <= browser.run("innerWidth")
    assert browser.run(OVERFLOWING) == []
    pictures = browser.run("[...document.images].map(i => i.naturalWidth)")
    assert pictures and min(pictures) > 0
    assert not browser.complaints and len(browser.requests) == 1


@pytest.mark.parametrize("width", [1280, 760, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_complains_or_overflows_and_every_picture_loads(browser, page, width, scheme):
    browser.open(page, width, features={"prefers-color-scheme": scheme})
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    check(browser)
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, ground[4:-1].split(","))) < 60) == (scheme == "dark")


@pytest.mark.parametrize("width", [1280, 390])
def test_no_name_breaks_the_page(browser, write, hostile, tmp_path, width):  # noqa: F811
    write(hostile[1], hostile[0], command="x" * 400)
    browser.open(tmp_path / "out/index.html", width)
    check(browser)


def test_the_backgrounds_that_move_load_too(browser, page):
    browser.open(page, 1280)
    sizes = browser.run("""(() => {
        const urls = [...document.querySelectorAll(".reel, .row i, .thumb")].map(
            e => getComputedStyle(e).backgroundImage.slice(5, -2));
        return Promise.all([...new Set(urls)].map(async url => {
            const image = new Image(); image.src = url; await image.decode(); return image.naturalWidth }))
    })()""")
    assert len(sizes) == 11 and min(sizes) > 0  # 6 queries, 3 examples, a video's pieces and its moments


def test_the_figures_on_the_screen_are_those_of_the_csv(browser, page, predictions, video, tmp_path):  # noqa: F811
    write_csv(tmp_path / "predictions.csv", csv_rows([video, *predictions]))
    rows = [row for row in csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()) if not row["error"]]
    browser.open(page, 1280)
    said = browser.run("""[...document.querySelectorAll("article.clip")].map(e => [".said h3 bdi", ".shares data",
        ".shares div:nth-child(2) dt"].map(name => e.querySelector(name).innerText))""")
    said += browser.run("""[...document.querySelectorAll(".pieces li")].map(e => [".what", ".sure data",
        "li > .soft bdi"].map(name => e.querySelector(name).innerText))""")
    wanted = [[row["action"], f"{100 * float(row['confidence']):.1f} %", row["runner_up"]] for row in rows]
    assert sorted(said) == sorted(wanted)


def test_the_filter_leaves_what_it_is_asked_for(browser, page):
    browser.open(page, 1280)
    total = browser.run(VISIBLE)
    confidences = sorted(browser.run(
        "[...document.querySelectorAll('[data-confidence]')].map(e => +e.dataset.confidence)"))

    def choose(control, value, name="value"):
        browser.run(f"{control}.{name} = {value}; filter.dispatchEvent(new Event('input'))")
        return browser.run(VISIBLE), browser.run("shown.textContent")

    middle = int(100 * confidences[len(confidences) // 2])
    fewer = int(np.sum(np.array(confidences) <= middle / 100))
    assert choose("sure", middle) == (fewer, f"{fewer} of {total} shown") and 0 < fewer < total
    assert choose("sure", 0)[0] == 0 and browser.run("!none.hidden")
    assert not browser.run("[...document.querySelectorAll('article')].some(e => e.offsetParent)")
    assert choose("sure", 100)[0] == total
    assert choose("wrong", "true", "checked")[0] == 1
    assert choose("action", 0)[0] == 0  # the wrong one is called by another
    assert browser.run("action.selectedOptions[0].text") == "down"


def test_the_essentials_need_no_scripts(browser, page, tmp_path):
    browser.open(page, 1280, scripts=False)
    assert browser.run("document.getElementById('filter').hidden")
    assert browser.run(VISIBLE) == browser.run("document.querySelectorAll('[data-confidence]').length") > 0
    running = """document.querySelector(".clip .shown").getAnimations({subtree: true}).filter(
        a => a.playState === "running").length"""
    browser.run("document.querySelector('.clip .shown').scrollIntoView()")
    browser.picture(tmp_path / "window.png", whole=False)  # what is in sight is drawn then
    assert browser.run(running) > 3
    browser.run("hold.click()")
    assert browser.run(running) == 0


def test_who_wants_less_motion_gets_stills(browser, page):
    browser.open(page, 1280, features={"prefers-reduced-motion": "reduce"})
    assert browser.run("document.getAnimations().length") == 0
    assert browser.run("[...document.querySelectorAll('.reel')].every(e => !e.offsetParent)")
    assert browser.run("document.querySelectorAll('.frame img').length") == 27  # of 6 clips and 3 pieces


def test_the_pictures_of_an_answer_run_in_step(browser, page, tmp_path):
    browser.open(page, 1280)
    browser.run("document.querySelector('.clip .shown').scrollIntoView()")
    browser.picture(tmp_path / "window.png", whole=False)  # what is in sight is drawn then
    times = browser.run("""(() => { const article = document.querySelector("article.clip");
        return [...article.querySelectorAll(".reel, .frame g, .now")].flatMap(e => e.getAnimations()).map(
            a => [a.startTime, a.effect.getComputedTiming().duration]) })()""")
    starts, durations = zip(*times, strict=True)
    assert len(times) > 3 and len(set(durations)) == 1
    assert max(starts) - min(starts) < 17  # ms: within one frame of the screen


def test_every_control_is_reached_by_the_keyboard(browser, page):
    browser.open(page, 1280)
    reached = set()
    for _ in range(60):
        for kind in ("rawKeyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(browser.run("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "sure", "action", "wrong", "hold", "scroller"} <= reached
