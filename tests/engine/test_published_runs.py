"""Folders and checkpoints of the published code: what is taken of them, and where a run starts, is said in one line."""

import shutil

import pytest
import torch
from published_config import published_dump
from tiny import command, figures, flat, main, tiny_cfg

from trokens import load_cfg
from trokens.config import ConfigError
from trokens.engine.run import run_experiment
from trokens.models.checkpoint import BEST, checkpoint_dir, epoch_path, load_checkpoint, save_checkpoint, saved_epochs

CPU = torch.device("cpu")
BEGIN_ANEW = "; figures and the best checkpoint begin anew."


def run(data, folder, **changes):
    return run_experiment(tiny_cfg(data, folder, SOLVER__MAX_EPOCH=3, **changes), CPU)


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """The folder of a finished run of three epochs, all of whose checkpoints are kept."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    run(tiny_data, folder, TRAIN__KEEP_EVERY=1)
    return folder


def as_published(path, *, order: str = "ours", groups: str = "ours") -> None:
    """Write a checkpoint as the published code does: other keys, parameters and groups in an order of its own."""
    state = load_checkpoint(path)
    weights, optimizer = state["model_state"], state["optimizer_state"]
    names = [name for name in weights if name != "cls_token"] + ["cls_token"]  # as our two groups number them
    in_order = list(weights) if order == "ours" else sorted(weights, reverse=True)
    moments = dict(zip(names, (optimizer["state"][i] for i in range(len(names))), strict=True))
    members = [[name for name in in_order if name != "cls_token"], ["cls_token"]]
    members = {"ours": members, "swapped": members[::-1], "one": [in_order]}[groups]
    count, numbered = 0, []
    for some in members:
        numbered.append({"lr": 7.0, "weight_decay": 5.0, "params": list(range(count, count + len(some)))})
        count += len(some)
    numbers = [name for some in members for name in some]
    save_checkpoint(path, {
        "epoch": state["epoch"], "model_state": {name: weights[name] for name in in_order},
        "optimizer_state": {"state": {i: moments[name] for i, name in enumerate(numbers)}, "param_groups": numbered},
        "scaler_state": {}, "cfg": published_dump("hmdb", TRAIN__DATASET="folder", TEST__DATASET="folder")})


def published_folder(trained, tmp_path, **changes):
    """A folder as the published code leaves it after two of three epochs; it keeps no figures."""
    out = tmp_path / "out"
    for path in (epoch_path(trained, 2), checkpoint_dir(trained) / BEST):
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / "checkpoints" / path.name)
        as_published(out / "checkpoints" / path.name, **changes)
    return out


@pytest.mark.parametrize(("order", "groups"), [("ours", "ours"), ("another", "ours"), ("another", "swapped")])
def test_a_published_folder_goes_on_with_weights_and_moments_at_its_epoch(tiny_data, trained, tmp_path, caplog, order,
                                                                          groups):
    caplog.set_level("INFO")
    out = published_folder(trained, tmp_path, order=order, groups=groups)
    run(tiny_data, out)
    line, = (line for line in caplog.messages if line.startswith("Going on"))
    assert line == (f"Going on from {epoch_path(out, 2)} (2 epochs and 0 steps), a checkpoint of the published code: "
                    f"its weights are taken, so is its optimizer's state{BEGIN_ANEW}")
    one, two = (load_checkpoint(epoch_path(folder, 3)) for folder in (trained, out))
    assert flat(one["model_state"]) == flat(two["model_state"])
    assert flat(one["optimizer_state"]) == flat(two["optimizer_state"])
    assert [record["epoch"] for record in figures(out) if record["phase"] == "val"] == [3]


@pytest.mark.parametrize(("kind", "reason"), [
    ("one group", "it has other groups of parameters"), ("none", "the checkpoint has none"),
    ("sgd", "another kind of optimizer made it"), ("shapes", "it does not fit "), ("text", "the checkpoint has none")])
def test_an_optimizer_that_does_not_fit_starts_fresh_and_says_why(tiny_data, trained, tmp_path, caplog, kind, reason):
    caplog.set_level("INFO")
    out = published_folder(trained, tmp_path, groups="one" if kind == "one group" else "ours")
    path = epoch_path(out, 2)
    state = load_checkpoint(path)
    if kind == "none":
        del state["optimizer_state"]
    elif kind == "text":
        state["optimizer_state"] = "?"
    elif kind == "sgd":
        moments = state["optimizer_state"]["state"]
        moments.update({i: {"momentum_buffer": one["exp_avg"]} for i, one in moments.items()})
    elif kind == "shapes":
        state["optimizer_state"]["state"][3]["exp_avg"] = torch.zeros(5, 5)
    save_checkpoint(path, state)
    run(tiny_data, out)
    line, = (line for line in caplog.messages if line.startswith("Going on"))
    assert f"its weights are taken, its optimizer's state is not ({reason}" in line and line.endswith(BEGIN_ANEW)
    assert list(saved_epochs(out)) == [2, 3]


def test_its_best_checkpoint_stays_under_another_name(tiny_data, trained, tmp_path, caplog):
    caplog.set_level("INFO")
    out = published_folder(trained, tmp_path)
    best, kept = checkpoint_dir(out) / BEST, checkpoint_dir(out) / "checkpoint_best_published.pyth"
    before = best.read_bytes()
    run(tiny_data, out)
    assert kept.read_bytes() == before and load_checkpoint(best)["best"]["epoch"] == 3
    assert (f"{best} is now {kept.name}: its accuracy is not kept, so the best is chosen among the epochs from now on."
            in caplog.messages)


def test_its_best_checkpoint_alone_is_gone_on_from_and_kept(tiny_data, trained, tmp_path):
    out = published_folder(trained, tmp_path)
    best = checkpoint_dir(out) / BEST
    epoch_path(out, 2).replace(best)
    before = best.read_bytes()
    run(tiny_data, out)
    assert (checkpoint_dir(out) / "checkpoint_best_published.pyth").read_bytes() == before
    assert list(saved_epochs(out)) == [3] and load_checkpoint(best)["epoch"] == 2


def test_a_finished_published_folder_is_tested(tiny_data, trained, tmp_path, caplog):
    caplog.set_level("INFO")
    out = published_folder(trained, tmp_path)
    result = run_experiment(tiny_cfg(tiny_data, out), CPU)  # two epochs
    assert result["checkpoint"] == str(checkpoint_dir(out) / BEST) and result["trained_classes"] is None
    assert any("Nothing is left to train" in line for line in caplog.messages)
    assert result["accuracy"] == run_experiment(
        tiny_cfg(tiny_data, tmp_path / "x", TRAIN__ENABLE=False,
                 TEST__CHECKPOINT_FILE_PATH=checkpoint_dir(trained) / BEST), CPU)["accuracy"]


def test_another_dataset_s_published_folder_is_refused(tiny_data, trained, tmp_path, capsys):
    out = published_folder(trained, tmp_path)
    path = epoch_path(out, 2)
    save_checkpoint(path, {**load_checkpoint(path), "cfg": published_dump("hmdb")})
    assert main(command(tiny_data, out, SOLVER__MAX_EPOCH=3)) == 2
    assert f"{path} was trained on the list 'hmdb51', and this run's" in capsys.readouterr().err


@pytest.mark.parametrize("reset", [False, True])
def test_a_published_checkpoint_to_start_from_says_where_it_starts(tiny_data, trained, tmp_path, caplog, reset):
    caplog.set_level("INFO")
    path = epoch_path(published_folder(trained, tmp_path), 2)
    run(tiny_data, tmp_path / "new", TRAIN__CHECKPOINT_FILE_PATH=path, TRAIN__CHECKPOINT_EPOCH_RESET=reset)
    line, = (line for line in caplog.messages if line.startswith("Starting"))
    assert line == (f"Starting at epoch 1 from the weights of {path}, a checkpoint of the published code; its 2 epochs "
                    "and its optimizer's state do not count.")
    assert [record["epoch"] for record in figures(tmp_path / "new") if record["phase"] == "val"] == [1, 2, 3]


def test_a_checkpoint_of_ours_to_start_from_says_where_it_starts(tiny_data, trained, tmp_path, caplog):
    caplog.set_level("INFO")
    path = epoch_path(trained, 2)
    run(tiny_data, tmp_path / "on", TRAIN__CHECKPOINT_FILE_PATH=path)
    run(tiny_data, tmp_path / "anew", TRAIN__CHECKPOINT_FILE_PATH=path, TRAIN__CHECKPOINT_EPOCH_RESET=True)
    lines = [line for line in caplog.messages if line.startswith(("Starting", "Going on"))]
    assert lines == [f"Going on from {path} (2 epochs and 0 steps).",
                     f"Starting at epoch 1 from the weights of {path}; its 2 epochs and its optimizer's state do not "
                     "count."]


# What published k400.yaml starts from ---------------------------------------------------------------------------------

ABSENT = "CP/k600_motionformer_224_16x4.pyth"


def test_the_checkpoint_that_published_k400_names_is_one_warning(tmp_path, caplog):
    (tmp_path / "k400.yaml").write_text(f"TRAIN:\n  DATASET: K400\n  CHECKPOINT_FILE_PATH: {ABSENT}\n")
    assert load_cfg(tmp_path / "k400.yaml").TRAIN.CHECKPOINT_FILE_PATH == ""
    assert caplog.messages == [f"{tmp_path}/k400.yaml:3: TRAIN.CHECKPOINT_FILE_PATH = {ABSENT} is not there, and the "
                               "published code never reads it: training starts from fresh weights."]
    assert load_cfg(tmp_path / "k400.yaml", ["TRAIN.CHECKPOINT_FILE_PATH", "x"]).TRAIN.CHECKPOINT_FILE_PATH == "x"


def test_a_command_line_and_other_absent_files_stay_errors(tiny_data, tmp_path, capsys):
    for path in (ABSENT, "mine.pyth"):
        assert main(command(tiny_data, tmp_path / "out", TRAIN__CHECKPOINT_FILE_PATH=path)) == 2
        assert f"No checkpoint at {path}; correct TRAIN.CHECKPOINT_FILE_PATH." in capsys.readouterr().err
    (tmp_path / "x.yaml").write_text("TRAIN:\n  CHECKPOINT_FILE_PATH: mine.pyth\n")
    assert load_cfg(tmp_path / "x.yaml").TRAIN.CHECKPOINT_FILE_PATH == "mine.pyth"


def test_a_file_of_that_name_that_is_there_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CP").mkdir()
    (tmp_path / ABSENT).touch()
    (tmp_path / "x.yaml").write_text(f"TRAIN:\n  CHECKPOINT_FILE_PATH: {ABSENT}\n")
    assert load_cfg(tmp_path / "x.yaml").TRAIN.CHECKPOINT_FILE_PATH == ABSENT
    with pytest.raises(ConfigError):
        load_cfg(tmp_path / "x.yaml", ["TRAIN.CHECKPOINT_FILE_PATH"])
