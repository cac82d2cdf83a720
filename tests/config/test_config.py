import ast
import logging
import pickle
import re
import sys
from operator import attrgetter
from pathlib import Path

import pytest
import yaml

from trokens.config import OPTIONS, ConfigError, config_hash, dump, get_cfg, load_cfg
from trokens.config.packaged import find_config
from trokens.config.published import ONLY_VALUE, WITHOUT_EFFECT
from trokens.config.yaml_document import Document

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name != "sweeps")
# Published keys that once had no effect here
READ_SINCE = {"MODEL.USE_CLS_TOKEN", "MODEL.USE_PATCH_AS_CLS", "POINT_INFO.USE_CORRELATION"}
BENCHMARKS = {
    "ssv2_small": ("Ssv2", 64, 400), "ssv2_full": ("Ssv2", 64, 1000), "hmdb": ("HMDB51", 51, 200),
    "k400": ("K400", 64, 100), "ucf": ("UCF101", 101, 100), "finegym": ("FINEGYM", 99, 200),
}


def load(tmp_path: Path, text: str = "", *overrides):
    (tmp_path / "run.yaml").write_text(text)
    return load_cfg(tmp_path / "run.yaml", overrides)


def option(cfg, key: str):
    return attrgetter(key)(cfg)


def problems(tmp_path: Path, text: str = "", *overrides) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text, *overrides)
    return str(error.value).splitlines()


# Files and command line

def test_command_line_wins_over_file_and_file_over_its_base(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "root.yaml").write_text("FEW_SHOT: {N_WAY: 10, K_SHOT: 3, TEST_EPISODES: 7}\nMF:\n")
    (tmp_path / "sub/base.yaml").write_text("_BASE_: ../root.yaml\nFEW_SHOT: {K_SHOT: 4}\n")
    cfg = load(tmp_path, "FEW_SHOT:\n  N_WAY: 6\n_BASE_: sub/base.yaml\n", "FEW_SHOT.N_WAY", "7", "FEW_SHOT.N_WAY", "8")
    assert (cfg.FEW_SHOT.N_WAY, cfg.FEW_SHOT.K_SHOT, cfg.FEW_SHOT.TEST_EPISODES) == (8, 4, 7)


@pytest.mark.parametrize("written, want", [
    ("SOLVER.BASE_LR 1", 1.0), ("SOLVER.BASE_LR 1e-4", 1e-4), ("FEW_SHOT.N_WAY 7", 7),
    ("FEW_SHOT.TEST_EPISODES 1e3", 1000),
    ("TRAIN.ENABLE false", False), ("TRAIN.ENABLE True", True), ("WANDB.ID 123", "123"), ("WANDB.EXP_NAME 1e3", "1e3"),
    ("WANDB.EXP_NAME 'a'", "a"), ("SOLVER.CLIP_GRAD_L2NORM 1", 1.0), ("SOLVER.CLIP_GRAD_L2NORM None", None),
    ("DATA.DECODING_BACKEND torchvision", "pyav"), ("WANDB.ENABLE True", "always"), ("WANDB.ENABLE False", "never"),
    ("SOLVER.LRS [1,2,'1e-1']", [1.0, 2.0, 0.1]), ("SOLVER.STEPS (0,5)", [0, 5]),
])
def test_text_of_a_command_line_is_read_by_the_options_type(tmp_path, written, want):
    key, value = written.split()
    got = option(load(tmp_path, "", key, value), key)
    assert got == want and type(got) is type(want)
    assert not isinstance(want, list) or [type(x) for x in got] == [type(x) for x in want]


def test_yaml_values_keep_or_gain_the_options_type(tmp_path):
    cfg = load(tmp_path, "SOLVER: {BASE_LR: 1, WEIGHT_DECAY: 5e-2, WARMUP_EPOCHS: 5.0, LRS: [1], CLIP_GRAD_VAL: 2}\n"
                         "WANDB: {ENABLE: true}\n")
    solver = cfg.SOLVER
    values = [solver.BASE_LR, solver.WEIGHT_DECAY, solver.WARMUP_EPOCHS, solver.LRS[0], solver.CLIP_GRAD_VAL]
    assert values == [1.0, 0.05, 5, 1.0, 2.0] and [type(v) for v in values] == [float, float, int, float, float]
    assert cfg.WANDB.ENABLE == "always"


@pytest.mark.parametrize("text, overrides, message", [
    ("FEW_SHOT:\n  NWAY: 5\n", [], "run.yaml:2: Unknown option 'FEW_SHOT.NWAY'. Did you mean 'FEW_SHOT.N_WAY'?"),
    ("", ["FEW_SHOT.NWAY", "5"], "Unknown option 'FEW_SHOT.NWAY'. Did you mean 'FEW_SHOT.N_WAY'?"),
    ("", ["N_WAY", "5"], "Unknown option 'N_WAY'. Did you mean 'FEW_SHOT.N_WAY'?"),
    ("", ["SOLVER.TEMPERATURE", "5"], "Did you mean 'SOLVER.TEMPRATURE'?"),
    ("MULTIGRID: {LONG_CICLE: False}", [], "Did you mean 'MULTIGRID.LONG_CYCLE'?"),
    ("FEW_SHOT: 5\n", [], "run.yaml:1: 'FEW_SHOT' = 5 is a section"),
    ("", ["FEW_SHOT.N_WAY", "five"], "FEW_SHOT.N_WAY = 'five' is a str; expected int like 5."),
    ("", ["FEW_SHOT.N_WAY", "2.5"], "FEW_SHOT.N_WAY = '2.5' is a str; expected int like 5."),
    ("FEW_SHOT: {N_WAY: True}", [], "FEW_SHOT.N_WAY = True is a bool; expected int like 5."),
    ("FEW_SHOT: {N_WAY: [5]}", [], "FEW_SHOT.N_WAY = [5] is a list; expected int like 5."),
    ("FEW_SHOT: {N_WAY: null}", [], "FEW_SHOT.N_WAY = None is a NoneType; expected int like 5."),
    ("TRAIN: {ENABLE: 1}", [], "TRAIN.ENABLE = 1 is an int; expected bool like True."),
    ("TRAIN: {ENABLE: maybe}", [], "TRAIN.ENABLE = 'maybe' is a str; expected bool like True."),
    ("TRAIN: {DATASET: 5}", [], "TRAIN.DATASET = 5 is an int; expected str like 'kinetics'."),
    ("SOLVER: {BASE_LR: .nan}", [], "SOLVER.BASE_LR = nan is a float; expected float like 0.1."),
    ("SOLVER: {STEPS: [0, x]}", [], "SOLVER.STEPS = [0, 'x'] is a list; expected a list of int like [0, 20]."),
    ("", ["SOLVER.LRS", "[1,"], "SOLVER.LRS = '[1,' is a str; expected a list of float like [0.0, 20.0]."),
    ("", ["SOLVER.CLIP_GRAD_VAL", "x"], "SOLVER.CLIP_GRAD_VAL = 'x' is a str; expected float like 1.0, or None."),
    ("", ["FEW_SHOT.DIST_NORM", "max_dif"], "it is one of none, max_div, max_sub. Did you mean 'max_div'?"),
    ("", ["TASK", "classification"], "TASK = 'classification' is not offered; it is one of few_shot."),
    ("", ["FEW_SHOT.N_WAY"], "Overrides come as KEY VALUE pairs; 'FEW_SHOT.N_WAY' has no value."),
    ("- a\n- b\n", [], "run.yaml is a YAML sequence; a config is a mapping of options."),
    ("FEW_SHOT: {\n", [], "run.yaml is not valid YAML: "),
    ("A: !!python/object/apply:os.system ['true']\n", [], "run.yaml:1: 'A' is a YAML python/object/apply:os.system; "),
    ("_BASE_: none.yaml\n", [], "none.yaml cannot be read (No such file or directory)"),
    ("_BASE_: run.yaml\n", [], "run.yaml is its own _BASE_; the chain of files has to end."),
    ("_BASE_: [a.yaml]\n", [], "run.yaml:1: _BASE_ = ['a.yaml'] is not a path"),
])
def test_errors_name_the_place_and_the_remedy(tmp_path, text, overrides, message):
    lines = problems(tmp_path, text, *overrides)
    assert len(lines) == 1 and message in lines[0]


def test_a_video_reader_that_is_not_installed_is_a_config_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    assert problems(tmp_path, "", "DATA.DECODING_BACKEND", "decord") == [
        "DATA.DECODING_BACKEND = 'decord' is not installed; run pip install decord, or set it to pyav."]


def test_a_path_that_is_no_file_is_a_config_error(tmp_path):
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "absent.yaml", "No such file")):
        with pytest.raises(ConfigError, match=f"cannot be read \\({reason}"):
            load_cfg(path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\x00\x81")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_cfg(tmp_path / "binary.yaml")


def test_all_problems_come_in_one_message(tmp_path):
    (tmp_path / "base.yaml").write_text("FEW_SHOT: {NWAY: 3, K_SHOT: 0}\n")
    text = "_BASE_: base.yaml\nSOLVER: {WARMUP_EPOCHS: 9, MOMENTUM: [1]}\nMIXUP: {ENABLE: True}\n"
    lines = problems(tmp_path, text, "MODEL.NUM_CLASSES", "many", "SOLVER.MAX_EPOCH", "9")
    for wanted in ("FEW_SHOT.NWAY", "K_SHOT = 0", "MOMENTUM = [1]", "MIXUP.ENABLE", "NUM_CLASSES = 'many'",
                   "MAX_EPOCH = 9"):
        assert sum(wanted in line for line in lines) == 1, wanted
    assert len(lines) == 6


def test_a_refused_value_brings_no_second_complaint(tmp_path):
    text = "_BASE_: " + str(ROOT / "configs/trokens/base.yaml") + "\nSOLVER: {STEPS: [a]}\n"
    assert len(problems(tmp_path, text)) == 1


# Impossible values and combinations

@pytest.mark.parametrize("overrides, message", [
    ("SOLVER.WARMUP_EPOCHS 10 SOLVER.MAX_EPOCH 10", "WARMUP_EPOCHS = 10 does not end before SOLVER.MAX_EPOCH = 10"),
    ("POINT_INFO.USE_CORRELATION True MODEL.APPEARANCE_MODULE_DISABLE True "
     "MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE True", "POINT_INFO.USE_CORRELATION = True takes points from patch"),
    ("MODEL.USE_PATCH_AS_CLS True MODEL.USE_CLS_TOKEN False", "MODEL.USE_PATCH_AS_CLS = True makes a class token of"),
    ("MODEL.APPEARANCE_MODULE_DISABLE True", "MODEL.APPEARANCE_MODULE_DISABLE = True leaves nothing in the tokens"),
    ("DATA.TRAIN_CROP_SIZE 225", "= 225 is not a multiple of the backbone's patch, 14 pixels; 224 is"),
    ("DATA.TRAIN_CROP_SIZE 225 MODEL.FEAT_EXTRACTOR none MODEL.EMBED_DIM 8", "DATA.TRAIN_CROP_SIZE = 225"),
    ("FEW_SHOT.N_WAY 0", "FEW_SHOT.N_WAY = 0 is below its minimum, 1."),
    ("FEW_SHOT.K_SHOT -1", "FEW_SHOT.K_SHOT = -1 is below its minimum, 1."),
    ("TEST.K_SHOTS [1,0]", "TEST.K_SHOTS = [1, 0] has an entry below its minimum, 1."),
    ("DATA.ALLOW_MISSING 1", "DATA.ALLOW_MISSING = 1.0 is outside [0, 1)."),
    ("SOLVER.TEMPRATURE 0", "SOLVER.TEMPRATURE = 0.0 has to be above 0."),
    ("SOLVER.CLIP_GRAD_VAL -1", "SOLVER.CLIP_GRAD_VAL = -1.0 has to be above 0."),
    ("MASTER_PORT 70000", "MASTER_PORT = 70000 is above the last port"),
    ("SOLVER.LR_POLICY steps_with_relative_lrs SOLVER.STEPS [0,1] SOLVER.LRS [1]", "2 entries and SOLVER.LRS has 1"),
    ("SOLVER.LR_POLICY steps_with_relative_lrs SOLVER.STEPS [1,2] SOLVER.LRS [1,2]", "has to start with 0 and ascend"),
    ("SOLVER.LR_POLICY steps_with_relative_lrs SOLVER.STEPS [0,2,2] SOLVER.LRS [1,2,3]", "start with 0 and ascend"),
    ("SOLVER.LR_POLICY steps_with_relative_lrs", "SOLVER.STEPS = [] has to start with 0"),
    ("SOLVER.DAMPENING 0.5", "SOLVER.NESTEROV = True needs momentum without dampening"),
    ("MODEL.EMBED_DIM 100", "MF.NUM_HEADS = 8 does not divide the token width 100 (MODEL.EMBED_DIM)"),
    ("MF.NUM_HEADS 7", "does not divide the token width 384 (MODEL.DINO_CONFIG dinov2_vits14)"),
    ("MODEL.FEAT_EXTRACTOR timm", "set MODEL.TIMM_NAME"),
    ("MODEL.FEAT_EXTRACTOR none", "set MODEL.EMBED_DIM"),
    ("MODEL.FEAT_EXTRACTOR none MODEL.EMBED_DIM 64 MODEL.TRAIN_BACKBONE True", "has no backbone to train"),
    ("POINT_INFO.HOD.TEMPORAL_PYRAMID True DATA.NUM_FRAMES 3", "into more parts than frames"),
    ("TRAIN.DATASET Ssv2", "SSV2.SPLIT = 'standard' names no few-shot list"),
    ("DATA.SPLIT_CSV a.csv TRAIN.DATASET k400", "read by the folder dataset only"),
    ("DATA.CLIP_CACHE_FORMAT jpeg", "changes frames only in a cache; set DATA.CLIP_CACHE"),
])
def test_impossible_combinations_are_refused(tmp_path, overrides, message):
    lines = problems(tmp_path, "", *overrides.split())
    assert len(lines) == 1 and message in lines[0]


def test_one_motion_module_can_replace_appearance(tmp_path):
    for module in ("CROSS", "HOD"):
        cfg = load(tmp_path, "", "MODEL.APPEARANCE_MODULE_DISABLE", "True",
                   f"MODEL.MOTION_MODULE.USE_{module}_MOTION_MODULE", "True")
        assert cfg.MODEL.APPEARANCE_MODULE_DISABLE


# Files written for the published code

def test_keys_without_effect_load_and_are_named_in_one_warning(tmp_path, caplog):
    text = ("TASK: few_shot\nMODEL: {ARCH: slow, MODEL_NAME: Pointformer, ADAPOOLING: {TYPE: avg}}\n"
            "MULTIGRID: {SHORT_CYCLE: False, BN_BASE_SIZE: 8}\nEPICKITCHENS:\n  TRAIN_LIST: x.pkl\nMIXUP:\n"
            "NUM_SHARDS: 1\nSHARD_ID: 0\nRNG_SEED: 3\nPOINT_INFO: {ENABLE: True, USE_PT_QUERY_MASK: True}\n"
            "DATA: {MEAN: [0.45, 0.45, 0.45], DECODING_BACKEND: torchvision}\n")
    cfg = load(tmp_path, text, "AUG.RE_PROB", "0.25")
    assert (cfg.RNG_SEED, cfg.DATA.DECODING_BACKEND, cfg.POINT_INFO.USE_PT_QUERY_MASK) == (3, "pyav", True)
    assert len(caplog.records) == 1 and caplog.records[0].levelno == logging.WARNING
    named = set(re.findall(r"[A-Z][A-Z_]+(?:\.[A-Z_]+)*", caplog.text.split("here: ")[1]))
    assert named == {"MODEL.ARCH", "MODEL.ADAPOOLING.TYPE", "MULTIGRID.SHORT_CYCLE", "MULTIGRID.BN_BASE_SIZE",
                     "EPICKITCHENS.TRAIN_LIST", "NUM_SHARDS", "SHARD_ID", "POINT_INFO.ENABLE", "DATA.MEAN",
                     "AUG.RE_PROB"}


@pytest.mark.parametrize("key", sorted(ONLY_VALUE))
def test_keys_that_changed_the_published_model_are_refused_unless_they_leave_it(tmp_path, key):
    load(tmp_path, "", key, str(ONLY_VALUE[key]))
    other = 2 if type(ONLY_VALUE[key]) is int else not ONLY_VALUE[key]
    assert f"{key} = '{other}' is not offered" in problems(tmp_path, "", key, str(other))[0]


def test_every_published_key_is_known():
    keys = ROOT.parent / "shared/KEYS.md"
    if not keys.exists():
        pytest.skip("needs the list of published keys")
    read, ignored = keys.read_text().split("## Accepted")
    rows = re.findall(r"^\| `([A-Z0-9_.]+)` \| (.+?) \|", read, re.M)
    defaults = {key: option.default for key, option in OPTIONS.items()}
    assert len(rows) > 90
    for key, value in rows:
        want = "" if value.startswith("(") else ast.literal_eval(value)
        assert defaults[key] == want and type(defaults[key]) is type(want), key
    assert set(re.findall(r"`([A-Z0-9_.]+)`", ignored.split("Keys of ours")[0])) == WITHOUT_EFFECT | READ_SINCE
    assert not WITHOUT_EFFECT & defaults.keys()


# Our files

@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_our_files_load_without_a_warning(path, caplog):
    cfg = load_cfg(path)
    assert cfg.is_frozen() and cfg.TASK == "few_shot" and cfg.MODEL.MODEL_NAME == "Pointformer"
    assert not caplog.records


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_files_alone_reproduce_the_paper(name):
    cfg = load_cfg(ROOT / f"configs/trokens/{name}.yaml")
    dataset, num_classes, episodes = BENCHMARKS[name]
    own = {"TRAIN.DATASET": dataset, "TEST.DATASET": dataset, "MODEL.NUM_CLASSES": num_classes,
           "FEW_SHOT.TRAIN_EPISODES": episodes, "SSV2.SPLIT": name if dataset == "Ssv2" else "standard"}
    assert {key: option(cfg, key) for key in own} == own
    assert cfg.MODEL.MOTION_MODULE == {"USE_CROSS_MOTION_MODULE": True, "USE_HOD_MOTION_MODULE": True}
    assert (cfg.MODEL.FEAT_EXTRACTOR, cfg.MODEL.DINO_CONFIG, cfg.MODEL.EMBED_DIM) == ("dino", "dinov2_vitb14", 0)
    assert cfg.MODEL.LOSS_FUNC == "label_smoothing_cross_entropy" and cfg.MIXUP.LABEL_SMOOTH_VALUE == 0.1
    assert cfg.DATA.USE_RAND_AUGMENT and cfg.AUG.AA_TYPE == "rand-m9-n2-mstd0.5-inc1"
    few_shot, points, solver = cfg.FEW_SHOT, cfg.POINT_INFO, cfg.SOLVER
    assert (few_shot.N_WAY, few_shot.K_SHOT, few_shot.TRAIN_QUERY_PER_CLASS, few_shot.TEST_EPISODES) == (5, 1, 6, 10000)
    assert few_shot.TRAIN_OG_EPISODES and cfg.TRAIN.MIXED_PRECISION
    assert (cfg.TRAIN.EVAL_PERIOD, cfg.TRAIN.CHECKPOINT_PERIOD, cfg.TRAIN.VAL_SPLIT) == (5, 1, "val")
    assert (points.NAME, points.SAMPLING_TYPE) == ("cotracker3_bip_fr_32", "cluster_sample")
    assert (points.NUM_POINTS_TO_SAMPLE, points.USE_PT_QUERY_MASK) == (256, False)
    assert (solver.OPTIMIZING_METHOD, solver.BASE_LR, solver.WEIGHT_DECAY) == ("adamw", 1e-4, 0.5)
    assert (solver.LR_POLICY, solver.STEPS, solver.LRS) == ("steps_with_relative_lrs", [0, 20, 40], [1.0, 0.1, 0.01])
    assert (solver.MAX_EPOCH, solver.WARMUP_EPOCHS, solver.WARMUP_START_LR) == (50, 5, 1e-6)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_our_files_hold_only_what_differs(path):
    own = yaml.safe_load(path.read_text())
    parent = load_cfg(find_config(own.pop("_BASE_"), path.parent)) if "_BASE_" in own else get_cfg()
    settings = Document(path.read_text(), path.name).settings()
    assert not [key for key, value, *_ in settings if key != "_BASE_" and option(parent, key) == value]


def test_the_published_command_changes_nothing_of_the_paper():
    published = """DATA.USE_RAND_AUGMENT True FEW_SHOT.K_SHOT 1 FEW_SHOT.TRAIN_QUERY_PER_CLASS 6 FEW_SHOT.N_WAY 5
        POINT_INFO.NAME cotracker3_bip_fr_32 POINT_INFO.SAMPLING_TYPE cluster_sample POINT_INFO.NUM_POINTS_TO_SAMPLE 256
        MODEL.FEAT_EXTRACTOR dino MODEL.DINO_CONFIG dinov2_vitb14 MODEL.MOTION_MODULE.USE_CROSS_MOTION_MODULE True
        MODEL.MOTION_MODULE.USE_HOD_MOTION_MODULE True"""
    path = ROOT / "configs/trokens/ssv2_small.yaml"
    assert load_cfg(path, published.split()) == load_cfg(path)


# The loaded config

def test_a_loaded_config_is_frozen_and_pickles():
    cfg = load_cfg(ROOT / "configs/trokens/hmdb.yaml")
    with pytest.raises(AttributeError):
        cfg.FEW_SHOT.N_WAY = 3
    assert pickle.loads(pickle.dumps(cfg)) == cfg
    assert get_cfg().FEW_SHOT.TRAIN_EPISODES == 100000  # defaults stay


def test_a_dumped_config_reads_back_as_it_was(tmp_path):
    changes = ["SOLVER.CLIP_GRAD_VAL", "0.5", "WANDB.ID", "007", "OUTPUT_DIR", "a b"]
    cfg = load_cfg(ROOT / "configs/trokens/ucf.yaml", changes)
    assert load(tmp_path, dump(cfg)) == cfg


def test_the_hash_names_the_experiment_not_the_machine():
    path = ROOT / "configs/trokens/hmdb.yaml"
    plain = config_hash(load_cfg(path))
    machine = """NUM_GPUS 8 OUTPUT_DIR x DATA.PATH_TO_DATA_DIR y DATA.PATH_TO_TROKEN_PT_DATA z MASTER_PORT 1
        DATA_LOADER.NUM_WORKERS 2 WANDB.ID i WANDB.EXP_NAME e MODEL.BACKBONE_WEIGHTS w TEST.BANK disk TEST.BANK_DIR d
        DATA.CHANGED_VIDEO warn
        DATA.CLIP_CACHE c DATA.CLIP_CACHE_GB 5 MODEL.FEATURE_CACHE f MODEL.ACT_CHECKPOINT True MODEL.COMPILE True"""
    assert re.fullmatch("[0-9a-f]{12}", plain) and config_hash(load_cfg(path, machine.split())) == plain
    for pair in ("RNG_SEED 2", "FEW_SHOT.K_SHOT 5", "POINT_INFO.HOD.BINNING linear", "TEST.BANK_DTYPE half"):
        assert config_hash(load_cfg(path, pair.split())) != plain


def test_the_hash_of_tokens_heeds_no_other_option():
    path = ROOT / "configs/trokens/hmdb.yaml"
    plain = config_hash(load_cfg(path), "tokens")
    assert config_hash(load_cfg(path, ["FEW_SHOT.K_SHOT", "5"]), "tokens") == plain != config_hash(load_cfg(path))
    assert config_hash(load_cfg(path, ["MF.DEPTH", "2"]), "tokens") != plain


# What is said of each option

def test_every_option_is_documented():
    assert not [key for key, option in OPTIONS.items() if len(option.doc) < 8 or "|" in option.doc]


def test_an_option_names_every_choice():
    assert not [(key, choice) for key, option in OPTIONS.items() for choice in option.choices
                if choice not in option.doc and not choice.endswith("_reg")]


@pytest.mark.parametrize("key", OPTIONS)
def test_an_option_takes_its_own_value(key):
    option = OPTIONS[key]
    assert option.read(option.unset) == option.unset and type(option.read(option.unset)) is type(option.unset)


def test_what_changes_tokens_changes_results():
    assert not [key for key, option in OPTIONS.items() if (option.tokens or option.weights) and not option.results]


def test_an_option_of_clips_or_the_model_changes_tokens_unless_it_changes_nothing():
    sections = ("DATA.", "MF.", "MODEL.", "POINT_INFO.")
    assert not [key for key, option in OPTIONS.items()
                if key.startswith(sections) and option.results and not option.tokens]


# Documentation

def test_the_reference_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import config_reference

    config_reference.main(["--check"])
    text = config_reference.reference()
    assert (ROOT / "docs/CONFIG.md").read_text() == text
    assert "\n\n## MF: the trajectory transformer\n\n| option | default | ours | meaning |\n|---|---|---|---|\n" in text
    assert "\n| `MODEL.DINO_CONFIG` | `\"dinov2_vits14\"` | `'dinov2_vitb14'` | DINOv2 model: " in text


def options_read_in(source: str) -> set[str]:
    """The attribute chains of a file as ``SECTION.LEAF`` (and ``LEAF``), through names that stand for sections."""
    tree, aliases, found = ast.parse(source), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(node.targets[0].elts, node.value.elts, strict=True))
            for target, value in pairs:
                if isinstance(target, ast.Name):
                    sections = {part.attr for part in ast.walk(value) if isinstance(part, ast.Attribute)}
                    aliases.setdefault(target.id, set()).update(sections)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.isupper():
            inner = node.value
            parents = aliases.get(inner.id, set()) | {""} if isinstance(inner, ast.Name) else \
                {"" if inner.attr == "cfg" else inner.attr} if isinstance(inner, ast.Attribute) else \
                {part.attr for part in ast.walk(inner) if isinstance(part, ast.Attribute)}
            found |= {f"{parent}.{node.attr}" for parent in parents}
    return found


def test_the_reader_of_attribute_chains_sees_through_names():
    found = options_read_in("a = cfg.TRAIN if x else cfg.TEST\nb, c = cfg.MF, cfg.NUM_GPUS\n"
                            "f(a.ENABLE, b.DEPTH, cfg.POINT_INFO.HOD.NUM_BINS, self.cfg.LOG_PERIOD, 'cfg.MF.DROP')")
    assert {"TRAIN.ENABLE", "TEST.ENABLE", "MF.DEPTH", "HOD.NUM_BINS", ".NUM_GPUS", ".LOG_PERIOD"} <= found
    assert "MF.DROP" not in found


def test_every_option_is_read():
    files = [path for folder in ("trokens", "tools", "point_tracking") for path in (ROOT / folder).rglob("*.py")
             if path.parent.name != "config"]
    found = set().union(*(options_read_in(path.read_text()) for path in files))
    checked_when_loaded = {"TASK", "MODEL.MODEL_NAME"}  # one value each is offered
    unread = [key for key in OPTIONS.keys() - checked_when_loaded
              if ".".join(["", *key.split(".")][-2:]) not in found]
    assert not unread, f"no line reads {sorted(unread)}"
