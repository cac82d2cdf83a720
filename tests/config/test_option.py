"""One option: the values it takes."""

import pytest

from trokens.config import OPTIONS, ConfigError, load_cfg
from trokens.config.option import ModelOption, Option

PART = Option("A.PART", 0.0, "Part of a whole.", least=0, below=1)
RATE = Option("A.RATE", None, "Rate; None = none.", above=0)
COUNTS = Option("A.COUNTS", [], "Numbers of things.", items=int, least=1)
KIND = Option("A.KIND", "old", "Kind: new or newer.", choices=("new", "newer"), synonyms={"fresh": "new"})


@pytest.mark.parametrize(("option", "value", "message"), [
    (PART, 1, "A.PART = 1.0 is outside [0, 1)."),
    (PART, "-0.1", "A.PART = -0.1 is outside [0, 1)."),
    (RATE, "0", "A.RATE = 0.0 has to be above 0."),
    (RATE, "x", "A.RATE = 'x' is a str; expected float like 1.0, or None."),
    (COUNTS, "[2, 0]", "A.COUNTS = [2, 0] has an entry below its minimum, 1."),
    (COUNTS, [2**31], "A.COUNTS = [2147483648] is beyond its maximum, 2147483647."),
    (COUNTS, 3, "A.COUNTS = 3 is an int; expected a list of int like [0, 20]."),
    (KIND, "old", "A.KIND = 'old' is not offered; it is one of new, newer."),
    (KIND, 5, "A.KIND = 5 is an int; expected str like 'new'."),
])
def test_what_an_option_does_not_take_is_told_in_one_sentence(option, value, message):
    with pytest.raises(ValueError) as error:
        option.read(value)
    assert str(error.value) == message


@pytest.mark.parametrize(("option", "value", "want"), [
    (PART, 0, 0.0), (RATE, "None", None), (RATE, 2, 2.0), (COUNTS, (), []), (COUNTS, "(3,)", [3]),
    (KIND, "FRESH", "new")])
def test_what_an_option_takes_is_of_its_type(option, value, want):
    assert option.read(value) == want and type(option.read(value)) is type(want)


def test_an_option_whose_default_is_not_offered_is_its_first_choice():
    assert (KIND.unset, KIND.default, PART.unset) == ("new", "old", 0.0)


def test_the_kind_of_an_option_says_what_it_counts_for():
    option = ModelOption("A.WIDTH", 8, "Width.")
    assert (option.results, option.tokens, option.weights) == (True, True, True)
    machine = OPTIONS["NUM_GPUS"]
    assert (machine.results, machine.tokens, machine.weights) == (False, False, False)


def test_a_value_out_of_bounds_is_told_once_and_with_its_line(tmp_path):
    (tmp_path / "run.yaml").write_text("_BASE_: hmdb\nSOLVER:\n  MAX_EPOCH: 0\n")
    with pytest.raises(ConfigError) as error:
        load_cfg(tmp_path / "run.yaml")
    assert str(error.value) == f"{tmp_path}/run.yaml:3: SOLVER.MAX_EPOCH = 0 is below its minimum, 1."
