"""Where figures go; nothing outside may stop a run."""

import json
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import run, tiny_cfg

from trokens.engine.console import setup_logging
from trokens.engine.loggers import LOGGERS, RunLog, build_log
from trokens.engine.loggers.tensorboard import TensorBoardLogger
from trokens.runtime.progress import progress


def record(epoch=0, step=1, phase="train", **figures):
    return {"phase": phase, "epoch": epoch, "step": step, "global_step": 3 * epoch + step, **figures}


def lines(output_dir) -> list[dict]:
    return [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]


def test_records_are_lines_of_json(tmp_path):
    log = RunLog(tmp_path)
    log.write(record(loss=0.5))
    log.write(record(1, 0, "val", split="val", accuracy=0.25))
    log.close()
    assert lines(tmp_path) == [record(loss=0.5), record(1, 0, "val", split="val", accuracy=0.25)]


def test_a_run_that_goes_on_drops_what_it_will_do_again(tmp_path):
    whole = [record(0, 2), record(0, 3), record(1, 0, "val"), record(1, 2), record(1, 3), record(2, 0, "val")]
    for start, kept in [((0, 0), 0), ((1, 0), 3), ((1, 2), 4), ((2, 0), 6)]:
        text = "".join(json.dumps(r) + "\n" for r in whole) + '{"phase": "train", "epo'  # cut off by a crash
        (tmp_path / "metrics.jsonl").write_text(text)
        log = RunLog(tmp_path)
        log.begin(start)
        log.write(record(9, 9))
        assert lines(tmp_path) == [*whole[:kept], record(9, 9)]


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    log = RunLog(tmp_path / "out")
    log.write(record())
    assert not (tmp_path / "out").exists()
    setup_logging(tmp_path / "out")
    assert not (tmp_path / "out").exists() and logging.getLogger().level == logging.WARNING
    monkeypatch.setenv("RANK", "0")
    setup_logging(tmp_path / "out")
    logging.getLogger("trokens").info("a line")
    assert (tmp_path / "out/log.txt").read_text().endswith(" a line\n")
    logging.getLogger().handlers.clear()


class Broken:
    def __call__(self, record):
        raise ConnectionError("no route")

    def close(self):
        raise ConnectionError("no route")


def test_a_logger_that_fails_is_dropped_with_one_warning(tmp_path, caplog):
    taken = []

    class Works:
        __call__ = staticmethod(taken.append)
        close = staticmethod(lambda: taken.append("closed"))

    log = RunLog(tmp_path, loggers=[Broken(), Works()])
    log.write(record())
    log.write(record(step=2))
    log.close()
    assert taken == [record(), record(step=2), "closed"] and len(lines(tmp_path)) == 2
    assert [r.message for r in caplog.records] == ["Broken stopped taking figures (no route); metrics.jsonl goes on."]
    RunLog(tmp_path, loggers=[Broken()]).close()
    assert caplog.records[-1].message == "Broken did not close (no route)."


def test_tensorboard_takes_the_figures(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = RunLog(tmp_path, loggers=[TensorBoardLogger(tmp_path)])
    log.write(record(1, 2, loss=0.5, split="train"))
    log.close()
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(5, 0.5)]
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/epoch", "train/step"}


RESULTS = {
    "by_k_shot": [{"k_shot": 1, "accuracy": 0.75, "intervals": {"episodes": 0.1, "clips": None, "classes": 0.3}},
                  {"k_shot": 5, "accuracy": 0.9, "intervals": {"episodes": 0.05, "clips": None, "classes": None}}],
    "per_class": {"bow": {"accuracy": 0.5, "interval": None, "answers": 4},
                  "wave": {"accuracy": 1.0, "interval": 0.2, "answers": 4}},
    "confusion": {"classes": ["bow", "wave"], "counts": [[2, 2], [0, 4]]},
}
PICTURES = {"matrix": np.zeros((8, 6, 3), np.uint8)}
SCALARS = {"test/accuracy": 0.75, "test/interval_episodes": 0.1, "test/interval_classes": 0.3,
           "test/accuracy_5_shot": 0.9, "test/interval_episodes_5_shot": 0.05, "test_class/bow": 0.5,
           "test_class/wave": 1.0}


def test_tensorboard_takes_the_end_of_a_test(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = RunLog(tmp_path, loggers=[TensorBoardLogger(tmp_path)])
    log.write(record(1, 2, loss=0.5))
    log.finish(RESULTS, PICTURES)
    log.close()
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = {name: events.Scalars(name) for name in events.Tags()["scalars"] if name.startswith("test")}
    assert {name: (one.step, pytest.approx(one.value)) for name, (one,) in found.items()} == {
        name: (5, value) for name, value in SCALARS.items()}
    assert (events.Images("test/matrix")[0].width, events.Images("test/matrix")[0].height) == (6, 8)
    text = events.Tensors("test/confused/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| bow | wave | 2 | 0.5 |" in text


def test_wandb_takes_the_end_of_a_test(tmp_path, monkeypatch):
    calls = []
    fake = fake_wandb((), calls)
    fake.Image, fake.Table = (lambda picture: ("image", picture.shape)), (lambda columns, data: (columns, data))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_API_KEY", "k")
    log = build_log(tiny_cfg(tmp_path, tmp_path / "out", WANDB__ID="x"))
    log.finish(RESULTS, PICTURES)
    assert calls[-1][0] == SCALARS | {
        "test/matrix": ("image", (8, 6, 3)),
        "test/classes": (["class", "accuracy", "interval", "queries"], [["bow", 0.5, None, 4], ["wave", 1.0, 0.2, 4]]),
        "test/confused": (["class", "taken for", "queries", "share"], [["bow", "wave", 2, 0.5]])}


def test_a_logger_that_takes_no_end_of_a_test_is_named(tmp_path, caplog):
    class Ends(Broken):
        def finish(self, results, pictures):
            raise ConnectionError("no route")

    RunLog(tmp_path, loggers=[Broken(), Ends()]).finish(RESULTS, PICTURES)
    assert [r.message for r in caplog.records] == [
        "Ends took no figures of the test (no route); results.json has them."]


def test_a_run_gives_its_loggers_the_end_of_its_test(tiny_data, tmp_path, monkeypatch):
    taken = []

    class Taker:
        from_config = classmethod(lambda cls, cfg: cls())
        __call__ = staticmethod(lambda record: taken.append(record["phase"]))
        finish = staticmethod(lambda results, pictures: taken.append((results["accuracy"], sorted(pictures))))
        close = staticmethod(lambda: taken.append("closed"))

    monkeypatch.setitem(LOGGERS._entries, "taker", Taker)
    result = run(tiny_data, tmp_path, SOLVER__MAX_EPOCH=1, SOLVER__WARMUP_EPOCHS=0)
    assert taken == ["train", "train", "val", (result["accuracy"], ["class_plot", "matrix"]), "closed"]


def write_through(cfg, caplog) -> list[str]:
    """Build the log that a config asks for, write one record, and return what was logged."""
    caplog.clear()
    log = build_log(cfg)
    log.begin()
    log.write(record(loss=0.5))
    log.close()
    return [r.message for r in caplog.records if r.name.startswith("trokens")]


@pytest.fixture
def no_key(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_wandb_without_a_key_logs_offline_with_one_warning(tmp_path, no_key, caplog):
    wandb = pytest.importorskip("wandb")
    cfg = tiny_cfg(tmp_path, tmp_path / "out", WANDB__ID="x", WANDB__EXP_NAME="a name")
    (message,) = write_through(cfg, caplog)
    assert message.startswith("wandb has no key: logging offline below")
    wandb.teardown()
    assert list((tmp_path / "out/wandb").glob("offline-run-*-x/run-x.wandb"))
    assert lines(tmp_path / "out") == [record(loss=0.5)]


@pytest.mark.parametrize(("options", "wanted"), [
    ({}, False), ({"WANDB__EXP_NAME": "x"}, True), ({"WANDB__ENABLE": "always"}, True),
    ({"WANDB__ENABLE": "never", "WANDB__ID": "x"}, False),
])
def test_wandb_takes_part_where_it_is_asked_for(tmp_path, monkeypatch, caplog, options, wanted):
    monkeypatch.setitem(sys.modules, "wandb", None)
    messages = write_through(tiny_cfg(tmp_path, tmp_path / "out", **options), caplog)
    assert messages == ["wandb is not installed: logging to metrics.jsonl only (pip install wandb)."] * wanted
    assert lines(tmp_path / "out") == [record(loss=0.5)]


def fake_wandb(modes: tuple, calls: list):
    """A wandb that does not start in the given modes."""
    def init(mode=None, **options):
        calls.append((mode, options))
        if mode in modes:
            raise RuntimeError("no such host")
        return SimpleNamespace(log=lambda figures, step=None: calls.append((figures, step)), finish=lambda: None)

    return SimpleNamespace(init=init, Settings=dict, teardown=lambda: calls.append("teardown"))


def test_wandb_without_a_network_goes_on_offline(tmp_path, monkeypatch, caplog):
    calls = []
    monkeypatch.setitem(sys.modules, "wandb", fake_wandb((None,), calls))
    monkeypatch.setenv("WANDB_API_KEY", "k")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    cfg = tiny_cfg(tmp_path, tmp_path / "out", WANDB__ID="x")
    messages = write_through(cfg, caplog)
    assert [m.split(" (")[0] for m in messages] == ["wandb cannot be reached"]
    (online, options), teardown, (offline, again), logged = calls
    assert (online, teardown, offline) == (None, "teardown", "offline") and options == again
    assert options["id"] == "x" and options["project"] == "trokens" and options["config"] == cfg
    assert logged == ({"train/epoch": 0, "train/step": 1, "train/loss": 0.5}, 1)


def test_wandb_that_cannot_start_at_all_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", fake_wandb((None, "offline"), []))
    monkeypatch.setenv("WANDB_API_KEY", "k")
    messages = write_through(tiny_cfg(tmp_path, tmp_path / "out", WANDB__ID="x"), caplog)
    assert messages[-1] == "wandb did not start (no such host): logging to metrics.jsonl only."
    assert lines(tmp_path / "out") == [record(loss=0.5)]


def test_progress_says_how_far_it_is_on_long_ways_only(caplog):
    caplog.set_level(logging.INFO)
    assert list(progress(range(19), 19, "Short")) == list(range(19)) and not caplog.records
    assert list(progress(iter(range(25)), 25, "Long")) == list(range(25))
    assert [r.message for r in caplog.records] == [f"Long: {n} of 25" for n in (5, 10, 15, 20, 25)]


def test_a_registered_logger_gets_the_records(tmp_path, monkeypatch):
    taken = []

    class Taker:
        from_config = classmethod(lambda cls, cfg: cls() if cfg.LOG_PERIOD == 7 else None)
        __call__ = staticmethod(taken.append)
        close = staticmethod(lambda: taken.append("closed"))

    monkeypatch.setitem(LOGGERS._entries, "taker", Taker)
    for period in (7, 8):
        log = build_log(tiny_cfg(tmp_path, tmp_path / "out", LOG_PERIOD=period))
        log.begin()
        log.write(record())
        log.close()
    assert taken == [record(), "closed"]
