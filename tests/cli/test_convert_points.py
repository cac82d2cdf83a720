import pickle
from pathlib import Path

import pytest
import torch
from pickle_bombs import BOMBS

from trokens.cli.convert_points import main
from trokens.points.io import read_point_file, write_tracks
from trokens.structures import Tracks


def some_tracks(seed: int) -> Tracks:
    draw = torch.Generator().manual_seed(seed)
    return Tracks(torch.rand(4, 5, 2, generator=draw) * 60, torch.rand(4, 5, generator=draw) > 0.3, torch.arange(5) % 4,
                  torch.arange(5) // 2, size=(48, 64), frame=torch.arange(4) * 3)


@pytest.fixture
def published(tmp_path) -> Path:
    """Four pickles as the published extractor writes them, in two folders, one of them broken."""
    for number, name in enumerate(("ssv2/feat_dump/1", "ssv2/feat_dump/2", "folder/feat_dump/wave__a.b")):
        tracks, path = some_tracks(number), tmp_path / "published" / f"{name}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps({"pred_tracks": tracks.xy.half(), "pred_visibility": tracks.visibility,
                                       "obj_ids": tracks.cluster, "point_queries": tracks.query_frame}))
    (tmp_path / "published/ssv2/feat_dump/evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    return tmp_path / "published"


def run(*args, workers: int = 0) -> int:
    return main([*(str(arg) for arg in args), "--workers", str(workers)])


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_is_converted_and_broken_files_are_counted(published, tmp_path, capsys, workers):
    out = tmp_path / "out"
    assert run(published, out, workers=workers) == 1
    assert files(out) == ["folder/feat_dump/wave__a.b.safetensors", "ssv2/feat_dump/1.safetensors",
                          "ssv2/feat_dump/2.safetensors"]
    printed = capsys.readouterr()
    assert "3 of 4 files are converted. 1 are broken." in printed.out
    assert "evil.pkl" in printed.err and "os.system" in printed.err and printed.err.count("broken") == 1
    assert printed.err.count("evil.pkl") == 1 and "is broken: it is no point file" in printed.err
    tracks = some_tracks(1)
    read = read_point_file(out / "ssv2/feat_dump/2.safetensors").tracks
    assert torch.equal(read.xy, tracks.xy.half().float()) and torch.equal(read.query_frame, tracks.query_frame)


def test_files_without_end_do_not_keep_the_others_waiting(published, tmp_path, capsys):
    names = ("nested tuples as a key", "brackets", "a huge number", "keys of one hash")
    for i, name in enumerate(names):
        (published / f"ssv2/feat_dump/0{i}.pkl").write_bytes(BOMBS[name][0])
    assert run(published, tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert "3 of 8 files are converted. 5 are broken." in printed.out and len(files(tmp_path / "out")) == 3
    assert all(BOMBS[name][1] in printed.err for name in names)


def test_a_converted_folder_is_gone_on_with(published, tmp_path, capsys):
    (published / "ssv2/feat_dump/evil.pkl").unlink()
    assert run(published, tmp_path / "out") == 0
    done = tmp_path / "out/ssv2/feat_dump/1.safetensors"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    done.unlink()
    assert run(published, tmp_path / "out") == 0 and "2 of them converted before" in capsys.readouterr().out
    assert {path for path in before if path.stat().st_mtime_ns != before[path]} == {done}
    assert run(published, tmp_path / "out", "--rerun") == 0
    assert all(path.stat().st_mtime_ns != before[path] for path in before)


def test_there_and_back_is_the_same_bytes(tmp_path):
    write_tracks(tmp_path / "a/x.safetensors", some_tracks(0), {"tracker": "flow"}, times=torch.arange(4) / 10)
    assert run(tmp_path / "a", tmp_path / "b", "--to", "pkl") == 0
    assert run(tmp_path / "b", tmp_path / "c") == 0
    assert (tmp_path / "a/x.safetensors").read_bytes() == (tmp_path / "c/x.safetensors").read_bytes()
    assert run(tmp_path / "c/x.safetensors", tmp_path / "c", "--to", "pkl") == 0
    assert (tmp_path / "b/x.pkl").read_bytes() == (tmp_path / "c/x.pkl").read_bytes()


def test_nothing_to_convert_is_an_error(published, tmp_path, capsys):
    assert run(published, tmp_path / "out", "--to", "pkl") == 2
    assert run(published / "ssv2/feat_dump/1.pkl", tmp_path / "out", "--to", "pkl") == 2
    assert run(tmp_path / "nowhere", tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert printed.count("There are no .") == 2 and "1.pkl is no .safetensors file to turn into .pkl" in printed
    with pytest.raises(SystemExit):
        run(published, tmp_path / "out.safetensors")
    assert "give the folder to write it into" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_what_a_killed_run_left_is_removed(published, tmp_path):
    left = tmp_path / "out/ssv2/feat_dump/.1.safetensors.eb82f848.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert run(published / "ssv2", tmp_path / "out/ssv2") == 1
    assert files(tmp_path / "out") == ["ssv2/feat_dump/1.safetensors", "ssv2/feat_dump/2.safetensors"]


def test_what_cannot_be_written_ends_the_run(published, tmp_path, capsys):
    (tmp_path / "out").write_text("a file in the folder's place")
    assert run(published, tmp_path / "out") == 2
    assert "out" in capsys.readouterr().err


def test_an_interruption_ends_in_one_line(published, tmp_path, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("trokens.points.io.read_point_file", interrupted)
    assert run(published, tmp_path / "out") == 130
    assert capsys.readouterr().err == "Interrupted. Finished files are kept: the same command goes on from here.\n"
