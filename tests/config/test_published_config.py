"""Files and dumps of the published code: they load, and what differs from there is said."""

import re
from operator import attrgetter

import pytest
from published_config import NAMES, OURS, published_dump
from tiny import ROOT

from trokens.cli.train import parse_args
from trokens.config import OPTIONS, ConfigError, changed_options, dump, load_cfg
from trokens.config.published import ONLY_VALUE

AUGMENTED = "AUG.AA_TYPE = rand-m7-n4-mstd0.5-inc1 takes effect here; the published code augments with " \
            "rand-m20-mstd0.5-inc1, whatever it says."


def load(folder, text, *overrides):
    (folder / "config.yaml").write_text(text)
    return load_cfg(folder / "config.yaml", overrides)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_published_dump_is_the_config_of_ours(tmp_path, name, caplog):
    cfg, ours = load(tmp_path, published_dump(name)), load_cfg(ROOT / f"configs/trokens/{name}.yaml")
    differing = [key for key in OPTIONS if attrgetter(key)(ours) != attrgetter(key)(cfg)]
    assert differing == ["AUG.AA_TYPE"]
    idle, augmentation = caplog.messages
    assert idle.startswith("Config keys of the published code that have no effect here: ")
    assert {"MF.PT_ATTENTION", "MODEL.USE_EXTRA_ENCODER", "DATA.MEAN", "EPICKITCHENS.VAL_LIST"} <= set(
        re.findall(r"[A-Z][A-Z0-9_.]+[A-Z0-9]", idle))
    assert augmentation.endswith(AUGMENTED)


def test_the_dump_of_these_tests_has_every_published_key():
    keys = ROOT.parent / "shared/KEYS.md"
    if not keys.exists():
        pytest.skip("needs the list of published keys")
    read, ignored = keys.read_text().split("## Accepted")
    published = set(re.findall(r"^\| `([A-Z0-9_.]+)` \|", read, re.M))
    published |= set(re.findall(r"`([A-Z0-9_.]+)`", ignored.split("Keys of ours")[0]))
    assert len(published) > 230 and not published & OURS
    text = published_dump("hmdb")
    for key in published:
        assert re.search(rf"^ *{key.rpartition('.')[2]}:", text, re.M), key


@pytest.mark.parametrize("name", NAMES)
def test_a_published_checkpoints_config_is_compared_with_ours(name):
    cfg = load_cfg(ROOT / f"configs/trokens/{name}.yaml", ["AUG.AA_TYPE", "rand-m7-n4-mstd0.5-inc1"])
    assert changed_options(cfg, published_dump(name)) == {}
    text = published_dump(name, MF__DEPTH=2, POINT_INFO__USE_PT_QUERY_MASK=True, SOLVER__BASE_LR="x")
    assert list(changed_options(cfg, text)) == ["MF.DEPTH", "POINT_INFO.USE_PT_QUERY_MASK", "SOLVER.BASE_LR"]


def test_a_config_of_ours_is_compared_by_what_it_says(caplog):
    cfg = load_cfg(ROOT / "configs/trokens/hmdb.yaml")
    assert changed_options(cfg, dump(cfg)) == {}
    lacking = re.sub(r"^  COORDS: .*\n", "", dump(cfg), flags=re.M)
    assert changed_options(cfg, lacking) == {"POINT_INFO.COORDS": (None, "published")} and not caplog.records


@pytest.mark.parametrize("text", [
    None, 5, {"TRAIN": 1}, b"TRAIN: 1", "TRAIN: [", "hello", "- 1", "#" * 100_000, "A: &a {B: *a}",
    "A: &a [1]\n" + "".join(f"A{i + 1}: &a{i + 1} [" + ", ".join([f"*a{i or ''}"] * 9) + "]\n" for i in range(11))])
def test_what_is_no_config_in_a_checkpoint_is_told_in_one_line(text):
    cfg = load_cfg(ROOT / "configs/trokens/hmdb.yaml")
    with pytest.raises(ConfigError, match="The config that the checkpoint keeps") as error:
        changed_options(cfg, text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("key", "value"), [
    ("MF.USE_MLP", False), ("MF.PT_ATTENTION", "joint_space_time"), ("MF.PT_ATTENTION", False)])
def test_what_made_another_model_there_is_refused_in_one_sentence(tmp_path, key, value):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, published_dump("hmdb", **{key.replace(".", "__"): value}))
    assert re.fullmatch(rf".*config\.yaml:\d+: {key} = {value!r} is not offered; leave it out, or set it to "
                        rf"{ONLY_VALUE[key]}\.", str(error.value))


def test_the_class_token_and_divided_attention_are_the_published_model(tmp_path):
    cfg = load(tmp_path, published_dump("hmdb", MODEL__USE_CLS_TOKEN=False))
    assert OPTIONS["MODEL.USE_CLS_TOKEN"].default and not OPTIONS["MODEL.USE_PATCH_AS_CLS"].default
    assert not cfg.MODEL.USE_CLS_TOKEN and ONLY_VALUE["MF.PT_ATTENTION"] == "divided_space_time"


# What a published file sets in vain there and takes effect here

def test_an_augmentation_is_spoken_of_where_a_published_file_sets_it(tmp_path, caplog):
    ours = "DATA: {USE_RAND_AUGMENT: True}\nAUG: {AA_TYPE: rand-m7-n4-mstd0.5-inc1}\n"
    load(tmp_path, ours)
    assert not caplog.records
    load(tmp_path, ours, "SHARD_ID", "0")
    load(tmp_path, ours.replace("True", "False") + "MODEL: {ARCH: slow}\n")
    load(tmp_path, ours + "MODEL: {ARCH: slow}\n", "AUG.AA_TYPE", "rand-m9-n2-mstd0.5-inc1")
    assert not [line for line in caplog.messages if "AA_TYPE" in line]
    caplog.clear()
    load(tmp_path, ours + "MODEL: {ARCH: slow}\n")
    assert caplog.messages[1] == f"{tmp_path}/config.yaml:2: {AUGMENTED}"


def test_the_published_file_that_sets_its_warm_up_twice_loads(tmp_path, caplog):
    text = "SOLVER:\n  WARMUP_EPOCHS: 0\n  MAX_EPOCH: 50\n  WARMUP_EPOCHS: 5\nMODEL: {ARCH: slow}\n"
    assert load(tmp_path, text).SOLVER.WARMUP_EPOCHS == 5
    assert len(caplog.records) == 2


# The published command line

@pytest.mark.parametrize(("line", "overrides"), [
    ("--shard_id 0 --num_shards 1 --init_method tcp://localhost:9999 --cfg a.yaml", ""),
    ("--cfg a.yaml --new_dist_init --opts NUM_GPUS 0 RNG_SEED -1", "NUM_GPUS 0 RNG_SEED -1"),
    ("--cfg_file a.yaml --init_method env:// NUM_GPUS 0", "NUM_GPUS 0"),
    ("--local_rank=1 --cfg a.yaml NUM_GPUS 0", "NUM_GPUS 0"), ("--local-rank=1 --cfg a.yaml NUM_GPUS 0", "NUM_GPUS 0")])
def test_published_flags_are_accepted(line, overrides):
    args = parse_args(line.split())
    assert args.cfg == "a.yaml" and args.overrides == overrides.split()


@pytest.mark.parametrize(("line", "message"), [
    ("--cfg a.yaml NUM_GPUS 0 --shard_id 0", "--shard_id stands behind KEY VALUE pairs; flags come before them."),
    ("--cfg a.yaml --opts NUM_GPUS 0 --shard_id 0", "--shard_id stands behind KEY VALUE pairs"),
    ("--cfg a.yaml --num_shards 2", "--num_shards is 2, and this process was not started by torchrun")])
def test_flags_that_cannot_be_meant_are_named(monkeypatch, capsys, line, message):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(SystemExit) as ended:
        parse_args(line.split())
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_machines_joined_by_torchrun_may_be_counted_by_flags_too(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "16")
    assert parse_args(["--cfg", "a.yaml", "--num_shards", "2", "--shard_id", "1"]).num_shards == 2
