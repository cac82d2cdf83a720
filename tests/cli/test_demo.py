"""`trokens demo`: clips that the package makes itself."""

import sys
import types
import webbrowser

import pytest

from trokens.cli import demo
from trokens.clips.walk import find_videos
from trokens.moving_shapes.motions import BASIC_MOTIONS
from trokens.video import read_video


@pytest.fixture
def typed(monkeypatch) -> list[list[str]]:
    """What `trokens predict` is given, in place of which a page is written."""
    given = []

    def predict(argv, prog):
        given.append(argv)
        answers = demo.Path(argv[argv.index("--out") + 1])
        answers.mkdir()
        (answers / "index.html").write_text("<html></html>")
        return 1

    monkeypatch.setitem(sys.modules, "trokens.cli.predict", types.SimpleNamespace(main=predict))
    return given


def test_it_keeps_an_example_of_each_action_and_predicts_the_others(typed, tmp_path, capsys):
    assert demo.main(["--out", str(tmp_path / "demo"), "--workers", "1"]) == 1  # what predict says
    examples, queries = (find_videos(str(tmp_path / "demo" / name))[0] for name in ("examples", "queries"))
    assert [path.parent.name for path in examples] == sorted(demo.ACTIONS)
    assert [path.parent.name for path in queries] == sorted([*demo.ACTIONS] * 2)
    assert len({path.name for path in (*examples, *queries)}) == 12
    assert read_video(examples[0]).shape == (demo.NUM_FRAMES, demo.SIZE, demo.SIZE, 3)
    out = capsys.readouterr().out.splitlines()
    assert out[1].split()[:2] == ["trokens", "predict"] and out[1].split()[2:] == typed[0]
    assert out[-1] == f"Look at {tmp_path}/demo/answers/index.html."


def test_its_clips_depend_on_the_seed_alone(typed, tmp_path):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        demo.main(["--out", str(tmp_path / name), "--seed", seed, "--clips", "2"])
    clips = [(tmp_path / name / "queries/fall/fall_1.mp4").read_bytes() for name in "abc"]
    assert clips[0] == clips[1] != clips[2]


def test_its_actions_are_new_to_every_training():
    assert set(demo.ACTIONS) <= set(BASIC_MOTIONS["test"])


def test_it_opens_the_page_where_that_is_asked_for(typed, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    demo.main(["--out", str(tmp_path / "a"), "--clips", "2"])
    assert not opened
    demo.main(["--out", str(tmp_path / "b"), "--clips", "2", "--open"])
    assert opened == [(tmp_path / "b/answers/index.html").as_uri()]
