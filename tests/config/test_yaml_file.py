"""YAML files as they come: keys set twice, files that nobody meant as a config, files that mean harm."""

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from processes import TIMEOUT

from trokens.config import ConfigError, load_cfg
from trokens.config.yaml_file import MAX_BYTES, MAX_FILES

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs/trokens").glob("*.yaml"))


def problem(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(ConfigError) as error:
        load_cfg(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    return str(error.value)


def write(folder: Path, text: str | bytes, name: str = "run.yaml") -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


# Keys that are set twice

def test_of_a_key_set_twice_the_last_value_counts_and_a_warning_says_so(tmp_path, caplog):
    path = write(tmp_path, "SOLVER:\n  WARMUP_EPOCHS: 0\n  MOMENTUM: 0.5\n  # as published\n  WARMUP_EPOCHS: 5\n")
    assert load_cfg(path).SOLVER.WARMUP_EPOCHS == 5
    assert caplog.messages == [f"{path} sets keys twice, and the last value counts: 'SOLVER.WARMUP_EPOCHS' is 0 in "
                               "line 2 and 5 in line 5."]
    assert caplog.records[0].levelno == logging.WARNING


def test_of_a_section_given_twice_the_first_counts_nothing_as_in_pyyaml(tmp_path, caplog):
    text = "TRAIN: {ENABLE: False, EVAL_PERIOD: 3}\nMF: {DEPTH: 1}\nTRAIN: {EVAL_PERIOD: 4}\n"
    cfg = load_cfg(write(tmp_path, text))
    assert yaml.safe_load(text)["TRAIN"] == {"EVAL_PERIOD": 4}
    assert cfg.TRAIN.ENABLE and cfg.TRAIN.EVAL_PERIOD == 4
    line, = caplog.messages
    assert line.endswith("'TRAIN' stands in lines 1 and 3, and only the last section is read, without TRAIN.ENABLE, "
                         "TRAIN.EVAL_PERIOD of the others.")


@pytest.mark.parametrize(("text", "said"), [
    ("A: 1\nA: 2\nA: 3\n", "'A' is 1 in line 1, 2 in line 2 and 3 in line 3."),
    ("SOLVER: {LRS: [1]}\nSOLVER: {LRS: [2]}\n", "'SOLVER' stands in lines 1 and 2"),
    ("SOLVER: {BASE_LR: 1.0}\nSOLVER.BASE_LR: 2.0\n", "'SOLVER.BASE_LR' is 1.0 and then 2.0."),
    ("".join(f"A: {i}\n" for i in range(99)), "'A' is 0 in line 1, 1 in line 2, 2 in line 3, ... and 98 in line 99."),
    ("MF: 1\nMF: {DEPTH: 1}\n", "'MF' stands in lines 1 and 2"),
    ("".join(f"K{i}: 1\nK{i}: 2\n" for i in range(15)), "; and 5 more."),
])
def test_every_way_to_set_a_key_twice_is_told(tmp_path, caplog, text, said):
    try:
        load_cfg(write(tmp_path, text))
    except ConfigError as error:
        assert "Unknown option" in str(error)
    line, = caplog.messages
    assert said in line and len(line) < 1200


@pytest.mark.parametrize("text", ["RNG_SEED: 3\nRNG_SEED: 3\n", "MF: {DEPTH: 2}\nMF: {DEPTH: 2}\n",
                                  "SOLVER: {GAMMA: .nan}\n", "SOLVER: {GAMMA: .nan, GAMMA: .nan}\n"])
def test_a_key_set_twice_to_the_same_needs_no_word(tmp_path, caplog, text):
    load_cfg(write(tmp_path, text))
    assert not [line for line in caplog.messages if "twice" in line]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_our_files_repeat_no_key(path):
    def check(node: yaml.MappingNode) -> None:
        names = [key.value for key, _ in node.value]
        assert len(names) == len(set(names))
        for _, value in node.value:
            if isinstance(value, yaml.MappingNode):
                check(value)

    check(yaml.compose(path.read_text()))


# Values as they are written

def test_a_date_is_the_text_it_was_written_as(tmp_path):
    cfg = load_cfg(write(tmp_path, "WANDB: {EXP_NAME: 2024-01-31, ID: =, PROJECT: 2001-99-99}\n"))
    assert (cfg.WANDB.EXP_NAME, cfg.WANDB.ID, cfg.WANDB.PROJECT) == ("2024-01-31", "=", "2001-99-99")


def test_an_alias_stands_for_what_it_names(tmp_path):
    cfg = load_cfg(write(tmp_path, "SOLVER: {STEPS: &a [0, 1], LRS: *a}\nTEST: {K_SHOTS: [&b 1, *b]}\n"))
    assert (cfg.SOLVER.STEPS, cfg.SOLVER.LRS, cfg.TEST.K_SHOTS) == ([0, 1], [0.0, 1.0], [1, 1])


def test_whole_numbers_keep_all_their_digits(tmp_path):
    path = write(tmp_path, f"RNG_SEED: {2**53 + 1}\n")
    assert load_cfg(path).RNG_SEED == load_cfg(path, ["RNG_SEED", str(2**53 + 1)]).RNG_SEED == 2**53 + 1


# Files that are no config

def bomb(opening: str, item: str, closing: str) -> str:
    """Each line repeats the one before nine times; the last alone stands for 9^11 values."""
    return "A: &a0 [1]\n" + "".join(
        f"A{i}: &a{i} {opening}{', '.join(item.format(j) + f'*a{i - 1}' for j in range(9))}{closing}\n"
        for i in range(1, 12))


HOSTILE = {
    "an alias that holds itself": ("SOLVER: &a\n  X: *a\n", "run.yaml:2: 'SOLVER.X' holds itself"),
    "the whole file in itself": ("&a SOLVER: 1\nMF: &b {MF: {X: *b}}\n", "'MF.MF.X' holds itself"),
    "a list in itself": ("SOLVER: {STEPS: &a [*a]}", "'SOLVER.STEPS' is a list of other things than numbers and text"),
    "a bomb of lists": (bomb("[", "", "]"), "run.yaml holds more than 10000 options and list entries"),
    "a bomb of sections": (bomb("{", "k{}: ", "}"), "run.yaml holds more than 10000 options and list entries"),
    "a long list": ("SOLVER: {STEPS: [" + "1," * 20_000 + "]}", "holds more than 10000 options"),
    "merged sections": ("A: &a {X: 1}\nMF:\n  <<: *a\n", "run.yaml:3: '<<' merges mappings, which a config cannot"),
    "no date": ("RNG_SEED: 2001-99-99\n", "RNG_SEED = '2001-99-99' is a str; expected int like 1."),
    "a number too long for Python": ("RNG_SEED: " + "9" * 5000, "(5002 characters) cannot be read as int"),
    "a long number of base 16": ("RNG_SEED: 0x" + "f" * 50_000, "(50004 characters) cannot be read as int"),
    "a long number of base 60": ("RNG_SEED: " + "1:" * 30_000 + "1", "cannot be read as int"),
    "a number beyond any seed": ("RNG_SEED: 99999999999999999999", "is beyond its maximum, 9223372036854775807."),
    "a number beyond any count": ("MF: {DEPTH: 9999999999}", "run.yaml:1: MF.DEPTH = 9999999999 is beyond its maximum"),
    "levels beyond memory": ("POINT_INFO: {HOD: {TEMPORAL_PYRAMID: True, TEMPORAL_PYRAMID_LEVELS: 2147483647}}",
                             "cuts DATA.NUM_FRAMES = 8 into more parts than frames"),
    "an int that is none": ("RNG_SEED: !!int abc\n", "run.yaml:1: 'RNG_SEED' = 'abc' cannot be read as int"),
    "an empty int": ("RNG_SEED: !!int ''\n", "run.yaml:1: 'RNG_SEED' = '' cannot be read as int"),
    "a bool that is none": ("TRAIN: {ENABLE: !!bool maybe}\n", "'TRAIN.ENABLE' = 'maybe' cannot be read as bool"),
    "bytes": ("WANDB: {ID: !!binary aGVsbG8=}\n", "'WANDB.ID' is a YAML binary; an option is a number"),
    "a set": ("MF: !!set {DEPTH}\n", "run.yaml:1: 'MF' is a YAML set"),
    "a tuple": ("SOLVER: {STEPS: !!python/tuple [0]}\n", "'SOLVER.STEPS' is a YAML python/tuple"),
    "code": ("RNG_SEED: !!python/object/apply:os.system ['true']\n", "python/object/apply:os.system"),
    "a long tag": ("RNG_SEED: !<" + "a" * 50_000 + "> 1\n", "'RNG_SEED' is a YAML aaa"),
    "sections in a list": ("SOLVER: {STEPS: [{a: 1}]}", "is a list of other things than numbers and text"),
    "a list as key": ("? [a, b]\n: 1\n", "run.yaml:1: A key is a YAML sequence; options have names."),
    "a section as key": ("? {a: b}\n: 1\n", "run.yaml:1: A key is a YAML mapping; options have names."),
    "a long key": ('? "' + "k" * 50_000 + '"\n: 1\n', "A key has 50000 characters"),
    "deep brackets": ("[" * 50_000, "run.yaml is not valid YAML: it nests deeper than 20 levels"),
    "deep dashes": ("- " * 30_000, "it nests deeper than 20 levels"),
    "deep braces": ("{a: " * 15_000, "it nests deeper than 20 levels"),
    "deep brackets in text": ('SOLVER: {STEPS: "' + "[" * 50_000 + '"}', "(50002 characters) is a str; expected"),
    "deep signs in text": ('SOLVER: {STEPS: "' + "-" * 50_000 + '1"}', "is a str; expected a list"),
    "many names nobody knows": ("".join(f"k{i}: 1\n" for i in range(6000)), ""),
    "an undefined alias": ("A: *" + "a" * 50_000, "run.yaml is not valid YAML: found undefined alias"),
    "half a character": ('WANDB: {ID: "\\ud800"}\n', "'WANDB.ID' = '\\ud800' cannot be read as str"),
    "a zero byte in text": ('OUTPUT_DIR: "a\\0b"\n', "'OUTPUT_DIR' = 'a\\x00b' cannot be read as str"),
    "a zero byte": (b"RNG_SEED: 1\0", "run.yaml is not valid YAML: unacceptable character"),
    "other bytes": (bytes(range(128, 256)), "run.yaml is not valid YAML"),
    "two documents": ("---\nRNG_SEED: 1\n---\nRNG_SEED: 2\n", "expected a single document"),
    "text": ("hello", "run.yaml is a YAML scalar; a config is a mapping of options."),
    "a large file": ("# hello\n" * 10_000, "run.yaml is too large for a config"),
    "no file to start from": ('_BASE_: ""\n', "cannot be read (Is a directory)"),
    "nothing to start from": ("_BASE_:\n", "run.yaml:1: _BASE_ = None is not a path; name one file."),
    "a device to start from": ("_BASE_: /dev/zero\n", "/dev/zero cannot be read (it is a device or a pipe)"),
    "a long name to start from": ("_BASE_: " + "a" * 5000, "cannot be read (File name too long)"),
    "a long name of a checkpoint": ("TRAIN: {CHECKPOINT_FILE_PATH: " + "a" * 5000 + "/k600_motionformer_224_16x4.pyth}"
                                    "\nRNG_SEED: x\n", "run.yaml:2: RNG_SEED = 'x' is a str"),
    "a zero byte to start from": ('_BASE_: "a\\0b"', "run.yaml:1: '_BASE_' = 'a\\x00b' cannot be read as str"),
}


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "many names nobody knows"])
def test_what_is_no_config_is_told_in_one_line(tmp_path, name):
    text, message = HOSTILE[name]
    assert message in problem(write(tmp_path, text))


def test_of_many_problems_the_first_are_told(tmp_path):
    with pytest.raises(ConfigError) as error:
        load_cfg(write(tmp_path, HOSTILE["many names nobody knows"][0]))
    lines = str(error.value).splitlines()
    assert len(lines) == 31 and lines[-1] == "And 5970 more problems; is this a config of Trokens?"


def test_hostile_files_take_neither_time_nor_memory(tmp_path):
    paths = [write(tmp_path, text, f"{i}.yaml") for i, (text, _) in enumerate(HOSTILE.values())]
    code = ("import logging, resource, sys; from trokens.config import ConfigError, load_cfg\n"
            "logging.disable()\n"
            "load_cfg(sys.argv[1])\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "for path in sys.argv[2:]:\n"
            "    try: load_cfg(path)\n"
            "    except ConfigError: continue\n"
            "    raise SystemExit(path)\n"
            "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000, 'memory'")
    subprocess.run([sys.executable, "-c", code, CONFIGS[0], *paths], check=True, cwd=ROOT, timeout=TIMEOUT)


def test_pipes_and_links_to_themselves_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("link")
    assert "(it is a device or a pipe)" in problem(tmp_path / "pipe")
    assert "(Too many levels of symbolic links)" in problem(tmp_path / "link")
    assert "(it is a device or a pipe)" in problem(write(tmp_path, "_BASE_: pipe\n"))


def test_a_chain_of_files_ends(tmp_path):
    for i in range(MAX_FILES + 1):
        write(tmp_path, f"_BASE_: {i + 1}.yaml\nRNG_SEED: {i}\n", f"{i}.yaml")
    assert f"{MAX_FILES}.yaml is one _BASE_ too many: at most 20 files" in problem(tmp_path / "0.yaml")
    write(tmp_path, "LOG_PERIOD: 7\n", f"{MAX_FILES}.yaml")
    cfg = load_cfg(tmp_path / "1.yaml")
    assert (cfg.RNG_SEED, cfg.LOG_PERIOD) == (1, 7)
    for i in range(3):
        write(tmp_path, f"_BASE_: {(i + 1) % 3}.yaml\n", f"{i}.yaml")
    assert "0.yaml is its own _BASE_" in problem(tmp_path / "0.yaml")
    for i in range(2):
        write(tmp_path, f"_BASE_: {i + 1}.yaml\n" + "#" * (MAX_BYTES // 2), f"{i}.yaml")
    assert "1.yaml is too large for a config: with the files that start from it" in problem(tmp_path / "0.yaml")


def test_a_damaged_config_is_a_config_error_or_loads(tmp_path):
    random.seed(0)
    parts = ["&a ", "*a", "!!int ", "!!float x", "!!bool ", "!!null ", "!!timestamp ", "!!omap ", "[", "{", "}", "]",
             "? ", "- ", ": ", "<<: ", "\n", "  ", "\t", '"', "'", "|", "---\n", "0x", "1:30", ".nan", "\0", "\\0", "=",
             "_BASE_: ", "1e999", "9" * 500, "[" * 30]
    for _ in range(300):
        text = random.choice(CONFIGS).read_text()
        for _ in range(random.randint(1, 5)):
            at = random.randrange(len(text))
            text = text[:at] + random.choice(parts) + text[at + random.randint(0, 9):]
        try:
            load_cfg(write(tmp_path, text))
        except ConfigError as error:
            assert len(str(error)) < 5000, text


# What was found by others

@pytest.mark.parametrize(("name", "message"), [
    ("base_zero", "/dev/zero cannot be read (it is a device or a pipe); give the path of a YAML file."),
    ("cyc_map", "cyc_map.yaml:2: 'SOLVER.X' holds itself; write the options out."),
    ("date_bad", "date_bad.yaml:1: RNG_SEED = '2001-99-99' is a str; expected int like 1."),
    ("hugeint", "(5002 characters) cannot be read as int; write a plain value."),
    ("int_tag", "int_tag.yaml:1: 'RNG_SEED' = 'abc' cannot be read as int; write a plain value."),
    ("laughs_list", "holds more than 10000 options and list entries, counted as often as its aliases repeat them")])
def test_faulty_files_end_in_one_line(faults, name, message):
    assert message in problem(faults / f"{name}.yaml")


@pytest.mark.parametrize("text", ["- a", "TRAIN:\n\tENABLE: True", None])
def test_nothing_is_said_of_options_that_an_unread_file_was_to_set(tmp_path, text):
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_cfg(path, ["MODEL.APPEARANCE_MODULE_DISABLE", "True"])
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_an_output_folder_without_a_name_is_refused():
    with pytest.raises(ConfigError, match=r"OUTPUT_DIR = ' ' names no folder; set it to one\."):
        load_cfg("hmdb", ["OUTPUT_DIR", " "])
