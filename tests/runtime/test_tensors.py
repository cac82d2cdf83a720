"""Files of tensors: damage of any kind and numbers that are not finite are seen, whatever torch says."""

import hashlib
import logging
import zipfile

import pytest
import torch
from damaged import flip, place_of

from trokens.models.checkpoint import load_checkpoint
from trokens.models.weights import read_state_dict
from trokens.runtime.tensors import not_finite, read_torch_file, tensors_in


@pytest.fixture
def path(tmp_path):
    torch.save({"epoch": 4, "model_state": {"a": torch.arange(100.), "b": torch.ones(3)}}, tmp_path / "x.pyth")
    return tmp_path / "x.pyth"


@pytest.mark.parametrize("record", ["data/0", "data/1", "data.pkl"])
def test_a_flipped_bit_is_seen_though_torch_reads_on(path, record):
    flip(path, place_of(path, record) + 6)
    if record.startswith("data/"):
        torch.load(path, weights_only=True)  # says nothing
    name = record.rpartition("/")[2]
    with pytest.raises(ValueError, match=rf"its record {name} does not match its check sum"):
        read_torch_file(path)
    for read, message in ((load_checkpoint, "cannot be read as a checkpoint"), (read_state_dict, "is damaged")):
        with pytest.raises(ValueError, match=rf"x\.pyth.* {message}.*check sum"):
            read(path)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_bit_of_the_list_of_records_is_seen_or_changes_nothing(path, mapped):
    """torch gives memory that nobody wrote to for a record that passes for a folder, by one bit of its attributes."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        start = file.start_dir
        lengths = [46 + len(info.filename) + len(info.extra) for info in file.infolist()]
        at = start + sum(lengths[:next(i for i, info in enumerate(file.infolist()) if info.filename.endswith("/0"))])
    for place in range(at, at + 46):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            try:
                state = read_torch_file(path, mapped=mapped)
            except ValueError:
                continue
            assert state["model_state"]["a"].equal(torch.arange(100.)), (place - at, bit)


def test_zeros_and_a_cut_are_seen(path):
    content = path.read_bytes()
    at = place_of(path, "data/0")
    path.write_bytes(content[:at] + bytes(400) + content[at + 400:])
    with pytest.raises(ValueError, match="check sum"):
        read_torch_file(path)
    for size in (0, 10, at, len(content) - 5):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError):
            read_torch_file(path)


@pytest.mark.parametrize("mapped", [False, True])
def test_whole_files_of_all_formats_are_read(path, tmp_path, caplog, mapped):
    caplog.set_level(logging.INFO)
    state = read_torch_file(path, mapped=mapped)
    assert state["model_state"]["a"].equal(torch.arange(100.)) and not caplog.messages
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_torch_file(tmp_path / "old.pth", mapped=mapped)["model_state"]["b"].tolist() == [1, 1, 1]
    line, = caplog.messages
    assert "old.pth has PyTorch's old format, which keeps no check sums" in line


def test_a_file_of_the_old_format_that_its_name_vouches_for_is_read_without_a_word(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.save({"a": torch.ones(2)}, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    digits = hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest()[:8]
    sound = (tmp_path / "net.pth").rename(tmp_path / f"net-{digits}.pth")
    read_torch_file(sound)
    assert not caplog.messages
    read_torch_file(sound.rename(tmp_path / "net-20240101.pth"))  # a date, not its own digits
    assert len(caplog.messages) == 1


@pytest.mark.skipif(not hasattr(torch.serialization, "set_crc32_options"), reason="an older torch always writes them")
def test_a_file_written_without_check_sums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(2)}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_torch_file(tmp_path / "x.pth")["a"].tolist() == [1, 1]


@pytest.mark.parametrize(("content", "cause"), [
    (b"", "it is empty"), (b"hello", "it was not written by torch.save"),
    (b"{}", "it was not written by torch.save"), (bytes(5000), "it was not written by torch.save"),
    (b"PK\3\4" + bytes(5000), "it is cut, or broken otherwise")])
def test_what_is_no_file_of_tensors_is_told_in_plain_words(path, content, cause):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{cause}$"):
        read_torch_file(path)


def test_what_is_not_finite_is_named():
    value = {"a": torch.ones(3), "b": [torch.tensor([1, float("nan")]), {"c": torch.tensor(float("-inf"))}],
             "whole": torch.tensor([2**40]), "empty": torch.zeros(0), "half": torch.full((9,), 60000.).half(),
             "large": torch.full((9,), 3e38), "text": "nan"}
    assert [name for name, _ in tensors_in(value)] == ["a", "b.0", "b.1.c", "whole", "empty", "half", "large"]
    assert not_finite(tensors_in(value)) == ["b.0", "b.1.c"]  # the sums of half and large overflow, they do not
    assert not_finite([]) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(path, bad):
    torch.save({"model_state": {"a": torch.ones(2), "b": torch.tensor([1., bad]), "c": torch.tensor(bad)}}, path)
    message = r"x\.pyth holds weights that are not finite \(2 tensors, the first is b\)"
    for read in (load_checkpoint, read_state_dict):
        with pytest.raises(ValueError, match=message):
            read(path)
