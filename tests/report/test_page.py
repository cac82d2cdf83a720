"""The page of `trokens predict`: one file that says what the CSV says, and shows what it rests on."""

import base64
import csv
import io
import os
import re
from dataclasses import replace
from pathlib import Path

import clips_of_actions
import numpy as np
import pytest
from pages import read_page
from PIL import Image

from trokens import FewShotClassifier
from trokens.recognize.answers import Answer, Prediction, csv_rows
from trokens.recognize.options import UNKNOWN
from trokens.recognize.windows import join
from trokens.report import exhibits, films
from trokens.report.films import Wanted, film
from trokens.report.page import write_page
from trokens.report.plots import timeline
from trokens.report.summary import COLORS, GRAY, summarize
from trokens.report.texts import clock, folder_of, lasting, name_of
from trokens.runtime.files import write_csv
from trokens.video.write import write_video

HOSTILE = ["<script>alert('a')</script>", 'a" onmouseover="alert(1)', "{{ 7 * 7 }} $\\frac{1}{2}$ &amp; </style>",
           "قفز بالذراعين", "\u202egpj.exe", "wave 👋 " + "long " * 60]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return clips_of_actions.write(tmp_path_factory.mktemp("clips"), clips=3)


@pytest.fixture(scope="module")
def classifier(clips, tmp_path_factory):
    fitted = FewShotClassifier(method="motion", cache=tmp_path_factory.mktemp("cache")).fit(
        {action: paths[:1] for action, paths in clips.items()})
    fitted.calibration_ = fitted.calibration_._replace(temperature=0.4)  # else all are sure
    return fitted


@pytest.fixture(scope="module")
def predictions(classifier, clips):
    """Of two clips an action, one of which is given a wrong truth, and of a file that is none."""
    true = {path: action for action, paths in clips.items() for path in paths[1:]}
    true[clips["left"][1]] = "right"
    found = [Prediction(answer.path, (answer,), true[answer.path]) for answer in classifier.answers(list(true))]
    return [*found, Prediction("cut.mp4", (Answer("cut.mp4", error="Cannot read video 'cut.mp4': it is cut."),))]


@pytest.fixture
def write(classifier, tmp_path):
    """Write a page and read it."""
    def write(predictions, classifier=classifier, command="trokens predict --support a --query b"):
        write_page(tmp_path / "out/index.html", classifier, predictions, command=command)
        return read_page(tmp_path / "out/index.html")

    return write


def answered(path, label, confidence, names=("down", "left", "right"), **more):
    """An answer that nobody computed."""
    rest = (1 - confidence) / (len(names) - 1)
    nearest = label if label in names else names[0]
    others = [name for name in names if name != nearest]
    return Answer(path, label, confidence, others[0], {name: confidence if name == nearest else rest for name in names},
                  dict.fromkeys(names, 1.0), **more)


def path_of(article):
    name, folder = article.one("p", "file").all("bdi")
    return folder.text + name.text


# What it says ------------------------------------------------------------------------------------------------------

def test_the_figures_are_those_of_the_csv(write, predictions, tmp_path):
    page = write(predictions)
    write_csv(tmp_path / "predictions.csv", csv_rows(predictions))
    rows = {row["path"]: row for row in csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines())}
    articles = page.all("article")
    assert len(articles) == sum(not row["error"] for row in rows.values()) == 6
    for article in articles:
        [row] = [row for path, row in rows.items() if path == path_of(article)]
        shares = article.one("dl", "shares").all("div")
        assert article.one("h3").all("bdi")[0].text == row["action"] == shares[0].one("dt").text
        assert float(shares[0].one("data").attributes["value"]) == float(row["confidence"])
        assert shares[0].one("data").text == f"{100 * float(row['confidence']):.1f} %"
        assert shares[1].one("dt").text == row["runner_up"]
        wrong = row["action"] != row["true_action"]
        assert [verdict.text for verdict in article.all(kind="verdict")] == [
            f"Wrong: it shows {row['true_action']}" if wrong else "Right"]
        assert article.attributes["data-wrong"] == str(int(wrong))


def test_the_least_certain_come_first(write, predictions):
    confidences = [float(article.attributes["data-confidence"]) for article in write(predictions).all("article")]
    assert confidences == sorted(confidences)


def test_what_could_not_be_read_is_listed_plainly(write, predictions):
    [line] = write(predictions).one("ul", "errors").all("li")
    assert line.one("bdi", "path").text == "cut.mp4"
    assert line.one("span").text == "Cannot read video 'cut.mp4': it is cut."


def test_a_page_of_errors_alone(write):
    page = write([Prediction("a.mp4", (Answer("a.mp4", error="No."),))])
    assert "No clip has an answer. 1 clip could not be read." in page.one("header").text
    assert not page.all("article") and not page.all("svg")


def test_accuracy_has_its_interval_and_mistakes_are_told(write, predictions):
    page = write(predictions)
    assert "5 of 6 are right where the true action is known: 83.3 %, 95 % interval 43.6 % to 97.0 %" in page.text
    assert page.one("ul", "mistakes").text == "right called left: 1"
    matrix = page.one("section", **{"aria-labelledby": "h-confusion"}).one("svg")
    assert sorted(text.text for text in matrix.all("text") if text.text.isdigit()) == ["1", "1", "2", "2"]


def test_no_truth_no_accuracy(write, predictions):
    page = write([replace(prediction, true_action=None) for prediction in predictions])
    assert not page.all(id="h-confusion") and not page.all(id="wrong") and "interval" not in page.text


def test_unknown_is_right_where_no_example_shows_it():
    found = [Prediction(path, (answered(path, label, confidence),), true) for path, label, confidence, true in (
        ("a", UNKNOWN, 0.9, "jump"), ("b", UNKNOWN, 0.9, "left"), ("c", "left", 0.5, "jump"),
        ("d", "left", 0.9, "left"))]
    summary = summarize(found, ["down", "left"], ["down", "left", "left"])
    assert (summary.right, summary.judged, summary.unknown, summary.unsure) == (2, 4, 2, 1)
    assert summary.labels == (["left", "jump"], ["down", "left", UNKNOWN])
    assert summary.mistakes == [("jump", "left", 1), ("left", UNKNOWN, 1)]
    assert ("jump", UNKNOWN) in summary.correct and ("left", UNKNOWN) not in summary.correct
    assert [(action.label, action.examples, action.answers, action.right, action.known)
            for action in summary.actions] == [("down", 1, 0, 0, 0), ("left", 2, 2, 1, 2), (UNKNOWN, 0, 2, 1, 2)]


def test_unknown_is_explained(write, predictions):
    found = [replace(prediction, pieces=(replace(prediction.pieces[0], label=UNKNOWN),), true_action=None)
             for prediction in predictions[:2]]
    page = write(found)
    assert "2 answers, 2 of them unknown." in page.text
    assert all(article.one("h3").text == UNKNOWN and "Too far from all actions" in article.text
               for article in page.all("article"))


def test_the_command_and_the_options_are_told(write, predictions):
    page = write(predictions, command="trokens predict --support 'my <examples>' --query b")
    assert page.one("code").text == "trokens predict --support 'my <examples>' --query b"
    options = {row.one("th").text: row.one("td").text for row in page.one("table", "options").all("tr")}
    assert options["method"] == "motion" and options["reject"] == "none" and options["examples"] == "3"


# What it shows -----------------------------------------------------------------------------------------------------

def test_a_clip_moves_beside_the_nearest_examples(write, predictions, clips):
    for article in write(predictions).all("article"):
        figures = article.all("figure")
        pictures = [figure.one("img").attributes for figure in figures]
        assert [picture["alt"].split(":")[0] for picture in pictures] == [
            "The clip", *(f"The nearest example of {figure.one('strong').text}" for figure in figures[1:])]
        assert figures[1].one("strong").text == article.one("h3").all("bdi")[0].text
        assert all(len(figure.all("i", "reel")) == 1 for figure in figures)
        assert figures[0].all("polyline") and figures[1].all("polyline")
        strip = article.one(kind="strip")
        assert len(strip.all("line")) == 16 and len(strip.all(kind="row")) == 2


def test_matched_moments_are_shown_at_the_same_time(write, predictions, classifier, tmp_path):
    """The keyframes of both clips are read back: at the same share of the loop stand matched frames."""
    page = write(predictions)
    css = page.one("style").text
    prediction = next(prediction for prediction in predictions if not prediction.error)
    [article] = [article for article in page.all("article") if path_of(article) == prediction.path]
    nearest = classifier.explain(prediction.path).nearest[:2]
    for figure, path, moments in zip(
            article.all("figure"), [prediction.path, *(near.path for near in nearest)],
            [[match.query_frame for match in nearest[0].matches],
             *([match.example_frame for match in near.matches] for near in nearest)], strict=True):
        name = figure.one("i", "reel").attributes["style"].removeprefix("animation-name:")
        steps = re.search(rf"@keyframes {name}\{{(.*?\}}) ?\}}", css).group(1)
        steps = [(float(at), float(x), float(y)) for at, x, y in re.findall(
            r"([\d.]+)%\{background-position:([\d.]+)% ([\d.]+)%\}", steps)]
        kind = next(kind for kind in figure.one("i", "reel").attributes["class"].split() if kind != "reel")
        uri, width, height = re.search(rf"\.{kind}\{{background-image:url\((.*?)\);background-size:(\d+)% (\d+)%",
                                       css).groups()
        picture, columns, rows = opened(uri), int(width) // 100, int(height) // 100
        exact = film(Wanted(path, tuple(sorted(set(moments)))))
        for i, moment in enumerate(moments):
            [x, y] = next((x, y) for at, x, y in reversed(steps) if at <= 100 * i / len(moments) + 1e-3)
            shown = cell(picture, round(x / 100 * (columns - 1)), round(y / 100 * (rows - 1)), columns, rows)
            place = exact.cells[moment][0]
            wanted = cell(opened(exact.picture), place % exact.grid[0], place // exact.grid[0], *exact.grid)
            assert np.abs(shown - wanted).mean() < 4, (path, moment)


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"), float)


def cell(picture, column, row, columns, rows):
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    return picture[row * height:(row + 1) * height, column * width:(column + 1) * width]


def test_a_film_holds_just_the_frames_that_were_asked_for(tmp_path):
    """Each frame is as bright as its number tells."""
    frames = np.repeat(np.arange(64, dtype=np.uint8) * 3, 64 * 48 * 3).reshape(64, 48, 64, 3)
    write_video(tmp_path / "clip.mp4", frames)
    found = film(Wanted(str(tmp_path / "clip.mp4"), (3, 17, 60, 63)))
    assert found.size == (48, 64)
    for moment, then in ((3, 5), (17, 19), (60, 61), (63, 63)):  # halfway to the next, at most a 32nd of the clip
        for place, frame in zip(found.cells[moment], (moment, then), strict=True):
            shown = cell(opened(found.picture), place % found.grid[0], place // found.grid[0], *found.grid)
            assert abs(shown.mean() - 3 * frame) < 3, (moment, frame)


def test_each_clip_is_decoded_once(write, predictions, monkeypatch):
    made = []
    real = films.stream_video
    monkeypatch.setattr(films, "stream_video", lambda path, frames: made.append(path) or real(path, frames))
    write(predictions)
    assert len(made) == len(set(made)) == 9  # 6 queries, 3 examples


def test_pictures_are_bounded_and_the_page_says_so(write, predictions, monkeypatch):
    monkeypatch.setattr(exhibits, "PICTURED", 2)
    page = write(predictions)
    assert [len(article.all("figure")) for article in page.all("article")] == [3, 3, 0, 0, 0, 0]
    assert "Pictures are shown of the 2 least certain of 6" in page.text


@pytest.mark.parametrize("gone", ["removed", "cut", "shorter"])
def test_a_clip_that_changed_costs_its_pictures_alone(write, predictions, clips, tmp_path, gone):
    path = tmp_path / "clip.mp4"
    path.write_bytes(Path(predictions[0].path).read_bytes())
    mine = replace(predictions[0], path=str(path))
    if gone == "removed":
        path.unlink()
    elif gone == "cut":
        path.write_bytes(path.read_bytes()[:300])
    else:
        write_video(path, clips_of_actions.frames("down", seed=1, num_frames=1))
    page = write([mine, *predictions[1:]])
    assert len(page.all("article")) == 6
    [article] = [article for article in page.all("article") if str(tmp_path) in article.text]
    if gone == "shorter":
        assert len(article.all("figure")) == 3
    else:
        assert not article.all("figure") and "No pictures: Cannot read video" in article.text
        assert str(path) in article.text.split("No pictures")[1]


def test_examples_that_are_gone_cost_their_pictures_alone(classifier, predictions, write, tmp_path):
    classifier.save(tmp_path / "saved")
    loaded = FewShotClassifier.load(tmp_path / "saved", cache=classifier.cache)
    loaded.examples_ = [example._replace(path=f"gone/{example.label}.mp4") for example in loaded.examples_]
    page = write(predictions, loaded)
    for article in page.all("article"):
        assert len(article.all("figure")) == 3 and len(article.all("img")) == 1 and not article.all(kind="strip")
        assert "cannot be shown: Cannot read video 'gone/" in article.text


@pytest.mark.parametrize("size", [(2, 2000), (2000, 2), (2160, 3840), (1, 1)], ids=str)
def test_clips_of_odd_shapes_have_films(tmp_path, size):
    frames = [films._reduced(np.zeros((*size, 3), np.uint8))] * 9
    height, width = frames[0].shape[:2]
    assert films._side_by_side(frames, 8).shape == (2 * height, 8 * width, 3) and max(height, width) <= films.SIDE


def test_a_clip_of_one_frame_is_shown(classifier, write, tmp_path):
    write_video(tmp_path / "one.mp4", clips_of_actions.frames("still", seed=3, num_frames=1))
    [answer] = classifier.answers([tmp_path / "one.mp4"])
    article = write([Prediction(answer.path, (answer,))]).one("article")
    assert len(article.all("img")) == 3 and "0.0 s" in article.text


# Long videos -------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def video(classifier, tmp_path_factory):
    """Of three actions one after the other, answered by pieces."""
    path = tmp_path_factory.mktemp("video") / "long.mp4"
    write_video(path, np.concatenate([clips_of_actions.frames(action, seed, 30) for seed, action in enumerate(
        ("right", "down", "left"))]))
    return Prediction(str(path), tuple(join(list(classifier.windows(path, 1.0, 0.5)))), None, True)


def test_a_long_video_has_a_timeline_and_a_list(write, video, predictions):
    page = write([video, *predictions])
    article = page.one("article", "video")
    items = article.one("ol").all("li")
    assert len(items) == len(video.pieces) >= 3
    for item, piece in zip(items, video.pieces, strict=True):
        start, end, confidence = (float(data.attributes["value"]) for data in item.all("data"))
        assert (start, end, confidence) == (round(piece.start, 3), round(piece.end, 3), round(piece.confidence, 4))
        assert item.one(kind="what").text == piece.label and item.all("i", "thumb")
    for drawing in [plot.one("svg") for plot in article.all(kind="timeline")]:  # for wide pages and for narrow ones
        bars = [path for path in drawing.all("path") if any(
            color in (path.attributes.get("style") or "") for color in COLORS)]
        assert len(bars) == len(video.pieces)


def test_the_least_certain_pieces_are_shown_beside_their_nearest_examples(write, video, classifier, monkeypatch):
    monkeypatch.setattr(exhibits, "EXPLAINED", 2)
    items = write([video]).one("ol", "pieces").all("li")
    least = sorted(video.pieces, key=lambda piece: piece.confidence)[:2]
    for item, piece in zip(items, video.pieces, strict=True):
        assert bool(item.all("details")) == (piece in least)
        assert len(item.all("figure")) == (3 if piece in least else 0)


def test_drawings_on_a_page_share_no_ids(video):
    drawings = [str(timeline(video.pieces, dict.fromkeys(("right", "down", "left"), COLORS[0]), inches).svg())
                for inches in (5, 15)]
    first, second = (set(re.findall(r'id="(.*?)"', drawing)) for drawing in drawings)
    assert first and second and not first & second
    for drawing in drawings:
        assert set(re.findall(r'(?:"|\()#(.*?)[")]', drawing)) <= set(re.findall(r'id="(.*?)"', drawing))


# Whatever it is called ---------------------------------------------------------------------------------------------

@pytest.fixture
def hostile(tmp_path, clips):
    """A classifier and predictions whose actions and paths are none that a page would choose."""
    labels = dict(zip(HOSTILE, [*clips.values()] * 2, strict=True))
    fitted = FewShotClassifier(method="motion", cache="").fit(
        {name: paths[:1] for name, paths in list(labels.items())[:3]})
    fitted.classes_ = np.array(HOSTILE[:3], object)
    names = [b'"><img src=x onerror=alert(1)>.mp4', b"caf\xe9\xff.mp4", b"a\nb\t\x01.mp4", "مقطع.mp4".encode(),
             b"n" * 240]
    found = []
    for i, name in enumerate(names):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
        Path(path).write_bytes(Path(clips["down"][1]).read_bytes())
        found.append(Prediction(path, (answered(path, HOSTILE[i % 3], 0.5, HOSTILE, end=1.0),), HOSTILE[i]))
    return fitted, [*found, Prediction("</ul><script>", (Answer("x", error="<b>\x00 \udcff"),), "</svg>")]


def test_no_label_or_path_becomes_a_part_of_the_page(write, hostile):
    page = write(hostile[1], hostile[0], command="x --query '</code><script>alert(1)</script>'")
    assert len(page.all("script")) == 1 and "alert" not in page.one("script").text
    for element in page.all():
        assert not [name for name in element.attributes if name.startswith("on")], element.tag
        for name in ("src", "href", "xlink:href"):
            assert (element.attributes.get(name) or "#").startswith(("data:", "#")), element.attributes
    assert "alert" not in page.one("style").text and "7 * 7" in page.text and "49 $" not in page.text
    for text in (HOSTILE[0], HOSTILE[1], HOSTILE[3]):
        assert text in page.text
    assert "caf\ufffd\ufffd.mp4" in page.text and "a\ufffdb\ufffd\ufffd.mp4" in page.text


def test_names_in_drawings_are_no_formulas(write, hostile):
    matrix = write(hostile[1], hostile[0]).one("section", **{"aria-labelledby": "h-confusion"}).one("svg")
    assert any(text.text.startswith("{{ 7 * 7 }} $\\frac") for text in matrix.all("text"))


def test_the_page_asks_for_nothing(write, predictions, video, tmp_path):
    write([video, *predictions])
    text = re.sub(r"data:image/webp;base64,[\w+/=]+", "", (tmp_path / "out/index.html").read_text())
    assert set(re.findall(r"https?://[^\"' )]+", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text and "@import" not in text


# How it looks ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("paper", ["#fbfaf8", "#161615"])
def test_colors_stand_out_from_both_papers(paper):
    for color in (*COLORS, GRAY):
        assert contrast(color, paper) >= 3, color


@pytest.mark.parametrize(("paper", "inks"), [(0, ("ink", "soft", "bad")), (1, ("ink", "soft", "bad"))])
def test_texts_can_be_read_on_both_papers(paper, inks):
    css = (Path(exhibits.__file__).parent / "templates/page.css").read_text()
    colors = dict(re.findall(r"--(\w+):(#\w{6})", css.split(":root{")[paper + 1].split("}")[0]))
    for ink in inks:
        for ground in ("paper", "wash"):
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    """By WCAG 2."""
    def luminance(color):
        parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_times_are_written_as_people_read_them():
    assert [clock(0), clock(65), clock(3725), clock(2.46, tenths=True)] == ["0:00", "1:05", "1:02:05", "0:02.5"]
    assert [lasting(2.44), lasting(600), lasting(3725)] == ["2.4 s", "10:00 min", "1:02:05 h"]
    assert [name_of("a/b/c.mp4"), folder_of("a/b/c.mp4"), name_of("c.mp4"), folder_of("c.mp4")] == [
        "c.mp4", "a/b/", "c.mp4", ""]
